//! What is sold: one row per item, in columns.

use crate::ids::Interner;
use crate::{DataError, ItemId, Result};
use serde::{Deserialize, Serialize};

/// A category: a dense index into [`Catalog::categories`]. Its name is the path, joined by ` > `.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CategoryId(pub u32);

/// The goods. Every column has one entry per item, in the order of [`ItemId`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// External id of each item, and back.
    pub ids: Interner,
    /// Short name; empty where the source has none.
    pub titles: Vec<String>,
    /// All text that says what the item is, normalised: what the language model reads.
    pub texts: Vec<String>,
    /// Most specific category, if known.
    pub category: Vec<Option<CategoryId>>,
    /// Category paths (`grocery > dairy > milk`), interned.
    pub categories: Interner,
    /// Price in the shop's currency; `NaN` where unknown.
    pub price: Vec<f32>,
    /// Price bucket by quantile, 0 = cheapest; `None` where the price is unknown.
    pub price_bucket: Vec<Option<u8>>,
    /// Whether the item can be sold now.
    pub available: Vec<bool>,
    /// Further attributes as the source has them: name and one value per item (empty where missing).
    pub attributes: Vec<Attribute>,
}

/// One further column of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Column name.
    pub name: String,
    /// One value per item.
    pub values: Vec<String>,
}

impl Catalog {
    /// A catalogue of bare ids, for logs that come without one.
    pub fn of_ids(ids: Interner) -> Catalog {
        let n = ids.len();
        Catalog {
            ids,
            titles: vec![String::new(); n],
            texts: vec![String::new(); n],
            category: vec![None; n],
            categories: Interner::default(),
            price: vec![f32::NAN; n],
            price_bucket: vec![None; n],
            available: vec![true; n],
            attributes: Vec::new(),
        }
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// What to show a person: the title, or the external id where there is none.
    pub fn label(&self, item: ItemId) -> &str {
        match self.titles.get(item.index()).map(String::as_str) {
            Some(title) if !title.is_empty() => title,
            _ => self.ids.name(item.0).unwrap_or("unknown item"),
        }
    }

    /// The category path of an item, if it has one.
    pub fn category_name(&self, item: ItemId) -> Option<&str> {
        self.category.get(item.index()).copied().flatten().and_then(|c| self.categories.name(c.0))
    }

    /// Checks that every column has one entry per item and every category exists.
    ///
    /// # Errors
    /// [`DataError::Shape`] names the column.
    pub fn validate(&self) -> Result<()> {
        let n = self.len();
        let columns = [
            ("titles", self.titles.len()),
            ("texts", self.texts.len()),
            ("category", self.category.len()),
            ("price", self.price.len()),
            ("price_bucket", self.price_bucket.len()),
            ("available", self.available.len()),
        ];
        let attributes = self.attributes.iter().map(|a| ("attribute", a.values.len()));
        for (what, len) in columns.into_iter().chain(attributes) {
            if len != n {
                return Err(DataError::Shape {
                    what,
                    expected: format!("{n} entries, one per item"),
                    got: len.to_string(),
                });
            }
        }
        for (row, c) in self.category.iter().enumerate() {
            if let Some(c) = c.filter(|c| c.0 as usize >= self.categories.len()) {
                return Err(DataError::IdOutOfRange {
                    what: "category",
                    row,
                    id: c.0 as usize,
                    limit: self.categories.len(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_column_is_named() {
        let mut catalog = Catalog::of_ids(["a", "b"].iter().collect());
        assert!(catalog.validate().is_ok());
        catalog.price.pop();
        assert!(catalog.validate().unwrap_err().to_string().contains("price"));
    }

    #[test]
    fn an_item_without_title_is_labelled_by_its_id() {
        let catalog = Catalog::of_ids(["sku-1"].iter().collect());
        assert_eq!(catalog.label(ItemId(0)), "sku-1");
    }
}

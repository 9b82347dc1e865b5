//! Which texts belong together, and how well? Judgements (a query, a product, a grade) and the texts of the products:
//!
//! ```toml
//! files = ["qrels.tsv"]
//! query = "query"
//! product = "item_id"
//! grade = "rating"
//! products = { path = "products.jsonl", id = "id", text = ["title", "short_description"] }
//! ```
//!
//! Without `products` the product column holds the text itself; without `grade` every pair belongs together (1). Queries and products
//! are numbered in the order in which they first appear, products of the file first.

use super::texts::{a_text, enough};
use lingxi_data::ingest::read_columns;
use lingxi_data::ingest::source::{FileOptions, Format};
use lingxi_data::{InputError, Interner, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Files of judged pairs, as a person describes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairFiles {
    /// The judgements.
    pub files: Vec<PathBuf>,
    /// Column of the query's text.
    pub query: String,
    /// Column of the product's id, or of its text where no product file is named.
    pub product: String,
    /// Column of the grade; absent: every pair has grade 1.
    #[serde(default)]
    pub grade: Option<String>,
    /// The texts of the products.
    #[serde(default)]
    pub products: Option<ProductFile>,
    /// How the judgements are written; guessed where absent.
    #[serde(default)]
    pub format: Option<Format>,
    /// Header and separator.
    #[serde(default)]
    pub options: FileOptions,
}

/// A file of products.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductFile {
    /// Where.
    pub path: PathBuf,
    /// Column of the id.
    pub id: String,
    /// Columns that make up the text, joined by `, `.
    pub text: Vec<String>,
    /// How it is written; guessed where absent.
    #[serde(default)]
    pub format: Option<Format>,
    /// Header and separator.
    #[serde(default)]
    pub options: FileOptions,
}

/// One judgement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Index into [`Pairs::queries`].
    pub query: u32,
    /// Index into [`Pairs::products`].
    pub product: u32,
    /// How well they belong together; 0 not at all.
    pub grade: f32,
}

/// Judged pairs.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// Texts of the queries.
    pub queries: Interner,
    /// Ids of the products (their texts, where no file is named).
    pub ids: Interner,
    /// The text of each product.
    pub products: Vec<String>,
    /// The judgements, in the order of the files.
    pub rows: Vec<Pair>,
    /// Judgements that were left out because the product file lacks their product.
    pub unknown: usize,
    /// Judgements that were left out because the same pair was judged before.
    pub repeated: usize,
}

impl PairFiles {
    /// Reads the pairs; paths are relative to `base`.
    ///
    /// # Errors
    /// [`InputError`] with file, line and field for a row without query, product or finite grade, and if nothing is left.
    pub fn read(&self, base: &Path) -> Result<Pairs> {
        let Some(first) = self.files.first() else {
            let why = InputError::new(base, "at least one file", "none", "correct the recipe").in_field("files");
            return Err(why.into());
        };
        let mut pairs = Pairs::default();
        if let Some(file) = &self.products {
            file.read(base, &mut pairs)?;
        }
        let mut judged = std::collections::HashSet::new();
        for file in &self.files {
            self.read_judgements(&base.join(file), &mut pairs, &mut judged)?;
        }
        if pairs.rows.is_empty() {
            let got = format!("none ({} of products that the product file lacks)", pairs.unknown);
            return Err(InputError::new(base.join(first), "judged pairs", got, "check products.id").into());
        }
        Ok(pairs)
    }

    fn read_judgements(
        &self,
        path: &Path,
        pairs: &mut Pairs,
        judged: &mut std::collections::HashSet<(u32, u32)>,
    ) -> Result<()> {
        let columns: Vec<&str> =
            [self.query.as_str(), &self.product].into_iter().chain(self.grade.as_deref()).collect();
        read_columns(path, self.format, &self.options, &columns, &mut |line, cells| {
            let query = a_text(path, line, &self.query, cells[0].as_deref())?;
            let product = a_text(path, line, &self.product, cells[1].as_deref())?;
            let grade = match &self.grade {
                Some(field) => a_grade(path, line, field, cells[2].as_deref())?,
                None => 1.0,
            };
            let known = match &self.products {
                Some(_) => pairs.ids.get(&product),
                None => Some(pairs.intern(&product, || product.clone())),
            };
            let Some(product) = known else {
                pairs.unknown += 1;
                return Ok(());
            };
            let query = pairs.queries.intern(&query).expect("fewer queries than numbers");
            match judged.insert((query, product)) {
                true => pairs.rows.push(Pair { query, product, grade }),
                false => pairs.repeated += 1,
            }
            enough(path, line, pairs.rows.len())
        })
    }
}

impl Pairs {
    fn intern(&mut self, id: &str, text: impl FnOnce() -> String) -> u32 {
        let number = self.ids.intern(id).expect("fewer products than numbers");
        if number as usize == self.products.len() {
            self.products.push(text());
        }
        number
    }
}

impl ProductFile {
    fn read(&self, base: &Path, pairs: &mut Pairs) -> Result<()> {
        let path = base.join(&self.path);
        let columns: Vec<&str> = std::iter::once(&self.id).chain(&self.text).map(String::as_str).collect();
        if self.text.is_empty() {
            let why = InputError::new(&path, "at least one column", "none", "correct the recipe");
            return Err(why.in_field("products.text").into());
        }
        read_columns(&path, self.format, &self.options, &columns, &mut |line, cells| {
            let id = a_text(&path, line, &self.id, cells[0].as_deref())?;
            let parts: Vec<&str> = cells[1..].iter().filter_map(|cell| cell.as_deref()).collect();
            pairs.intern(&id, || parts.join(", "));
            enough(&path, line, pairs.products.len())
        })
    }
}

fn a_grade(path: &Path, line: u64, field: &str, cell: Option<&str>) -> Result<f32> {
    let grade = cell.and_then(|cell| cell.parse::<f32>().ok()).filter(|grade| grade.is_finite());
    grade.ok_or_else(|| {
        let got = cell.map_or("nothing".into(), |cell| format!("{:?}", cell.chars().take(80).collect::<String>()));
        InputError::new(path, "a finite number", got, "correct the row").at(line).in_field(field).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judgements_find_their_products_and_say_which_they_do_not_find() {
        let dir = tempfile::tempdir().unwrap();
        let products =
            "{\"id\": \"7\", \"title\": \"pen\", \"about\": \"blue\"}\n{\"id\": \"9\", \"title\": \"ink\"}\n";
        std::fs::write(dir.path().join("products.jsonl"), products).unwrap();
        let judged = "query\titem\trating\nto write\t9\t1\nto write\t7\t3\nto write\t7\t2\nto eat\t8\t3\n";
        std::fs::write(dir.path().join("judged.tsv"), judged).unwrap();
        let text = "files = ['judged.tsv']\nquery = 'query'\nproduct = 'item'\ngrade = 'rating'\n";
        let with = format!("{text}products = {{ path = 'products.jsonl', id = 'id', text = ['title', 'about'] }}");
        let pairs = toml::from_str::<PairFiles>(&with).unwrap().read(dir.path()).unwrap();
        assert_eq!(pairs.products, ["pen, blue", "ink"]);
        assert_eq!((pairs.queries.len(), pairs.unknown, pairs.repeated), (1, 1, 1));
        assert_eq!(pairs.rows, [Pair { query: 0, product: 1, grade: 1.0 }, Pair { query: 0, product: 0, grade: 3.0 }]);
        let without = toml::from_str::<PairFiles>(text).unwrap().read(dir.path()).unwrap();
        assert_eq!(without.products, ["9", "7", "8"]);
        std::fs::write(dir.path().join("judged.tsv"), "query\titem\trating\nto write\t9\tgood\n").unwrap();
        let why = toml::from_str::<PairFiles>(text).unwrap().read(dir.path()).unwrap_err().to_string();
        assert!(why.contains("judged.tsv:2: field rating: expected a finite number, got \"good\""), "{why}");
    }
}

//! Which column is what: as the description says, or by the names that shops and data sets use. Guesses go into the
//! report.

use super::report::Mapping;
use crate::{InputError, Result};
use std::path::Path;

/// Names of a shopper's id, most telling first; compared in lower case without `_`, `-`, `.` and blanks.
pub(crate) const USER: &str = "userid user uid householdid householdkey household customerid customer cid visitorid visitor shopperid \
    shopper memberid clientid accountid reviewerid buyerid personid fullvisitorid sessionid session";
/// Names of an item's id.
pub(crate) const ITEM: &str = "itemid item iid productid product parentasin asin sku skuid articleid goodsid movieid movie isbn \
    stockcode upc gtin trackid songid adid newsid";
/// Names of a time.
pub(crate) const AT: &str = "timestamp transactiontimestamp eventtime eventtimestamp time ts unixtime unixreviewtime datetime at \
    createdat created tdat transactiondate orderdate purchasedate invoicedate date day";
/// Names of a position within a sequence.
pub(crate) const POSITION: &str = "position pos seq sequence order step";
/// Names of what the shopper did.
pub(crate) const KIND: &str = "kind event eventtype action actiontype behavior behaviour behaviortype behaviourtype feedbacktype \
    interactiontype";
/// Names of a rating.
pub(crate) const VALUE: &str = "rating ratings overall stars score value";
/// Names of a number of pieces.
pub(crate) const QUANTITY: &str = "quantity qty units amountofitems";
/// Names of the money for a row.
pub(crate) const AMOUNT: &str = "salesvalue amount revenue linetotal";
/// Names of a title.
pub(crate) const TITLE: &str = "title name productname itemname movietitle producttitle prodname label";
/// Names of a category.
pub(crate) const CATEGORY: &str =
    "categorypath categories category categoryid productcategory categorycode genres genre class department";
/// Names of a long text.
pub(crate) const DESCRIPTION: &str = "description detaildesc productdescription text summary";
/// Names of a brand.
pub(crate) const BRAND: &str = "brand manufacturer supplier";
/// Names of a price.
pub(crate) const PRICE: &str = "price unitprice listprice saleprice";
/// Names of availability.
pub(crate) const AVAILABLE: &str = "available instock availability isavailable";
/// Names of the parts of a triple.
pub(crate) const HEAD: &str = "headid head subject h";
/// Names of a relation.
pub(crate) const RELATION: &str = "relationid relation predicate r";
/// Names of what a head relates to.
pub(crate) const TAIL: &str = "tailid tail object t";

/// Chooses columns of one file and remembers what it chose.
pub(crate) struct Chooser<'a> {
    path: &'a Path,
    names: &'a [String],
    /// Columns to read, each once, in the order of choosing: a slot is an index into this.
    pub wanted: Vec<usize>,
    /// For the report.
    pub chosen: Vec<Mapping>,
}

impl<'a> Chooser<'a> {
    pub(crate) fn new(path: &'a Path, names: &'a [String]) -> Chooser<'a> {
        Chooser { path, names, wanted: Vec::new(), chosen: Vec::new() }
    }

    /// The slot of the column named by the description or else guessed; `None` if there is no such column.
    ///
    /// # Errors
    /// [`InputError`] if the description names a column that the file lacks.
    pub(crate) fn choose(&mut self, field: &str, named: Option<&str>, guesses: &str) -> Result<Option<usize>> {
        let column = match named {
            Some("") => None,
            Some(name) => Some(self.find(field, name)?),
            None => guesses.split(' ').find_map(|guess| self.names.iter().position(|name| plain(name) == guess)),
        };
        let Some(column) = column else { return Ok(None) };
        let guessed = named.is_none();
        self.chosen.push(Mapping { field: field.into(), column: self.names[column].clone(), guessed });
        Ok(Some(self.slot(column)))
    }

    /// Like [`Chooser::choose`] for a column that must be there.
    ///
    /// # Errors
    /// [`InputError`] lists the columns of the file.
    pub(crate) fn require(&mut self, field: &str, named: Option<&str>, guesses: &str) -> Result<usize> {
        self.choose(field, named, guesses)?.ok_or_else(|| self.missing(field, &format!("a column for {field}")).into())
    }

    /// Slots of several named columns.
    ///
    /// # Errors
    /// [`InputError`] if one is missing.
    pub(crate) fn choose_all(&mut self, field: &str, named: &[String]) -> Result<Vec<usize>> {
        let slot = |name: &String| self.choose(field, Some(name), "").map(|s| s.unwrap_or_default());
        named.iter().filter(|n| !n.is_empty()).map(slot).collect()
    }

    /// Names of all columns but the one in `slot`.
    pub(crate) fn all_but(&self, slot: usize) -> Vec<String> {
        let column = self.wanted[slot];
        (0..self.names.len()).filter(|i| *i != column).map(|i| self.names[i].clone()).collect()
    }

    /// Notes in the report what was assumed without a column.
    pub(crate) fn assume(&mut self, field: &str, what: &str, guessed: bool) {
        self.chosen.push(Mapping { field: field.into(), column: what.into(), guessed });
    }

    fn slot(&mut self, column: usize) -> usize {
        self.wanted.iter().position(|w| *w == column).unwrap_or_else(|| {
            self.wanted.push(column);
            self.wanted.len() - 1
        })
    }

    fn find(&self, field: &str, name: &str) -> Result<usize> {
        let at = self.names.iter().position(|n| n == name);
        at.ok_or_else(|| self.missing(field, &format!("a column {name:?}")).into())
    }

    fn missing(&self, field: &str, expected: &str) -> InputError {
        let shown: Vec<&str> = self.names.iter().take(40).map(String::as_str).collect();
        let got = format!("columns {}", shown.join(", "));
        let remedy = format!("name the column of {field} in the description");
        InputError::new(self.path, expected, got, remedy).in_field(field)
    }
}

/// A header name as the lists above spell it.
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | ' ' | '.')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_header_names_are_recognised_and_the_more_telling_one_wins() {
        let names = ["Household ID", "id", "product_id", "transaction_timestamp", "sales_value"].map(String::from);
        let mut chooser = Chooser::new(Path::new("x.csv"), &names);
        assert_eq!(chooser.require("user", None, USER).unwrap(), 0);
        assert_eq!(chooser.require("item", None, ITEM).unwrap(), 1);
        assert_eq!(chooser.require("at", None, AT).unwrap(), 2);
        assert_eq!(chooser.wanted, [0, 2, 3]);
        assert!(chooser.chosen.iter().all(|m| m.guessed));
        assert_eq!(chooser.choose("at", Some(""), AT).unwrap(), None);
    }

    #[test]
    fn a_column_that_is_not_there_is_named_with_those_that_are() {
        let names = ["a".to_string(), "b".to_string()];
        let error = Chooser::new(Path::new("x.csv"), &names).require("user", Some("c"), USER).unwrap_err().to_string();
        assert!(error.contains("x.csv") && error.contains("\"c\"") && error.contains("a, b"), "{error}");
    }
}

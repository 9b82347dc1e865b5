//! What a shop's files are: the description that a person writes in TOML, before any file is opened.
//!
//! ```toml
//! [[events]]
//! path = "transactions.parquet"
//! kind = "buy"
//! columns = { user = "household_id", item = "product_id", at = "transaction_timestamp", quantity = "quantity" }
//!
//! [items]
//! path = "products.parquet"
//! title = ["product_type", "package_size"]
//! text = ["product_type", "product_category", "department"]
//! category = ["department", "product_category", "product_type"]
//! ```
//!
//! A column that is not named is guessed from the header, and the report shows the guess; `""` says that there is none.

use super::clean::Clean;
use crate::{EventKind, InputError, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The files of one shop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Source {
    /// Logs of what shoppers did; at least one.
    pub events: Vec<EventFile>,
    /// What is sold. Without it the catalogue is the ids that the logs name.
    pub items: Option<ItemFile>,
    /// What is known of shoppers.
    pub users: Option<UserFile>,
    /// Knowledge triples.
    pub knowledge: Vec<KnowledgeFile>,
    /// Cleaning rules and their limits.
    pub clean: Clean,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated with quotes, header first (`;` and tab are noticed).
    Csv,
    /// Tab-separated without quotes, header first.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// Apache Parquet.
    Parquet,
    /// RecBole atomic file: tab-separated, header of `name:type`.
    Atomic,
    /// MovieLens `.dat`: fields separated by `::`, no header.
    Movielens,
}

/// Where a file lies and how it is read; part of every file's description.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileOptions {
    /// `false` if the first line is data: the columns are then called `c1`, `c2` ...
    pub header: Option<bool>,
    /// Field separator of CSV, if not the one that the header shows.
    pub separator: Option<char>,
}

/// The part of a published split that a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// For fitting.
    Train,
    /// For choosing.
    Valid,
    /// For the last measurement.
    Test,
}

impl Part {
    /// The name, as written in TOML.
    pub fn name(self) -> &'static str {
        match self {
            Part::Train => "train",
            Part::Valid => "valid",
            Part::Test => "test",
        }
    }
}

/// One log of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventFile {
    /// Path, relative to the base directory.
    pub path: PathBuf,
    /// Guessed from name and content where absent.
    #[serde(default)]
    pub format: Option<Format>,
    /// What every row of the file is, unless a column says it.
    #[serde(default)]
    pub kind: Option<EventKind>,
    /// The part of a published split.
    #[serde(default)]
    pub part: Option<Part>,
    /// Which column is what.
    #[serde(default)]
    pub columns: EventColumns,
    /// Header and separator.
    #[serde(default)]
    pub options: FileOptions,
}

/// Columns of a log; `None` is guessed, `""` is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventColumns {
    /// Who.
    pub user: Option<String>,
    /// What.
    pub item: Option<String>,
    /// When: seconds, milliseconds, microseconds, nanoseconds, ISO 8601 (UTC where no zone is given) or `YYYYMMDD`.
    pub at: Option<String>,
    /// Order within the shopper's sequence, for sources without time.
    pub position: Option<String>,
    /// What the shopper did.
    pub kind: Option<String>,
    /// A rating or weight.
    pub value: Option<String>,
    /// How many pieces.
    pub quantity: Option<String>,
    /// Money for the row (all pieces). Where the catalogue has no price, an item's mean unit price comes from here.
    pub amount: Option<String>,
}

/// A column or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Columns {
    /// One column.
    One(String),
    /// Several, in this order.
    Many(Vec<String>),
}

impl Columns {
    /// The names.
    pub fn names(&self) -> &[String] {
        match self {
            Columns::One(name) => std::slice::from_ref(name),
            Columns::Many(names) => names,
        }
    }
}

/// The catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemFile {
    /// Path, relative to the base directory.
    pub path: PathBuf,
    /// Guessed from name and content where absent.
    #[serde(default)]
    pub format: Option<Format>,
    /// Column of the external id.
    #[serde(default)]
    pub id: Option<String>,
    /// Column or columns that make up the short name, joined by `, `.
    #[serde(default)]
    pub title: Option<Columns>,
    /// Columns that make up the text which the language model reads, joined by `, `. Absent: title, category and
    /// description as far as they are there.
    #[serde(default)]
    pub text: Option<Columns>,
    /// Columns of the category path from wide to narrow, or one column that holds the path.
    #[serde(default)]
    pub category: Option<Columns>,
    /// What separates the steps of the path in one column.
    #[serde(default)]
    pub category_separator: Option<String>,
    /// How many steps of the path are kept.
    #[serde(default)]
    pub category_depth: Option<usize>,
    /// Price column.
    #[serde(default)]
    pub price: Option<String>,
    /// Column that says whether the item can be sold (`true/false`, `1/0`, `yes/no`).
    #[serde(default)]
    pub available: Option<String>,
    /// Further columns to keep; `["*"]` keeps all.
    #[serde(default)]
    pub attributes: Vec<String>,
    /// Whether `UPPER CASE` text is turned into `Upper case`.
    #[serde(default)]
    pub natural_case: bool,
    /// Number of price buckets.
    #[serde(default = "ten")]
    pub price_buckets: u8,
    /// Header and separator.
    #[serde(default)]
    pub options: FileOptions,
}

fn ten() -> u8 {
    10
}

/// What is known of shoppers: groups for slices of the evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserFile {
    /// Path, relative to the base directory.
    pub path: PathBuf,
    /// Guessed from name and content where absent.
    #[serde(default)]
    pub format: Option<Format>,
    /// Column of the external id.
    #[serde(default)]
    pub id: Option<String>,
    /// Columns to keep; empty keeps all.
    #[serde(default)]
    pub attributes: Vec<String>,
    /// Header and separator.
    #[serde(default)]
    pub options: FileOptions,
}

/// Triples `head, relation, tail`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnowledgeFile {
    /// Path, relative to the base directory.
    pub path: PathBuf,
    /// Guessed from name and content where absent.
    #[serde(default)]
    pub format: Option<Format>,
    /// Header and separator.
    #[serde(default)]
    pub options: FileOptions,
}

impl Source {
    /// Reads a description; `path` names it in errors.
    ///
    /// # Errors
    /// [`InputError`] with the line of a syntax error, an unknown key or a value of the wrong type.
    pub fn from_toml(text: &str, path: &Path) -> Result<Source> {
        toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count() as u64);
            let mut error = InputError::new(
                path,
                "a description of data files ([[events]], [items], [users], [[knowledge]], [clean])",
                e.message().replace('\n', " "),
                "correct that line",
            );
            error.line = line;
            error.into()
        })
    }

    /// Checks what the types cannot say, before any file is opened.
    pub(crate) fn check(&self, base: &Path) -> Result<()> {
        let buckets = self.items.as_ref().map_or(1, |f| f.price_buckets);
        let problem = match self.clean.problem() {
            _ if self.events.is_empty() => Some("at least one [[events]]"),
            _ if buckets == 0 => Some("items.price_buckets above 0"),
            _ if self.events.len() > 10_000 => Some("at most 10000 [[events]]"),
            problem => problem,
        };
        let refuse = |expected| InputError::new(base, expected, "something else", "correct the description").into();
        problem.map_or(Ok(()), |expected| Err(refuse(expected)))
    }
}

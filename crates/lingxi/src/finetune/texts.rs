//! What is there to learn from? Labelled texts in any of the formats of `ingest`, described in a recipe:
//!
//! ```toml
//! train = ["train.tsv"]
//! valid = ["val.tsv"]
//! test = ["test.tsv"]
//! text = "text"
//! target = "intent"
//! outside = { valid = ["oos_val.tsv"], test = ["oos_test.tsv"] }
//! ```
//!
//! Out come training, validation and test as columns, [`Classes`] or [`Numbers`], and what is odd about them: equal texts in training and test,
//! equal texts with two targets. Where no validation file is named, a seeded share of training is held out, of every class alike.
//! Judged pairs are read in [`pairs`](super::pairs).

use lingxi_data::ingest::source::{FileOptions, Format};
use lingxi_data::ingest::{Visit, read_columns};
use lingxi_data::{InputError, Result};
use lingxi_train::folds::{folds, hold_out};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

/// Most rows of all files together; it is all held in memory.
pub(super) const MOST_ROWS: usize = 5_000_000;
/// Most bytes of one text: an encoder reads a few hundred words.
const LONGEST: usize = 100_000;
/// Most classes: a head has a row of weights for each.
const MOST_CLASSES: usize = 50_000;

/// Files of labelled texts, as a person describes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextFiles {
    /// To fit on.
    pub train: Vec<PathBuf>,
    /// To choose by; none: a share of training is held out.
    #[serde(default)]
    pub valid: Vec<PathBuf>,
    /// To report.
    #[serde(default)]
    pub test: Vec<PathBuf>,
    /// Texts that belong to no class; their target column is not read.
    #[serde(default)]
    pub outside: OutsideFiles,
    /// Texts that nobody has labelled, to read and to label; their target column is not read.
    #[serde(default)]
    pub unlabelled: Vec<PathBuf>,
    /// Of each class only so many texts of training keep theirs, as in a shop that has labelled few; the others have none.
    #[serde(default)]
    pub each: Option<usize>,
    /// Column of the text; `c1`, `c2` ... where files have no header.
    #[serde(default = "text")]
    pub text: String,
    /// Column of the class or number.
    #[serde(default = "label")]
    pub target: String,
    /// Share of training that is held out where no validation file is named.
    #[serde(default = "tenth")]
    pub valid_share: f64,
    /// How all of them are written; guessed where absent.
    #[serde(default)]
    pub format: Option<Format>,
    /// Header and separator.
    #[serde(default)]
    pub options: FileOptions,
}

/// Files of texts that belong to no class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutsideFiles {
    /// To fit on, for models with a class of their own for them.
    pub train: Vec<PathBuf>,
    /// To choose a threshold by.
    pub valid: Vec<PathBuf>,
    /// To report.
    pub test: Vec<PathBuf>,
}

fn text() -> String {
    "text".into()
}

fn label() -> String {
    "label".into()
}

fn tenth() -> f64 {
    0.1
}

/// Texts with what is to be foretold of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labelled<T> {
    /// The texts.
    pub texts: Vec<String>,
    /// As many targets.
    pub targets: Vec<T>,
}

/// Texts of classes; the target `None` is "belongs to none".
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    /// Names of the classes that training has, ascending; a target is an index into this.
    pub names: Vec<String>,
    /// To fit on.
    pub train: Labelled<Option<u32>>,
    /// To choose by.
    pub valid: Labelled<Option<u32>>,
    /// To report.
    pub test: Labelled<Option<u32>>,
    /// Texts without a label; those whose class was taken away keep it here, to answer when they are asked.
    pub pool: Labelled<Option<u32>>,
    /// What is odd.
    pub oddities: Oddities,
}

/// Texts with a number each.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers {
    /// To fit on.
    pub train: Labelled<f32>,
    /// To choose by.
    pub valid: Labelled<f32>,
    /// To report.
    pub test: Labelled<f32>,
    /// What is odd.
    pub oddities: Oddities,
}

/// What a careful reader would notice. Texts are equal if they are in lower case with single blanks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Oddities {
    /// Texts of training that training has before.
    pub repeated: usize,
    /// Of those, the ones with another target than before.
    pub contradicted: usize,
    /// Texts of validation that training has too.
    pub valid_in_train: usize,
    /// Texts of the test that training has too.
    pub test_in_train: usize,
    /// A text of the test that training has too.
    pub example: Option<String>,
    /// Texts that were held out of training to choose by, because no file was named.
    pub held_out: usize,
}

impl fmt::Display for Oddities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Oddities { repeated, contradicted, valid_in_train, test_in_train, example, held_out } = self;
        write!(f, "training repeats {repeated} texts ({contradicted} with another target); ")?;
        write!(f, "it has {valid_in_train} texts of validation and {test_in_train} of the test too")?;
        example.iter().try_for_each(|text| write!(f, ", such as {text:?}"))?;
        if *held_out > 0 {
            write!(f, "; {held_out} texts of training were held out to choose by")?;
        }
        Ok(())
    }
}

impl TextFiles {
    /// Reads texts of classes; paths are relative to `base`, the seed draws what is held out.
    ///
    /// # Errors
    /// [`InputError`] with file, line and field for a row without text or class, a class that training lacks, or too much of anything.
    pub fn classes(&self, base: &Path, seed: u64) -> Result<Classes> {
        self.check(base)?;
        let train = self.rows(base, &self.train)?;
        let names: BTreeSet<&str> = train.iter().map(|row| row.target.as_str()).collect();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        if !(2..=MOST_CLASSES).contains(&names.len()) {
            let expected = format!("2 to {MOST_CLASSES} classes in column {:?}", self.target);
            let remedy = "name the column of the class in target; for numbers use a regression head";
            return Err(InputError::new(base.join(&self.train[0]), expected, names.len().to_string(), remedy).into());
        }
        let number = |row: &Row| names.binary_search(&row.target).map(|class| Some(class as u32));
        let part = |files: &[PathBuf], outside: &[PathBuf]| -> Result<Labelled<Option<u32>>> {
            let known = |row: Row| match number(&row) {
                Ok(class) => Ok((row.text, class)),
                Err(_) => Err(row.refuse(&self.target, "a class that training has", "add texts of it to training")),
            };
            let inside = self.rows(base, files)?.into_iter().map(known);
            let none = self.outside_rows(base, outside)?.into_iter().map(|text| Ok((text, None)));
            inside.chain(none).collect::<Result<Vec<_>>>().map(|rows| rows.into_iter().collect())
        };
        let of_train = train.into_iter().map(|row| (number(&row).expect("collected from these rows"), row.text));
        let mut train: Labelled<Option<u32>> = of_train.map(|(class, text)| (text, class)).collect();
        train.extend(self.outside_rows(base, &self.outside.train)?.into_iter().map(|text| (text, None)));
        let mut valid = part(&self.valid, &self.outside.valid)?;
        let test = part(&self.test, &self.outside.test)?;
        let mut pool = self.few(&mut train, seed);
        pool.extend(self.outside_rows(base, &self.unlabelled)?.into_iter().map(|text| (text, None)));
        let strata: Vec<u32> = train.targets.iter().map(|class| class.unwrap_or(u32::MAX)).collect();
        let held_out = self.hold_out(&mut train, &mut valid, &strata, seed);
        let oddities = Oddities { held_out, ..oddities(&train, &valid, &test) };
        Ok(Classes { names, train, valid, test, pool, oddities })
    }

    /// Reads texts with numbers; paths are relative to `base`, the seed draws what is held out.
    ///
    /// # Errors
    /// [`InputError`] with file, line and field for a row without a text or a finite number.
    pub fn numbers(&self, base: &Path, seed: u64) -> Result<Numbers> {
        self.check(base)?;
        let part = |files: &[PathBuf]| -> Result<Labelled<f32>> {
            let number = |row: Row| match row.target.parse::<f32>().ok().filter(|x| x.is_finite()) {
                Some(number) => Ok((row.text, number)),
                None => Err(row.refuse(&self.target, "a finite number", "correct the row, or name another column")),
            };
            self.rows(base, files)?
                .into_iter()
                .map(number)
                .collect::<Result<Vec<_>>>()
                .map(|rows| rows.into_iter().collect())
        };
        let (mut train, mut valid, test) = (part(&self.train)?, part(&self.valid)?, part(&self.test)?);
        let strata = vec![0; train.targets.len()];
        let held_out = self.hold_out(&mut train, &mut valid, &strata, seed);
        let oddities = Oddities { held_out, ..oddities(&train, &valid, &test) };
        Ok(Numbers { train, valid, test, oddities })
    }

    fn check(&self, base: &Path) -> Result<()> {
        let refuse = |field: &str, expected: &str, got: String| {
            Err(InputError::new(base, expected, got, "correct the recipe").in_field(field).into())
        };
        if self.train.is_empty() {
            return refuse("train", "at least one file", "none".into());
        }
        if self.each == Some(0) {
            return refuse("each", "at least 1", "0".into());
        }
        if !(self.valid_share > 0.0 && self.valid_share < 1.0) {
            return refuse("valid_share", "a share between 0 and 1", self.valid_share.to_string());
        }
        Ok(())
    }

    /// Takes all but a few texts of each class out of training, by chance.
    fn few(&self, train: &mut Labelled<Option<u32>>, seed: u64) -> Labelled<Option<u32>> {
        let Some(each) = self.each else { return Labelled::default() };
        let mut order: Vec<usize> = (0..train.texts.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let mut left: HashMap<u32, usize> = HashMap::new();
        let mut stays = vec![true; order.len()];
        for (row, class) in order.into_iter().filter_map(|row| Some((row, train.targets[row]?))) {
            let left = left.entry(class).or_insert(each);
            stays[row] = *left > 0;
            *left = left.saturating_sub(1);
        }
        let all = std::mem::take(train);
        let mut pool = Labelled::default();
        for (row, stays) in all.texts.into_iter().zip(all.targets).zip(stays) {
            if stays { train.extend([row]) } else { pool.extend([row]) }
        }
        pool
    }

    /// Moves a share of training into validation, if no file is named for that. Returns how many.
    fn hold_out<T>(&self, train: &mut Labelled<T>, valid: &mut Labelled<T>, strata: &[u32], seed: u64) -> usize {
        if !self.valid.is_empty() {
            return 0;
        }
        let held = hold_out(strata, self.valid_share, seed);
        let all = std::mem::replace(train, Labelled { texts: Vec::new(), targets: Vec::new() });
        for ((text, target), held) in all.texts.into_iter().zip(all.targets).zip(&held) {
            if *held { valid.extend([(text, target)]) } else { train.extend([(text, target)]) }
        }
        held.iter().filter(|held| **held).count()
    }

    fn rows(&self, base: &Path, files: &[PathBuf]) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for file in files {
            let path = base.join(file);
            self.read(&path, &[&self.text, &self.target], &mut |line, cells| {
                let [text, target] = cells else { unreachable!("two columns were asked for") };
                let text = a_text(&path, line, &self.text, text.as_deref())?;
                let Some(target) = target.as_deref().filter(|target| target.len() <= LONGEST) else {
                    let remedy = "fill it in, or delete the row";
                    return Err(InputError::new(&path, "a class or number", "nothing", remedy)
                        .at(line)
                        .in_field(&self.target)
                        .into());
                };
                rows.push(Row { text, target: target.to_owned(), path: path.clone(), line });
                enough(&path, line, rows.len())
            })?;
        }
        Ok(rows)
    }

    fn outside_rows(&self, base: &Path, files: &[PathBuf]) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for file in files {
            let path = base.join(file);
            self.read(&path, &[&self.text], &mut |line, cells| {
                texts.push(a_text(&path, line, &self.text, cells[0].as_deref())?);
                enough(&path, line, texts.len())
            })?;
        }
        Ok(texts)
    }

    fn read(&self, path: &Path, columns: &[&str], visit: &mut Visit<'_>) -> Result<()> {
        read_columns(path, self.format, &self.options, columns, visit)
    }
}

struct Row {
    text: String,
    target: String,
    path: PathBuf,
    line: u64,
}

impl Row {
    fn refuse(self, field: &str, expected: &str, remedy: &str) -> lingxi_data::DataError {
        let shown: String = self.target.chars().take(80).collect();
        InputError::new(self.path, expected, format!("{shown:?}"), remedy).at(self.line).in_field(field).into()
    }
}

/// The text of a row, if it has one that can be read.
pub(super) fn a_text(path: &Path, line: u64, field: &str, text: Option<&str>) -> Result<String> {
    let got = match text {
        Some(text) if text.len() <= LONGEST => return Ok(text.to_owned()),
        Some(text) => format!("one of {} bytes", text.len()),
        None => "nothing".into(),
    };
    let expected = format!("a text of at most {LONGEST} bytes");
    Err(InputError::new(path, expected, got, "shorten it, or delete the row").at(line).in_field(field).into())
}

/// Whether there is room for more rows.
pub(super) fn enough(path: &Path, line: u64, rows: usize) -> Result<()> {
    if rows <= MOST_ROWS {
        return Ok(());
    }
    let expected = format!("at most {MOST_ROWS} rows in all files");
    Err(InputError::new(path, expected, "more", "give a sample of them").at(line).into())
}

/// Training, validation and test of each of `k` folds: the fold is the test, a share of the other texts, of every stratum alike, is
/// validation.
pub fn folded<T: Clone>(
    all: &[Labelled<T>],
    strata: impl Fn(&Labelled<T>) -> Vec<u32>,
    k: usize,
    share: f64,
    seed: u64,
) -> Vec<[Labelled<T>; 3]> {
    let rows = all.iter().flat_map(|part| part.texts.iter().cloned().zip(part.targets.iter().cloned()));
    let all: Labelled<T> = rows.collect();
    let strata = strata(&all);
    let fold_of = folds(&strata, k, seed);
    let of_fold = |fold: usize| {
        let rest: Vec<usize> = (0..fold_of.len()).filter(|row| fold_of[*row] != fold).collect();
        let held = hold_out(&rest.iter().map(|row| strata[*row]).collect::<Vec<_>>(), share, seed);
        let mut part_of = vec![2; fold_of.len()];
        rest.iter().zip(held).for_each(|(row, held)| part_of[*row] = usize::from(held));
        [0, 1, 2].map(|part| {
            let rows = part_of.iter().enumerate().filter(|(_, of)| **of == part);
            rows.map(|(row, _)| (all.texts[row].clone(), all.targets[row].clone())).collect()
        })
    };
    (0..k).map(of_fold).collect()
}

impl<T> Extend<(String, T)> for Labelled<T> {
    fn extend<I: IntoIterator<Item = (String, T)>>(&mut self, rows: I) {
        for (text, target) in rows {
            self.texts.push(text);
            self.targets.push(target);
        }
    }
}

impl<T> FromIterator<(String, T)> for Labelled<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(rows: I) -> Labelled<T> {
        let mut all = Labelled { texts: Vec::new(), targets: Vec::new() };
        all.extend(rows);
        all
    }
}

fn oddities<T: PartialEq>(train: &Labelled<T>, valid: &Labelled<T>, test: &Labelled<T>) -> Oddities {
    let plain = |text: &String| text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let mut found = Oddities::default();
    let mut known: HashMap<String, &T> = HashMap::new();
    for (text, target) in train.texts.iter().zip(&train.targets) {
        if let Some(before) = known.insert(plain(text), target) {
            found.repeated += 1;
            found.contradicted += usize::from(before != target);
        }
    }
    found.valid_in_train = valid.texts.iter().filter(|text| known.contains_key(&plain(text))).count();
    let mut in_both = test.texts.iter().filter(|text| known.contains_key(&plain(text)));
    found.example = in_both.next().map(|text| text.chars().take(80).collect());
    found.test_in_train = in_both.count() + usize::from(found.example.is_some());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(dir.path().join(name), text).unwrap());
        dir
    }

    fn described(toml: &str) -> TextFiles {
        toml::from_str(toml).unwrap()
    }

    const TRAIN: &str = "text\tlabel\nhello\tgreet\nHi there\tgreet\nbye\tleave\nso long\tleave\nHello \tleave\n";

    #[test]
    fn classes_are_numbered_by_name_and_texts_outside_have_none() {
        let dir = folder(&[
            ("train.tsv", TRAIN),
            ("val.tsv", "text\tlabel\nciao\tleave\n"),
            ("test.tsv", "label\ttext\ngreet\thi  THERE\n"),
            ("oos.tsv", "text\tlabel\nwho won\toos\n"),
        ]);
        let files = described(
            "train = ['train.tsv']\nvalid = ['val.tsv']\ntest = ['test.tsv']\noutside = { test = ['oos.tsv'] }",
        );
        let read = files.classes(dir.path(), 1).unwrap();
        assert_eq!(read.names, ["greet", "leave"]);
        assert_eq!(read.train.targets, [Some(0), Some(0), Some(1), Some(1), Some(1)]);
        assert_eq!(
            (read.test.texts, read.test.targets),
            (vec!["hi  THERE".into(), "who won".into()], vec![Some(0), None])
        );
        let odd = read.oddities;
        assert_eq!(
            (odd.repeated, odd.contradicted, odd.valid_in_train, odd.test_in_train, odd.held_out),
            (1, 1, 0, 1, 0)
        );
        assert!(odd.to_string().contains("\"hi  THERE\""), "{odd}");
    }

    #[test]
    fn without_validation_files_a_share_of_every_class_is_held_out_and_the_seed_decides_which() {
        let rows: String = (0..40).map(|i| format!("text {i},{}\n", i % 2)).collect();
        let dir = folder(&[("all.csv", &rows)]);
        let files = described(
            "train = ['all.csv']\ntext = 'c1'\ntarget = 'c2'\nvalid_share = 0.2\noptions = { header = false }",
        );
        let read = files.classes(dir.path(), 1).unwrap();
        assert_eq!((read.train.texts.len(), read.valid.texts.len(), read.oddities.held_out), (32, 8, 8));
        assert_eq!(read.valid.targets.iter().filter(|class| **class == Some(0)).count(), 4);
        assert_ne!(read.valid, files.classes(dir.path(), 2).unwrap().valid);
        let numbers = files.numbers(dir.path(), 1).unwrap();
        assert_eq!((numbers.train.targets.len(), numbers.valid.targets.len()), (32, 8));
    }

    #[test]
    fn where_few_are_labelled_the_others_have_no_class_and_every_class_has_as_many() {
        let rows: String = (0..40).map(|i| format!("text {i}\tclass {}\n", i % 2)).collect();
        let dir = folder(&[("all.tsv", &format!("text\tlabel\n{rows}")), ("new.tsv", "text\nwho knows\n")]);
        let files = described("train = ['all.tsv']\nunlabelled = ['new.tsv']\neach = 5\nvalid_share = 0.2");
        let read = files.classes(dir.path(), 1).unwrap();
        assert_eq!([&read.train, &read.valid, &read.pool].map(|part| part.texts.len()), [8, 2, 31]);
        assert_eq!(read.train.targets.iter().filter(|class| **class == Some(0)).count(), 4);
        assert_eq!(read.pool.targets.iter().filter(|class| class.is_none()).count(), 1);
        assert!(read.pool.texts.iter().all(|text| !read.train.texts.contains(text)));
    }

    #[test]
    fn each_text_is_the_test_of_one_fold_and_validation_is_a_share_of_the_others() {
        let part = |from: u32, to: u32| (from..to).map(|i| (format!("text {i}"), i % 2)).collect::<Labelled<u32>>();
        let folds = folded(&[part(0, 30), part(30, 40)], |all| all.targets.clone(), 4, 0.2, 1);
        let mut asked: Vec<String> = folds.iter().flat_map(|[.., test]| test.texts.clone()).collect();
        asked.sort();
        asked.dedup();
        assert_eq!((folds.len(), asked.len()), (4, 40));
        for [train, valid, test] in &folds {
            assert_eq!([train, valid, test].map(|part| part.texts.len()), [24, 6, 10]);
            assert!(test.texts.iter().all(|text| !train.texts.contains(text) && !valid.texts.contains(text)));
        }
    }

    #[test]
    fn what_cannot_be_learnt_is_named_with_file_line_and_remedy() {
        let dir = folder(&[
            ("train.tsv", TRAIN),
            ("new.tsv", "text\tlabel\nciao\tleave\nhm\tdoubt\n"),
            ("gap.tsv", "text\tlabel\n\tgreet\n"),
            ("one.tsv", "text\tlabel\na\tgreet\n"),
        ]);
        let check = |toml: &str, parts: &[&str]| {
            let why = described(toml).classes(dir.path(), 1).unwrap_err().to_string();
            parts.iter().for_each(|part| assert!(why.contains(part), "{part} in {why}"));
        };
        check(
            "train = ['train.tsv']\ntest = ['new.tsv']",
            &["new.tsv:3", "field label", "training has", "\"doubt\"", "add"],
        );
        check("train = ['gap.tsv']", &["gap.tsv:2", "field text", "got nothing"]);
        check("train = ['one.tsv']", &["one.tsv", "2 to 50000 classes", "got 1"]);
        check("train = ['train.tsv']\ntarget = 'intent'", &["train.tsv", "\"intent\"", "text, label"]);
        check("train = []", &["field train", "at least one file"]);
        check("train = ['nowhere.tsv']", &["nowhere.tsv", "readable file"]);
        let why = described("train = ['train.tsv']").numbers(dir.path(), 1).unwrap_err().to_string();
        assert!(why.contains("train.tsv:2") && why.contains("finite number") && why.contains("\"greet\""), "{why}");
        assert!(toml::from_str::<TextFiles>("train = ['a']\nlabels = 'x'").is_err());
    }
}

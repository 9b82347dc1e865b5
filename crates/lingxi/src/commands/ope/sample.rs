//! The files of the Open Bandit small sample, as obp prepares them, and chances that a person wrote for it.

use crate::failure::UserError;
use anyhow::{Context as _, Result};
use lingxi_eval::ope::{Grid, Rounds, thompson};
use std::path::Path;

/// Places of the shop's slate.
const PLACES: usize = 3;

/// What to try when the sample cannot be read.
const VERIFY: &str = "lingxi assets verify obp";

/// The chances of the Thompson policy at the start of the campaign, `[places, actions]`.
pub fn policy(path: &Path, n_actions: usize) -> Result<Vec<f64>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (alpha, beta) = (prior(&text, "alpha"), prior(&text, "beta"));
    let chances =
        thompson::chances(&alpha, &beta, PLACES).filter(|_| alpha.len() == n_actions && beta.len() == n_actions);
    chances
        .with_context(|| format!("{}: expected two positive parameters for each of {n_actions} items", path.display()))
}

/// Chances as a person wrote them; what is not named is never shown.
pub fn given(file: &Path, n_actions: usize) -> Result<Vec<f64>> {
    let table = read_csv(file, "write CSV with the columns position, item and chance")?;
    let position: Vec<usize> = column(&table, "position", |text| text.parse::<usize>().ok()?.checked_sub(1))?;
    let item: Vec<usize> = column(&table, "item", |text| text.parse().ok())?;
    let chance: Vec<f64> = column(&table, "chance", |text| text.parse().ok().filter(|p| (0.0..=1.0).contains(p)))?;
    let mut out = vec![0.0; PLACES * n_actions];
    for ((position, item), chance) in position.into_iter().zip(item).zip(chance) {
        if position >= PLACES || item >= n_actions {
            let got = format!("{}: position {}, item {item}", file.display(), position + 1);
            return Err(
                UserError::new(got, format!("positions are 1 to {PLACES}, items 0 to {}", n_actions - 1)).into()
            );
        }
        out[position * n_actions + item] += chance;
    }
    Ok(out)
}

/// The numbers under `all:` and `name:`, one `- number` a line.
fn prior(text: &str, name: &str) -> Vec<f64> {
    let lines = text.lines().skip_while(|line| *line != "all:").skip(1).take_while(|line| line.starts_with(' '));
    let of_name = lines.skip_while(|line| line.trim() != format!("{name}:")).skip(1);
    of_name.map_while(|line| line.trim().strip_prefix("- ")).map_while(|number| number.parse().ok()).collect()
}

/// A table with a header, as strings.
fn read_csv(path: &Path, remedy: &str) -> Result<(Vec<String>, Vec<csv::StringRecord>)> {
    let fail = |why: csv::Error| UserError::new(format!("cannot read {}", path.display()), remedy).because(why);
    let mut reader = csv::Reader::from_path(path).map_err(fail)?;
    let header = reader.headers().map_err(fail)?.iter().map(str::to_owned).collect();
    let rows: Result<Vec<csv::StringRecord>, csv::Error> = reader.records().collect();
    Ok((header, rows.map_err(fail)?))
}

/// A column by its name, each cell read by `parse`.
fn column<T>(
    table: &(Vec<String>, Vec<csv::StringRecord>),
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>> {
    let missing = || UserError::new(format!("no column {name}"), format!("there are {}", table.0.join(", ")));
    let at = table.0.iter().position(|column| column == name).ok_or_else(missing)?;
    let cell = |row: &csv::StringRecord| {
        let text = row.get(at).unwrap_or_default();
        let line = row.position().map_or(0, csv::Position::line);
        let unexpected = || UserError::new(format!("line {line}, {name}: unexpected {text:?}"), "put the line right");
        Ok(parse(text).ok_or_else(unexpected)?)
    };
    table.1.iter().map(cell).collect()
}

/// Strings as their rank among the sorted distinct ones.
fn ranks(table: &(Vec<String>, Vec<csv::StringRecord>), name: &str) -> Result<(Vec<usize>, usize)> {
    let values = column(table, name, |text| Some(text.to_owned()))?;
    let mut distinct = values.clone();
    distinct.sort_unstable();
    distinct.dedup();
    Ok((values.iter().map(|value| distinct.partition_point(|other| other < value)).collect(), distinct.len()))
}

/// Features of the goods as obp prepares them: three categories as numbers, and one number.
pub fn item_features(path: &Path) -> Result<Grid> {
    let table = read_csv(path, VERIFY)?;
    let categories: Vec<Vec<usize>> =
        (1..4).map(|i| Ok(ranks(&table, &format!("item_feature_{i}"))?.0)).collect::<Result<_>>()?;
    let number: Vec<f64> = column(&table, "item_feature_0", |text| text.parse().ok())?;
    let row = |i: usize| categories.iter().map(move |c| c[i] as f64).chain([number[i]]);
    Ok(Grid { width: 4, values: (0..number.len()).flat_map(row).collect() })
}

/// The categories of the goods one-hot, and their number: rows, and their length.
pub fn ranks_of_items(path: &Path) -> Result<(Vec<f32>, usize)> {
    let table = read_csv(path, VERIFY)?;
    let categories: Vec<(Vec<usize>, usize)> =
        (1..4).map(|i| ranks(&table, &format!("item_feature_{i}"))).collect::<Result<_>>()?;
    let number: Vec<f32> = column(&table, "item_feature_0", |text| text.parse().ok())?;
    let one_hot = |i: usize| {
        categories.iter().flat_map(move |(ranks, n)| (0..*n).map(move |k| f32::from(u8::from(ranks[i] == k))))
    };
    let rows = (0..number.len()).flat_map(|i| one_hot(i).chain([number[i]])).collect();
    Ok((rows, 1 + categories.iter().map(|(_, n)| n).sum::<usize>()))
}

/// How near each shopper is to each of `n` goods, `[rows, n]`.
pub fn affinities(path: &Path, n: usize) -> Result<Vec<f32>> {
    let table = read_csv(path, VERIFY)?;
    let near = |text: &str| text.parse::<f32>().ok().filter(|x| *x >= 0.0);
    let columns: Vec<Vec<f32>> =
        (0..n).map(|item| column(&table, &format!("user-item_affinity_{item}"), near)).collect::<Result<_>>()?;
    Ok((0..table.1.len()).flat_map(|row| columns.iter().map(move |column| column[row])).collect())
}

/// A log as obp prepares it: contexts are the shopper's four categories, one-hot without the first of each.
pub fn read_log(path: &Path, n_actions: usize) -> Result<Rounds> {
    let table = read_csv(path, VERIFY)?;
    let categories: Vec<(Vec<usize>, usize)> =
        (0..4).map(|i| ranks(&table, &format!("user_feature_{i}"))).collect::<Result<_>>()?;
    let one_hot = |i: usize| {
        categories.iter().flat_map(move |(ranks, n)| (1..*n).map(move |k| f64::from(u8::from(ranks[i] == k))))
    };
    let action: Vec<u32> = column(&table, "item_id", |text| text.parse().ok())?;
    Ok(Rounds {
        n_actions,
        n_positions: PLACES,
        dim: categories.iter().map(|(_, n)| n - 1).sum(),
        context: (0..action.len()).flat_map(one_hot).collect(),
        // Positions are written from 1.
        position: column(&table, "position", |text| text.parse::<u32>().ok()?.checked_sub(1))?,
        reward: column(&table, "click", |text| text.parse().ok())?,
        propensity: column(&table, "propensity_score", |text| text.parse().ok())?,
        action,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prior_of_one_campaign_ends_where_the_next_begins() {
        let text = "men:\n  alpha:\n    - 9.0\nall:\n  alpha:\n    - 1.0\n    - 2.0\n  beta:\n    - 3.0\n    - 4.0\nwomen:\n  alpha:\n    - 5.0\n";
        assert_eq!((prior(text, "alpha"), prior(text, "beta")), (vec![1.0, 2.0], vec![3.0, 4.0]));
        assert_eq!(prior(text, "gamma"), Vec::<f64>::new());
    }
}

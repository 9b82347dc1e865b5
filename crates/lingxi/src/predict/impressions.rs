//! Will an item be clicked where it is shown? Rows are impressions of the Open Bandit small sample, of the random and of the
//! Thompson policy, in the order of their times.
//!
//! Columns: place, campaign, policy and its propensity, the shopper's four categories, the item's number and categories, how near the
//! shopper is to the item and to all, the clock, and what the item, its place and the shopper's categories earned before.
//! Shoppers have no names there, so intervals draw impressions, and there is no history to attend to.

use super::recipe::{Impressions, PredictRecipe};
use super::{Prepared, numbered, parts};
use crate::assets;
use crate::failure::UserError;
use crate::site::Site;
use anyhow::Result;
use lingxi_behaviour::predict::{Lessons, Table, Task};
use lingxi_data::ingest::read_columns;
use lingxi_data::ingest::source::FileOptions;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const POLICIES: [&str; 2] = ["random", "bts"];
/// Categories of a shopper or an item that have a column of their own: the most frequent.
const OWN_COLUMN: usize = 6;
/// Clicks and impressions that every count of earnings begins with.
const PRIOR: [f32; 2] = [1.0, 250.0];

/// One impression.
struct Shown {
    at: f64,
    log: usize,
    item: usize,
    place: usize,
    clicked: bool,
    propensity: f32,
    shopper: [String; 4],
    /// To the item, the most to any, and the sum.
    near: [f32; 3],
}

/// An item: its number and three categories.
struct Item {
    number: f32,
    kinds: [String; 3],
}

/// Reads the logs and makes their rows.
///
/// # Errors
/// Files that cannot be used.
pub fn prepare(recipe: &PredictRecipe, impressions: &Impressions, site: &Site) -> Result<Prepared> {
    let (mut shown, mut items) = (Vec::new(), Vec::new());
    for campaign in &impressions.campaigns {
        let logs = logs(campaign, site)?;
        for policy in POLICIES {
            let folder = logs.join(policy).join(campaign);
            items.push(read_items(&folder.join("item_context.csv"))?);
            shown.extend(read_log(&folder.join(format!("{campaign}.csv")), items.len() - 1, &items[items.len() - 1])?);
        }
    }
    shown.sort_by(|a, b| a.at.total_cmp(&b.at));
    let table = rows(&shown, &items, impressions);
    let came = shown.iter().map(|shown| Some(shown.clicked)).collect();
    let (train, valid, test) = parts(shown.len(), recipe.split);
    let tasks = vec![Task { name: "click".into(), came }];
    let lessons = Lessons { table, tasks, train, valid };
    let protocol = "click on an impression, split by time".to_owned();
    Ok(Prepared { lessons, test, shoppers: numbered(0..shown.len() as u32), protocol })
}

/// The logs of a campaign: in the folder that was named, as obp carries them, or in an asset. The campaign for all has one of its
/// own, which `lingxi ope` reads too.
fn logs(campaign: &str, site: &Site) -> Result<PathBuf> {
    let named = site.data.join("dataset/obd");
    if named.join(POLICIES[0]).join(campaign).is_dir() {
        return Ok(named);
    }
    let asset = if campaign == "all" { "obp" } else { "obp-campaigns" };
    Ok(assets::ensure(asset, &site.progress)?.join("dataset/obd"))
}

fn wrong(path: &Path, line: u64, column: &str, got: &str) -> UserError {
    UserError::new(format!("{} line {line}, {column}: unexpected {got:?}", path.display()), "put the line right")
}

fn read_items(path: &Path) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let columns = ["item_feature_0", "item_feature_1", "item_feature_2", "item_feature_3"];
    let mut bad = None;
    read_columns(path, None, &FileOptions::default(), &columns, &mut |line, cells| {
        let text = |at: usize| cells[at].as_deref().unwrap_or_default().to_owned();
        match text(0).parse() {
            Ok(number) => items.push(Item { number, kinds: [1, 2, 3].map(text) }),
            Err(_) => bad = bad.take().or(Some((line, text(0)))),
        }
        Ok(())
    })?;
    match bad {
        Some((line, got)) => Err(wrong(path, line, columns[0], &got).into()),
        None => Ok(items),
    }
}

fn read_log(path: &Path, log: usize, items: &[Item]) -> Result<Vec<Shown>> {
    let affinities: Vec<String> = (0..items.len()).map(|item| format!("user-item_affinity_{item}")).collect();
    let named = ["timestamp", "item_id", "position", "click", "propensity_score"];
    let shoppers = ["user_feature_0", "user_feature_1", "user_feature_2", "user_feature_3"];
    let columns: Vec<&str> = named.into_iter().chain(shoppers).chain(affinities.iter().map(String::as_str)).collect();
    let (mut shown, mut bad) = (Vec::new(), None);
    read_columns(path, None, &FileOptions::default(), &columns, &mut |line, cells| {
        let text = |at: usize| cells[at].as_deref().unwrap_or_default();
        match one(&text, log, items.len()) {
            Ok(row) => shown.push(row),
            Err(at) => bad = bad.take().or(Some((line, columns[at].to_owned(), text(at).to_owned()))),
        }
        Ok(())
    })?;
    match bad {
        Some((line, column, got)) => Err(wrong(path, line, &column, &got).into()),
        None => Ok(shown),
    }
}

/// A row of the log, or the number of the column that does not fit.
fn one<'a>(text: &dyn Fn(usize) -> &'a str, log: usize, items: usize) -> Result<Shown, usize> {
    let number = |at: usize| text(at).parse::<f32>().ok().filter(|x| x.is_finite()).ok_or(at);
    let at: jiff::Timestamp = text(0).parse().map_err(|_| 0usize)?;
    let item = text(1).parse::<usize>().ok().filter(|item| *item < items).ok_or(1usize)?;
    let place = text(2).parse::<usize>().ok().filter(|place| (1..=3).contains(place)).ok_or(2usize)?;
    let near: Vec<f32> = (9..9 + items).map(number).collect::<Result<_, usize>>()?;
    let most = near.iter().copied().fold(0.0, f32::max);
    Ok(Shown {
        at: at.as_millisecond() as f64 / 1_000.0,
        log,
        item,
        place: place - 1,
        clicked: number(3)? > 0.0,
        propensity: number(4)?,
        shopper: [5, 6, 7, 8].map(|at| text(at).to_owned()),
        near: [near[item], most, near.iter().sum()],
    })
}

/// The most frequent values of a column, the first of equals by name.
fn frequent<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut count: BTreeMap<&str, usize> = Default::default();
    values.for_each(|value| *count.entry(value).or_default() += 1);
    let mut all: Vec<(usize, &str)> = count.into_iter().map(|(value, n)| (n, value)).collect();
    all.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    all.into_iter().take(OWN_COLUMN).map(|(_, value)| value).collect()
}

/// Clicks and impressions so far.
#[derive(Default)]
struct Earned(BTreeMap<(usize, u64), [f32; 2]>);

impl Earned {
    fn rate(&self, key: (usize, u64)) -> f32 {
        let [clicks, shown] = self.0.get(&key).copied().unwrap_or_default();
        ((clicks + PRIOR[0]) / (shown + PRIOR[1])).ln()
    }

    fn take(&mut self, key: (usize, u64), clicked: bool) {
        let sums = self.0.entry(key).or_default();
        sums[0] += f32::from(u8::from(clicked));
        sums[1] += 1.0;
    }
}

fn rows(shown: &[Shown], items: &[Vec<Item>], impressions: &Impressions) -> Table {
    let mut columns: Vec<String> = [
        "place_1",
        "place_2",
        "place_3",
        "thompson",
        "propensity",
        "near",
        "near_most",
        "near_sum",
        "item_number",
        "hour_sin",
        "hour_cos",
        "weekday",
        "item_rate",
        "place_rate",
        "item_shown",
    ]
    .map(str::to_owned)
    .to_vec();
    columns.extend(impressions.campaigns.iter().map(|campaign| format!("campaign_{campaign}")));
    let own: Vec<Vec<&str>> = (0..4).map(|i| frequent(shown.iter().map(|row| row.shopper[i].as_str()))).collect();
    let of_items = |i: usize| frequent(shown.iter().map(|row| items[row.log][row.item].kinds[i].as_str())).into_iter();
    let kinds: Vec<Vec<&str>> = (0..3).map(|i| of_items(i).collect()).collect();
    for (what, values) in [("shopper", &own), ("item", &kinds)] {
        for (i, values) in values.iter().enumerate() {
            columns.push(format!("{what}_{i}_rate"));
            columns.extend((0..values.len()).map(|k| format!("{what}_{i}_is_{k}")));
        }
    }
    let (mut features, mut earned, mut count) = (Vec::new(), Earned::default(), BTreeMap::<(usize, usize), f32>::new());
    for row in shown {
        let item = &items[row.log][row.item];
        let campaign = row.log / POLICIES.len();
        let mut x: Vec<f32> = (0..3).map(|place| f32::from(u8::from(row.place == place))).collect();
        let day = (row.at.rem_euclid(86_400.0) / 86_400.0 * std::f64::consts::TAU) as f32;
        let weekday = ((row.at / 86_400.0).floor() + 3.0).rem_euclid(7.0) as f32;
        let times = count.entry((campaign, row.item)).or_default();
        x.extend([
            (row.log % 2) as f32,
            row.propensity.max(1e-6).ln(),
            row.near[0],
            row.near[1],
            row.near[2].ln_1p(),
            item.number,
        ]);
        x.extend([day.sin(), day.cos(), weekday]);
        let place = (1, (campaign * 3 + row.place) as u64);
        let own_item = (0, (campaign * 1_000 + row.item) as u64);
        x.extend([earned.rate(own_item), earned.rate(place), times.ln_1p()]);
        *times += 1.0;
        x.extend((0..impressions.campaigns.len()).map(|at| f32::from(u8::from(at == campaign))));
        let mut keys = vec![place, own_item];
        let values = own.iter().zip(&row.shopper).chain(kinds.iter().zip(&item.kinds));
        for (i, (known, value)) in values.enumerate() {
            let at = known.iter().position(|other| other == value).unwrap_or(OWN_COLUMN);
            keys.push((2 + i, at as u64));
            x.push(earned.rate((2 + i, at as u64)));
            x.extend((0..known.len()).map(|k| f32::from(u8::from(k == at))));
        }
        keys.into_iter().for_each(|key| earned.take(key, row.clicked));
        features.extend(x);
    }
    Table { columns, features, seen: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_impression_earned_before_is_in_its_row_and_its_own_click_is_not() {
        let item = || Item { number: 0.5, kinds: ["a", "b", "c"].map(str::to_owned) };
        let row = |at: f64, clicked: bool| Shown {
            at,
            log: 0,
            item: 0,
            place: 1,
            clicked,
            propensity: 0.1,
            shopper: ["x", "y", "z", "w"].map(str::to_owned),
            near: [0.0; 3],
        };
        let table = |last: bool| {
            rows(
                &[row(0.0, true), row(1.0, false), row(2.0, last)],
                &[vec![item()]],
                &Impressions { campaigns: vec!["all".into()] },
            )
        };
        assert_eq!(table(true), table(false));
        let found = table(true);
        let at = found.columns.iter().position(|name| name == "item_rate").unwrap();
        let rate = |clicks: f32, shown: f32| ((clicks + PRIOR[0]) / (shown + PRIOR[1])).ln();
        assert_eq!([0, 1, 2].map(|i| found.row(i)[at]), [rate(0.0, 0.0), rate(1.0, 1.0), rate(1.0, 2.0)]);
    }
}

//! Does a household redeem a coupon of a campaign that it was sent? Rows are households and campaigns of Complete Journey, by the
//! begin of the campaign; beside it learns whether they buy any of its goods while it runs.
//!
//! Columns: what the household bought and when, how it answered earlier campaigns, what it is; the campaign's kind, length and goods, how
//! its kind was answered before; purchases of the campaign's goods and of their categories, likeness of what the goods say. All of it
//! from before the campaign begins. Attention reads the household's last goods against the mean of the campaign's.

use super::recipe::Coupons;
use super::views::{goods, shop};
use super::{Prepared, numbered};
use crate::assets;
use crate::failure::UserError;
use crate::pipeline;
use crate::site::Site;
use crate::stages::arrivals::Arrivals;
use anyhow::Result;
use lingxi_behaviour::predict::table::likeness;
use lingxi_behaviour::predict::{Goods, Lessons, Seen, Table, Task};
use lingxi_data::ingest::source::FileOptions;
use lingxi_data::ingest::{Ingested, read_columns};
use lingxi_data::{ItemId, Purpose, Rows, UserId};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

const DAY: i64 = 86_400;
/// Last distinct goods of a household that attention reads.
const NEAR: usize = 20;
const NEVER: f32 = 20.0;

/// A campaign.
struct Campaign {
    id: String,
    kind: String,
    start: i64,
    /// The last second.
    end: i64,
    coupons: usize,
    goods: HashSet<ItemId>,
    households: Vec<UserId>,
    /// Mean of what its goods say.
    meaning: Vec<f32>,
}

/// Who redeemed a coupon of which campaign, and when: by household.
type Redeemed = BTreeMap<UserId, Vec<(i64, usize)>>;

/// Reads the tables and makes the rows.
///
/// # Errors
/// Files that cannot be used.
pub fn prepare(coupons: &Coupons, site: &Site) -> Result<Prepared> {
    let shop = shop(&coupons.shop)?;
    let read = pipeline::read(&shop, &Arrivals::default(), site)?;
    let data = &read.shop.data;
    let vectors = read.meaning.as_ref().map(|meaning| meaning.vectors.as_ref());
    let goods = goods(&data.catalog, &data.knowledge, vectors, coupons.dims)?;
    let (campaigns, redeemed) = read_campaigns(&folder(site)?, data, &goods)?;
    let rows = rows(data, &campaigns, &redeemed, &goods, site);
    let part = |from: i64, to: i64, whole: bool| -> Vec<u32> {
        let fits = |row: &usize| {
            let campaign = &campaigns[rows.campaign[*row]];
            campaign.start >= from && campaign.start < to && (!whole || campaign.end < to)
        };
        (0..rows.campaign.len()).filter(fits).map(|row| row as u32).collect()
    };
    let (valid, test) = (coupons.valid_from, coupons.test_from);
    let (train, valid, test) = (part(i64::MIN, valid, true), part(valid, test, true), part(test, i64::MAX, false));
    let lessons = Lessons { table: rows.table, tasks: rows.tasks, train, valid };
    let protocol =
        "a coupon redeemed by a household that the campaign was sent to, split by the begin of the campaign".into();
    Ok(Prepared { lessons, test, shoppers: numbered(rows.household.into_iter()), protocol })
}

/// The folder with the tables of campaigns: the one that was named, or the asset.
fn folder(site: &Site) -> Result<PathBuf> {
    if site.data.join("campaigns.parquet").is_file() {
        return Ok(site.data.clone());
    }
    Ok(assets::ensure("completejourney-coupons", &site.progress)?)
}

/// The named columns of a table, as text.
fn columns<const N: usize>(path: &Path, names: [&str; N], take: &mut dyn FnMut([String; N])) -> Result<()> {
    Ok(read_columns(path, None, &FileOptions::default(), &names, &mut |_, cells| {
        take(std::array::from_fn(|at| cells[at].as_deref().unwrap_or_default().to_owned()));
        Ok(())
    })?)
}

fn read_campaigns(folder: &Path, data: &Ingested, goods: &Goods) -> Result<(Vec<Campaign>, Redeemed)> {
    let last =
        data.interactions.for_purpose(Purpose::Training).users().filter_map(|(_, rows)| rows.at.last().copied()).max();
    let mut campaigns: Vec<Campaign> = Vec::new();
    let path = folder.join("campaign_descriptions.parquet");
    let mut bad = None;
    columns(&path, ["campaign_id", "campaign_type", "start_date", "end_date"], &mut |[id, kind, start, end]| match (
        start.parse::<i64>(),
        end.parse::<i64>(),
    ) {
        (Ok(start), Ok(end)) => campaigns.push(Campaign {
            id,
            kind,
            start,
            end: end + DAY - 1,
            coupons: 0,
            goods: HashSet::new(),
            households: Vec::new(),
            meaning: Vec::new(),
        }),
        _ => bad = Some(format!("{start:?} to {end:?}")),
    })?;
    if let Some(got) = bad {
        let message = format!("{}: expected times of begin and end, got {got}", path.display());
        return Err(UserError::new(message, "lingxi assets verify completejourney-coupons").into());
    }
    // What a campaign came to is known only where it is over.
    campaigns.retain(|campaign| last.is_some_and(|last| campaign.end <= last + DAY));
    campaigns.sort_by_key(|campaign| (campaign.start, campaign.end));
    let of: BTreeMap<String, usize> =
        campaigns.iter().enumerate().map(|(at, campaign)| (campaign.id.clone(), at)).collect();
    columns(&folder.join("campaigns.parquet"), ["campaign_id", "household_id"], &mut |[campaign, household]| {
        if let (Some(at), Some(user)) = (of.get(&campaign), data.users.get(&household)) {
            campaigns[*at].households.push(UserId(user));
        }
    })?;
    let mut upcs: BTreeSet<(usize, String)> = BTreeSet::new();
    columns(&folder.join("coupons.parquet"), ["coupon_upc", "product_id", "campaign_id"], &mut |[
        upc,
        product,
        campaign,
    ]| {
        if let Some(at) = of.get(&campaign) {
            campaigns[*at].goods.extend(data.catalog.ids.get(&product).map(ItemId));
            upcs.insert((*at, upc));
        }
    })?;
    upcs.iter().for_each(|(at, _)| campaigns[*at].coupons += 1);
    let mut redeemed = Redeemed::new();
    let names = ["household_id", "campaign_id", "redemption_date"];
    columns(&folder.join("coupon_redemptions.parquet"), names, &mut |[household, campaign, at]| {
        if let (Some(user), Some(campaign), Ok(at)) = (data.users.get(&household), of.get(&campaign), at.parse::<i64>())
        {
            // The tables know the day: it is over before it counts.
            redeemed.entry(UserId(user)).or_default().push((at + DAY - 1, *campaign));
        }
    })?;
    redeemed.values_mut().for_each(|list| list.sort_unstable());
    campaigns.iter_mut().for_each(|campaign| campaign.meaning = mean(goods, campaign.goods.iter()));
    Ok((campaigns, redeemed))
}

fn vector(goods: &Goods, item: ItemId) -> &[f32] {
    &goods.vectors[item.index() * goods.dim..][..goods.dim]
}

/// The mean of what goods say; summed in the order of their ids, so that it is the same every time.
fn mean<'a>(goods: &Goods, items: impl Iterator<Item = &'a ItemId>) -> Vec<f32> {
    let mut items: Vec<ItemId> = items.copied().collect();
    items.sort_unstable();
    let mut sum = vec![0.0; goods.dim];
    for item in &items {
        sum.iter_mut().zip(vector(goods, *item)).for_each(|(sum, x)| *sum += x / items.len() as f32);
    }
    sum
}

/// Rows with whose and of which campaign each is.
struct Found {
    table: Table,
    tasks: Vec<Task>,
    campaign: Vec<usize>,
    household: Vec<u32>,
}

const COLUMNS: [&str; 50] = [
    "bought",
    "bought_30",
    "bought_7",
    "days",
    "days_30",
    "distinct",
    "since_purchase",
    "since_first",
    "spent",
    "spent_30",
    "sent",
    "sent_kind",
    "answered",
    "answered_kind",
    "answer_rate",
    "answer_rate_kind",
    "redeemed",
    "since_redeemed",
    "running",
    "answered_last",
    "is_a",
    "is_b",
    "is_c",
    "length",
    "coupons",
    "goods",
    "sent_to",
    "kind_rate",
    "month",
    "weekday",
    "own_goods",
    "own_goods_90",
    "own_goods_30",
    "own_share",
    "own_distinct",
    "own_since",
    "own_spent",
    "own_categories",
    "own_category_share",
    "alike_mean",
    "alike_most",
    "alike_average",
    "age",
    "income",
    "household_size",
    "kids",
    "known",
    "direction_0",
    "direction_1",
    "direction_2",
];

fn rows(data: &Ingested, campaigns: &[Campaign], redeemed: &Redeemed, goods: &Goods, site: &Site) -> Found {
    let total: usize = campaigns.iter().map(|campaign| campaign.households.len()).sum();
    let stage = site.progress.stage("households", Some(total as u64), crate::progress::Unit::Of("rows"));
    let events = data.interactions.for_purpose(Purpose::Training);
    let people = People::new(data);
    let (n, dim) = (data.catalog.len() as u32, goods.dim);
    let mut vectors = goods.vectors.to_vec();
    campaigns.iter().for_each(|campaign| vectors.extend_from_slice(&campaign.meaning));
    let mut seen = Seen { dim, vectors: vectors.into(), offsets: vec![0], ..Seen::default() };
    let (mut features, mut bought, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of_campaign, mut of_household) = (Vec::new(), Vec::new());
    for (at, campaign) in campaigns.iter().enumerate() {
        let rate = kind_rate(campaigns, redeemed, at);
        let categories: HashSet<_> =
            campaign.goods.iter().filter_map(|item| data.catalog.category[item.index()]).collect();
        for &household in &campaign.households {
            let all = events.of(household);
            let before = all.before(campaign.start);
            let own = redeemed.get(&household).map_or(&[][..], Vec::as_slice);
            features.extend(habits(before, campaign.start));
            features.extend(answers(campaigns, at, household, own));
            features.extend(kind(campaign, rate));
            let in_category =
                |item: &ItemId| data.catalog.category[item.index()].is_some_and(|c| categories.contains(&c));
            features.extend(together(before, campaign, &in_category));
            let last = last_goods(before);
            features.extend(alike(goods, campaign, &last, before));
            features.extend(people.of(household));
            features.extend((0..3).map(|i| campaign.meaning.get(i).copied().unwrap_or(0.0)));
            seen.target.push(n + at as u32);
            seen.items.extend(last.iter().map(|item| item.0));
            seen.offsets.push(seen.items.len());
            let during = all.range(before.len(), all.at.partition_point(|time| *time <= campaign.end));
            let redeems = own.iter().any(|(_, other)| *other == at);
            bought.push(Some(redeems || during.items.iter().any(|item| campaign.goods.contains(item))));
            answered.push(Some(redeems));
            of_campaign.push(at);
            of_household.push(household.0);
        }
        stage.add(campaign.households.len() as u64);
    }
    stage.finish("");
    let task = |name: &str, came| Task { name: name.into(), came };
    let columns = COLUMNS.map(str::to_owned).to_vec();
    let table = Table { columns, features, seen: (dim > 0).then_some(seen) };
    let tasks = vec![task("buy", bought), task("redeem", answered)];
    Found { table, tasks, campaign: of_campaign, household: of_household }
}

fn ago(now: i64, then: Option<i64>) -> f32 {
    then.map_or(NEVER, |then| ((now - then).max(0) as f32).ln_1p())
}

fn since(rows: Rows<'_>, now: i64, days: i64) -> Rows<'_> {
    rows.range(rows.at.partition_point(|at| *at < now - days * DAY), rows.len())
}

fn days(rows: Rows<'_>) -> f32 {
    let days: BTreeSet<i64> = rows.at.iter().map(|at| at.div_euclid(DAY)).collect();
    (days.len() as f32).ln_1p()
}

fn spent(rows: Rows<'_>) -> f32 {
    rows.values.iter().map(|value| value.max(0.0)).sum::<f32>().ln_1p()
}

fn habits(before: Rows<'_>, now: i64) -> [f32; 10] {
    let (month, week) = (since(before, now, 30), since(before, now, 7));
    let distinct: HashSet<&ItemId> = before.items.iter().collect();
    let count = |rows: Rows<'_>| (rows.len() as f32).ln_1p();
    let (last, first) = (before.at.last().copied(), before.at.first().copied());
    let spent = [spent(before), spent(month)];
    let [whole, of_month, of_week] = [before, month, week].map(count);
    let distinct = (distinct.len() as f32).ln_1p();
    [whole, of_month, of_week, days(before), days(month), distinct, ago(now, last), ago(now, first), spent[0], spent[1]]
}

/// How a household answered campaigns before this one began.
fn answers(campaigns: &[Campaign], at: usize, household: UserId, own: &[(i64, usize)]) -> [f32; 10] {
    let (this, now) = (&campaigns[at], campaigns[at].start);
    let known: Vec<(i64, usize)> = own.iter().copied().filter(|(time, _)| *time < now).collect();
    let answered: BTreeSet<usize> = known.iter().map(|(_, campaign)| *campaign).collect();
    let sent: Vec<usize> = (0..campaigns.len())
        .filter(|other| campaigns[*other].start < now && campaigns[*other].households.contains(&household))
        .collect();
    let of_kind = |other: &&usize| campaigns[**other].kind == this.kind;
    let (all, alike) = (sent.len() as f32, sent.iter().filter(of_kind).count() as f32);
    let (yes, yes_alike) = (answered.len() as f32, answered.iter().filter(of_kind).count() as f32);
    let running = sent.iter().filter(|other| campaigns[**other].end >= now).count() as f32;
    let last = sent.last().is_some_and(|last| answered.contains(last));
    [
        all,
        alike,
        yes,
        yes_alike,
        (yes + 0.3) / (all + 3.0),
        (yes_alike + 0.3) / (alike + 3.0),
        (known.len() as f32).ln_1p(),
        ago(now, known.last().map(|(time, _)| *time)),
        running,
        f32::from(u8::from(last)),
    ]
}

/// How often households answered campaigns of the same kind, of what was known when this one began.
fn kind_rate(campaigns: &[Campaign], redeemed: &Redeemed, at: usize) -> f32 {
    let this = &campaigns[at];
    let alike = |other: usize| campaigns[other].kind == this.kind && campaigns[other].start < this.start;
    let sent: usize =
        (0..campaigns.len()).filter(|other| alike(*other)).map(|other| campaigns[other].households.len()).sum();
    let of_one = |list: &Vec<(i64, usize)>| {
        let known = list.iter().filter(|(time, other)| *time < this.start && alike(*other));
        known.map(|(_, other)| *other).collect::<BTreeSet<_>>().len()
    };
    let yes: usize = redeemed.values().map(of_one).sum();
    (yes as f32 + 1.0) / (sent as f32 + 12.0)
}

fn kind(campaign: &Campaign, rate: f32) -> [f32; 10] {
    let is = |kind: &str| f32::from(u8::from(campaign.kind == kind));
    let month = campaign.start.rem_euclid(365 * DAY + DAY / 4) as f32 / (30.0 * DAY as f32);
    let weekday = (campaign.start.div_euclid(DAY) + 3).rem_euclid(7) as f32;
    [
        is("Type A"),
        is("Type B"),
        is("Type C"),
        (campaign.end - campaign.start) as f32 / DAY as f32,
        (campaign.coupons as f32).ln_1p(),
        (campaign.goods.len() as f32).ln_1p(),
        (campaign.households.len() as f32).ln_1p(),
        rate,
        month,
        weekday,
    ]
}

/// What the household bought of the campaign's goods, and of their categories.
fn together(before: Rows<'_>, campaign: &Campaign, in_category: &dyn Fn(&ItemId) -> bool) -> [f32; 9] {
    let now = campaign.start;
    let own: Vec<usize> = (0..before.len()).filter(|at| campaign.goods.contains(&before.items[*at])).collect();
    let within = |days: i64| own.iter().filter(|at| before.at[**at] >= now - days * DAY).count() as f32;
    let distinct: HashSet<ItemId> = own.iter().map(|at| before.items[*at]).collect();
    let spent: f32 = own.iter().map(|at| before.values[*at].max(0.0)).sum();
    let category = before.items.iter().filter(|item| in_category(item)).count() as f32;
    let all = before.len().max(1) as f32;
    [
        (own.len() as f32).ln_1p(),
        within(90).ln_1p(),
        within(30).ln_1p(),
        own.len() as f32 / all,
        (distinct.len() as f32).ln_1p(),
        ago(now, own.last().map(|at| before.at[*at])),
        spent.ln_1p(),
        category.ln_1p(),
        category / all,
    ]
}

/// The last distinct goods, latest first.
fn last_goods(before: Rows<'_>) -> Vec<ItemId> {
    let mut found: Vec<ItemId> = Vec::with_capacity(NEAR);
    for item in before.items.iter().rev() {
        if found.len() < NEAR && !found.contains(item) {
            found.push(*item);
        }
    }
    found
}

fn alike(goods: &Goods, campaign: &Campaign, last: &[ItemId], before: Rows<'_>) -> [f32; 3] {
    if goods.dim == 0 {
        return [0.0; 3];
    }
    let [most, average] = likeness(&campaign.meaning, last.iter().map(|item| vector(goods, *item)));
    let habit = mean(goods, before.last(200).items.iter());
    let [mean, _] = likeness(&campaign.meaning, [habit.as_slice()].into_iter());
    [mean, most, average]
}

/// What is known of households: each column's values in the order of their names.
struct People {
    values: Vec<Vec<f32>>,
}

impl People {
    fn new(data: &Ingested) -> People {
        let of = |name: &str| {
            let column = data.user_attributes.iter().find(|attribute| attribute.name == name);
            let values: &[String] = column.map_or(&[], |column| &column.values);
            // "50-74K" before "125-149K": by the first number in it.
            let number =
                |text: &String| text.split(|c: char| !c.is_ascii_digit()).find_map(|part| part.parse::<f32>().ok());
            values.iter().map(|text| number(text).unwrap_or(-1.0)).collect()
        };
        People { values: ["age", "income", "household_size", "kids_count"].map(of).to_vec() }
    }

    fn of(&self, household: UserId) -> [f32; 5] {
        let value = |at: usize| self.values[at].get(household.index()).copied().unwrap_or(-1.0);
        let known = (0..4).any(|at| value(at) >= 0.0);
        [value(0), value(1), value(2), value(3), f32::from(u8::from(known))]
    }
}

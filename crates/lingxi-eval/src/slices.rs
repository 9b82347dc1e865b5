//! For whom is the model good, and for which goods?
//!
//! A report and ways to group its cases come in, one report per group goes out. Nothing is ranked again: figures of a
//! group are made of the lists of the whole. A group of goods asks only for those among the relevant items, and only the
//! cases that have one.

use crate::rank::Ranked;
use crate::report::{Asked, Scope};
use crate::{Case, EvalConfig, Goods, Report, Result};
use lingxi_data::{UserId, least_taken};
use std::collections::BTreeMap;

/// A group of cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// What the group is called, such as `history 1` or `long tail`.
    pub name: String,
    /// Indices of its cases, ascending.
    pub cases: Vec<u32>,
    /// If set, only these goods count as relevant; length `n_items`.
    pub goods: Option<Vec<bool>>,
}

/// Cases by how much of the shopper is known: no event, one, two, three, 4-5, 6-10, 11 and more. Empty groups are left out.
pub fn by_history(cases: &[Case<'_>]) -> Vec<Slice> {
    let bounds = [(0, 0, "history 0"), (1, 1, "history 1"), (2, 2, "history 2"), (3, 3, "history 3")];
    let wide = [(4, 5, "history 4-5"), (6, 10, "history 6-10"), (11, usize::MAX, "history 11+")];
    let slice = |(from, to, name): (usize, usize, &str)| Slice {
        name: name.into(),
        cases: those(cases, |case| (from..=to).contains(&case.context.history.len())),
        goods: None,
    };
    bounds.into_iter().chain(wide).map(slice).filter(|slice| !slice.cases.is_empty()).collect()
}

/// The cases that ask for goods without a training event, and for those goods only.
pub fn new_goods(cases: &[Case<'_>], counts: &[u32]) -> Slice {
    let goods: Vec<bool> = counts.iter().map(|&count| count == 0).collect();
    of_goods("new goods", cases, goods)
}

/// The cases that ask for the long tail: the least popular `share` (0.8 is usual) of the catalogue by training events,
/// ties by higher id. Only tail goods count as relevant.
pub fn long_tail(cases: &[Case<'_>], counts: &[u32], share: f64) -> Slice {
    of_goods(&format!("long tail {:.0}%", share * 100.0), cases, least_taken(counts, share))
}

fn of_goods(name: &str, cases: &[Case<'_>], goods: Vec<bool>) -> Slice {
    let asks = |case: &Case<'_>| case.relevant.iter().any(|item| goods.get(item.index()) == Some(&true));
    Slice { name: name.into(), cases: those(cases, asks), goods: Some(goods) }
}

/// One group per label of the shoppers (an age band, a region), by label; `feature` names them. Shoppers without a label
/// are in no group.
pub fn by_label<'l>(cases: &[Case<'_>], feature: &str, label: impl Fn(UserId) -> Option<&'l str>) -> Vec<Slice> {
    let mut groups: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (i, case) in cases.iter().enumerate() {
        if let Some(label) = case.context.user.and_then(&label) {
            groups.entry(label).or_default().push(i as u32);
        }
    }
    groups.into_iter().map(|(label, cases)| Slice { name: format!("{feature} {label}"), cases, goods: None }).collect()
}

fn those(cases: &[Case<'_>], wanted: impl Fn(&Case<'_>) -> bool) -> Vec<u32> {
    cases.iter().enumerate().filter(|(_, case)| wanted(case)).map(|(i, _)| i as u32).collect()
}

/// Measures the cases of a slice by the lists of `report`, which must be of the same `cases`. `None` if the slice has no
/// case that was asked. AUC is left out of slices of goods: it would need all scores again.
///
/// # Errors
/// Those of [`crate::evaluate`], if cases, goods or settings are not those of the report.
pub fn measure(
    report: &Report,
    slice: &Slice,
    cases: &[Case<'_>],
    n_items: usize,
    goods: &Goods<'_>,
    config: &EvalConfig,
) -> Result<Option<Report>> {
    // Rows of the report that belong to the slice.
    let rows: Vec<u32> = (0..report.asked.len() as u32)
        .filter(|&r| slice.cases.binary_search(&report.asked[r as usize]).is_ok())
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let chosen = rows.iter().map(|&r| &cases[report.asked[r as usize] as usize]);
    let of_slice: Vec<Case<'_>> = chosen.map(|case| narrowed(case, slice.goods.as_deref())).collect();
    let auc = match (report.per_case("auc"), &slice.goods) {
        (Some(all), None) => rows.iter().map(|&r| all[r as usize]).collect(),
        _ => Vec::new(),
    };
    let ranked = Ranked { lists: report.lists.select(&rows), auc, nan_scores: 0 };
    let config = EvalConfig { protocol: report.protocol.clone(), split: report.split.clone(), ..config.clone() };
    let asked = Asked::of(&of_slice, n_items, goods, &config)?;
    let name = format!("{}, {}", report.model, slice.name);
    let measured = asked.report(&name, ranked, goods, &config, Scope::AsSaid);
    Ok(Some(Report { asked: rows.iter().map(|&r| report.asked[r as usize]).collect(), ..measured }))
}

/// The case with only the wanted goods relevant.
fn narrowed<'a>(case: &Case<'a>, goods: Option<&[bool]>) -> Case<'a> {
    let mut case = case.clone();
    if let Some(goods) = goods {
        let keep: Vec<bool> = case.relevant.iter().map(|item| goods.get(item.index()) == Some(&true)).collect();
        let (mut items, mut grades) = (keep.iter(), keep.iter());
        case.relevant.retain(|_| *items.next().expect("one flag per item"));
        case.grades.retain(|_| *grades.next().expect("one flag per grade"));
    }
    case
}

//! Experiments on disk: what is tried, who was met in which arm, and the sums of what they did.
//!
//! A slate, an event or an erasure moves the sums in its own transaction, so that they are always those of what is stored.
//! Nothing is counted in an arm that was stopped or an experiment that ended.

use super::changing::CLOCK_SLACK;
use super::record::{NewEvent, Shown};
use crate::experiments::{Deeds, ExperimentConfig, Measure, Stopped};
use lingxi_data::EventKind;
use lingxi_eval::experiment::ArmTotals;
use rusqlite::{Connection, Result, Row, params};
use serde_json::json;

/// Rows of an experiment that is taken away at once.
const AT_ONCE: usize = 10_000;

/// That a shopper was shown a slate in an arm.
#[derive(Clone, Debug, PartialEq)]
pub struct Met {
    /// The experiment's number.
    pub experiment: i64,
    /// The place of the arm.
    pub arm: usize,
    /// What the shopper did before.
    pub before: Deeds,
    /// Milliseconds that the slate took to choose.
    pub ms: f64,
}

/// A change of what is tried.
#[derive(Clone, Debug, PartialEq)]
pub enum Trial {
    /// Starts an experiment.
    Start {
        /// What is tried.
        config: Box<ExperimentConfig>,
        /// Unix seconds.
        at: i64,
    },
    /// Stops an arm.
    StopArm {
        /// The experiment's number.
        experiment: i64,
        /// The place of the arm.
        arm: usize,
        /// When, why, and what it said last.
        stopped: Stopped,
    },
    /// Ends an experiment.
    End {
        /// Its number.
        experiment: i64,
        /// Unix seconds.
        at: i64,
        /// In words.
        why: String,
    },
    /// Takes away a part of what is kept of an experiment that ended; the last part takes the experiment.
    Remove {
        /// Its number.
        experiment: i64,
    },
}

/// Makes a change; whether all of it is made: one that removes much is to be asked again.
pub fn change(connection: &Connection, trial: &Trial) -> Result<bool> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| connection.prepare_cached(sql)?.execute(values);
    match trial {
        Trial::Start { config, at } => start(connection, config, *at)?,
        Trial::StopArm { experiment, arm, stopped } => {
            let (arm, stopped) = (*arm as i64, json!(stopped).to_string());
            let sql = "UPDATE arms SET stopped = ?3 WHERE experiment = ?1 AND arm = ?2 AND stopped IS NULL";
            run(sql, &[experiment, &arm, &stopped])?;
        }
        Trial::End { experiment, at, why } => {
            run("UPDATE experiments SET ended = ?2, why = ?3 WHERE id = ?1 AND ended IS NULL", &[experiment, at, why])?;
        }
        Trial::Remove { experiment } => {
            let some = "DELETE FROM met WHERE experiment = ?1 AND user IN (SELECT user FROM met WHERE experiment = ?1 LIMIT ?2)";
            if run(some, &[experiment, &(AT_ONCE as i64)])? == AT_ONCE {
                return Ok(false);
            }
            run("DELETE FROM arm_totals WHERE experiment = ?1", &[experiment])?;
            run("DELETE FROM arms WHERE experiment = ?1", &[experiment])?;
            run("DELETE FROM experiments WHERE id = ?1", &[experiment])?;
        }
    }
    Ok(true)
}

fn start(connection: &Connection, config: &ExperimentConfig, at: i64) -> Result<()> {
    connection.execute(
        "INSERT INTO experiments (name, body, within, started) VALUES (?, ?, ?, ?)",
        params![config.name, json!(config).to_string(), config.within(), at],
    )?;
    let id = connection.last_insert_rowid();
    let totals = "INSERT INTO arm_totals (experiment, arm, metric, n, mean, before, squares, squares_before, products)
                  VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0)";
    for arm in 0..config.arms.len() as i64 {
        connection.execute("INSERT INTO arms (experiment, arm) VALUES (?, ?)", params![id, arm])?;
        for metric in &config.metrics {
            connection.execute(totals, params![id, arm, metric.name()])?;
        }
    }
    Ok(())
}

/// Whether any experiment runs.
pub fn any(connection: &Connection) -> Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM experiments WHERE ended IS NULL)", [], |row| row.get(0))
}

/// A shopper in an arm that counts.
struct Member {
    experiment: i64,
    arm: i64,
    since: i64,
    after: i64,
    within: Option<i64>,
    deeds: Deeds,
    before: Deeds,
}

/// Counts a slate; `last` is the last event that had arrived.
pub fn meet(connection: &Connection, shown: &Shown, met: &Met, last: i64) -> Result<()> {
    let goes_on = "SELECT 1 FROM arms JOIN experiments ON id = experiment
                   WHERE experiment = ? AND arm = ? AND stopped IS NULL AND ended IS NULL";
    if !connection.prepare_cached(goes_on)?.exists(params![met.experiment, met.arm as i64])? {
        return Ok(());
    }
    let known = members(connection, &shown.user, Some(met.experiment))?.pop();
    if known.as_ref().is_some_and(|known| !known.counts(shown.at)) {
        return Ok(());
    }
    let mut deeds = known.as_ref().map_or_else(Deeds::default, |known| known.deeds);
    // A page past the end of what there is says nothing of the slate.
    deeds.see(shown.slots.is_empty() && shown.first == 0, met.ms);
    match known {
        Some(known) => known.did(connection, &shown.user, deeds),
        None => {
            let insert =
                "INSERT INTO met (experiment, user, arm, since, after, deeds, before) VALUES (?, ?, ?, ?, ?, ?, ?)";
            let (now, before, arm) = (json!(deeds).to_string(), json!(met.before).to_string(), met.arm as i64);
            let row = params![met.experiment, shown.user, arm, shown.at, last, now, before];
            connection.prepare_cached(insert)?.execute(row)?;
            move_totals(connection, (met.experiment, arm), |metric, totals| {
                totals.add(metric.of(&deeds), metric.of(&met.before));
            })
        }
    }
}

/// Counts an event; `answers`: it joined a slate.
pub fn act(connection: &Connection, event: &NewEvent, answers: bool) -> Result<()> {
    for member in members(connection, &event.user, None)? {
        if member.counts(event.at) {
            let mut deeds = member.deeds;
            deeds.act(event.kind, f64::from(event.value), answers);
            member.did(connection, &event.user, deeds)?;
        }
    }
    Ok(())
}

/// Counts a shopper anew of whom events were erased.
pub fn recount(connection: &Connection, user: &str) -> Result<()> {
    for member in members(connection, user, None)? {
        let mut deeds = Deeds { buys: 0.0, value: 0.0, clicks: 0.0, ..member.deeds };
        let sql = "SELECT kind, value, EXISTS (SELECT 1 FROM feedback WHERE event = seq) FROM events
                   WHERE user = ? AND at BETWEEN ? AND ? AND seq > ? ORDER BY seq";
        let mut events = connection.prepare_cached(sql)?;
        let (from, to) = (member.since - CLOCK_SLACK, member.within.map_or(i64::MAX, |within| member.since + within));
        let mut rows = events.query(params![user, from, to, member.after])?;
        while let Some(row) = rows.next()? {
            let kind = EventKind::parse(row.get_ref(0)?.as_str()?).unwrap_or(EventKind::Other);
            let value: f64 = row.get(1)?;
            if value != 0.0 || kind == EventKind::Rate {
                deeds.act(kind, value, row.get(2)?);
            }
        }
        member.did(connection, user, deeds)?;
    }
    Ok(())
}

/// Takes a shopper out of all sums that still grow, and out of all experiments.
pub fn forget(connection: &Connection, user: &str) -> Result<()> {
    for member in members(connection, user, None)? {
        move_totals(connection, (member.experiment, member.arm), |metric, totals| {
            totals.remove(metric.of(&member.deeds), metric.of(&member.before));
        })?;
    }
    let delete = "DELETE FROM met WHERE user = ? AND experiment IN (SELECT id FROM experiments)";
    connection.prepare_cached(delete)?.execute([user]).map(drop)
}

/// Where a shopper was met and counts; of one experiment, or of all that run.
fn members(connection: &Connection, user: &str, experiment: Option<i64>) -> Result<Vec<Member>> {
    // CROSS JOIN keeps this order: a row for each of a few experiments, not all that were met in them.
    let sql = "SELECT met.experiment, met.arm, since, after, within, deeds, before
               FROM experiments CROSS JOIN met ON met.experiment = id AND user = ?1
                    CROSS JOIN arms ON arms.experiment = id AND arms.arm = met.arm
               WHERE ended IS NULL AND stopped IS NULL AND (?2 IS NULL OR id = ?2)";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![user, experiment], |row| {
        let (experiment, arm, since, after, within) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
        Ok(Member { experiment, arm, since, after, within, deeds: deeds(row, 5)?, before: deeds(row, 6)? })
    })?;
    rows.collect()
}

fn deeds(row: &Row<'_>, column: usize) -> Result<Deeds> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|why| super::reader::not_ours(column, why))
}

impl Member {
    /// Whether what is done at this time counts.
    fn counts(&self, at: i64) -> bool {
        at >= self.since - CLOCK_SLACK && self.within.is_none_or(|within| at <= self.since.saturating_add(within))
    }

    /// From now on the shopper did this.
    fn did(&self, connection: &Connection, user: &str, deeds: Deeds) -> Result<()> {
        if deeds == self.deeds {
            return Ok(());
        }
        let update = "UPDATE met SET deeds = ? WHERE experiment = ? AND user = ?";
        let text = json!(deeds).to_string();
        connection.prepare_cached(update)?.execute(params![text, self.experiment, user])?;
        move_totals(connection, (self.experiment, self.arm), |metric, totals| {
            let (from, to) = (metric.of(&self.deeds), metric.of(&deeds));
            if from != to {
                totals.change(from, to, metric.of(&self.before));
            }
        })
    }
}

/// Lets `by` move the sums of an arm; those that it moved are written.
fn move_totals(
    connection: &Connection,
    (experiment, arm): (i64, i64),
    by: impl Fn(Measure, &mut ArmTotals),
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT metric, n, mean, before, squares, squares_before, products FROM arm_totals WHERE experiment = ? AND arm = ?",
    )?;
    let all = statement.query_map([experiment, arm], |row| Ok((row.get::<_, String>(0)?, totals(row, 1)?)))?;
    let mut update = connection.prepare_cached(
        "UPDATE arm_totals SET n = ?4, mean = ?5, before = ?6, squares = ?7, squares_before = ?8, products = ?9
         WHERE experiment = ?1 AND arm = ?2 AND metric = ?3",
    )?;
    for (name, old) in all.collect::<Result<Vec<_>>>()? {
        let Some(metric) = Measure::parse(&name) else { continue };
        let mut new = old;
        by(metric, &mut new);
        if new != old {
            let ArmTotals { n, mean, before, squares, squares_before, products } = new;
            update.execute(params![
                experiment,
                arm,
                name,
                n as i64,
                mean,
                before,
                squares,
                squares_before,
                products
            ])?;
        }
    }
    Ok(())
}

/// The sums of six columns, the first at `column`.
pub(super) fn totals(row: &Row<'_>, column: usize) -> Result<ArmTotals> {
    let at = |i: usize| row.get::<_, f64>(column + i);
    let n = row.get::<_, i64>(column)?;
    let n = u64::try_from(n).unwrap_or_default();
    Ok(ArmTotals { n, mean: at(1)?, before: at(2)?, squares: at(3)?, squares_before: at(4)?, products: at(5)? })
}

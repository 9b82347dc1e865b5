//! How experiments come back: a few rows each, however many shoppers were met.

use super::error::{Result, StoreError};
use super::experiments::totals;
use super::reader::{Reader, not_ours, read_error};
use crate::experiments::{ExperimentConfig, Kept, KeptArm, Measure, Stopped};
use lingxi_eval::experiment::ArmTotals;
use std::collections::HashMap;

impl Reader {
    /// All experiments, in the order in which they were started.
    ///
    /// # Errors
    /// [`StoreError::Read`] if the query fails or a row is not ours.
    pub fn experiments(&self) -> Result<Vec<Kept>> {
        // One state of the file for all three questions.
        let state = self.0.unchecked_transaction().map_err(read_error)?;
        let kept = self.read_experiments();
        state.finish().map_err(read_error)?;
        kept
    }

    fn read_experiments(&self) -> Result<Vec<Kept>> {
        let mut sums = self.sums()?;
        let mut arms: HashMap<i64, Vec<KeptArm>> = HashMap::new();
        let sql = "SELECT experiment, arm, stopped FROM arms ORDER BY experiment, arm";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let rows = statement.query_map([], |row| {
            let stopped: Option<String> = row.get(2)?;
            let stopped = stopped.map(|text| serde_json::from_str::<Stopped>(&text)).transpose();
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, stopped.map_err(|why| not_ours(2, why))?))
        });
        for row in rows.map_err(read_error)? {
            let (experiment, arm, stopped) = row.map_err(read_error)?;
            let of_arm = KeptArm { stopped, totals: Vec::new() };
            arms.entry(experiment).or_default().insert(arm as usize, of_arm);
        }
        let sql = "SELECT id, body, started, ended, coalesce(why, '') FROM experiments ORDER BY started, id";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let rows = statement.query_map([], |row| {
            let config: ExperimentConfig =
                serde_json::from_str(row.get_ref(1)?.as_str()?).map_err(|why| not_ours(1, why))?;
            let (ended, why): (Option<i64>, String) = (row.get(3)?, row.get(4)?);
            let (id, started, ended) = (row.get(0)?, row.get(2)?, ended.map(|at| (at, why)));
            Ok(Kept { id, config, started, ended, arms: Vec::new() })
        });
        let whole = |mut kept: Kept| {
            kept.arms = arms.remove(&kept.id).unwrap_or_default();
            if kept.arms.len() != kept.config.arms.len() {
                return Err(StoreError::Read(format!("experiment {}: its arms are not all there", kept.config.name)));
            }
            for (arm, of_arm) in kept.arms.iter_mut().enumerate() {
                let mut sum = |metric: &Measure| sums.remove(&(kept.id, arm, metric.name().to_owned()));
                of_arm.totals = kept.config.metrics.iter().map(|metric| sum(metric).unwrap_or_default()).collect();
            }
            Ok(kept)
        };
        let kept: Vec<Kept> = rows.map_err(read_error)?.collect::<rusqlite::Result<_>>().map_err(read_error)?;
        kept.into_iter().map(whole).collect()
    }

    fn sums(&self) -> Result<HashMap<(i64, usize, String), ArmTotals>> {
        let sql = "SELECT experiment, arm, metric, n, mean, before, squares, squares_before, products FROM arm_totals";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let rows = statement
            .query_map([], |row| Ok(((row.get(0)?, row.get::<_, i64>(1)? as usize, row.get(2)?), totals(row, 3)?)));
        rows.map_err(read_error)?.collect::<rusqlite::Result<_>>().map_err(read_error)
    }
}

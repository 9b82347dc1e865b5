//! Figures of several folds -> their mean, with the spread between folds as the interval.

use super::measure::Measured;
use lingxi_eval::Report;

impl Measured {
    /// The figures of one division as they are; of several folds the mean of each figure, and an interval of that mean
    /// from the spread between the folds (Student's t). What differs by fold (groups, paired tests, weights) is left out;
    /// each fold's own result stands under the protocols.
    pub fn mean(mut folds: Vec<Measured>) -> Measured {
        if folds.len() == 1 {
            return folds.remove(0);
        }
        let results: Vec<&Report> = folds.iter().map(|fold| &fold.result).collect();
        let rows = |of: fn(&Measured) -> &Vec<Report>| -> Vec<Report> {
            let n = folds.iter().map(|fold| of(fold).len()).min().unwrap_or(0);
            (0..n).map(|i| mean_of(&folds.iter().map(|fold| &of(fold)[i]).collect::<Vec<_>>())).collect()
        };
        Measured {
            result: mean_of(&results),
            models: rows(|fold| &fold.models),
            ratings: rows(|fold| &fold.ratings),
            protocols: results.into_iter().cloned().collect(),
            slices: Vec::new(),
            tests: Vec::new(),
            weights: Vec::new(),
            draws: Vec::new(),
            tail: None,
            costs: folds[0].costs.clone(),
        }
    }
}

/// The mean of one model's reports on several folds.
fn mean_of(folds: &[&Report]) -> Report {
    Report::mean(format!("mean of {} folds: {}", folds.len(), folds[0].protocol.replace(", fold 0", "")), folds)
}

//! Rows -> candidates, the one that validation chose, and what each is worth on the test rows, which are read once.

use super::Prepared;
use crate::failure::UserError;
use crate::progress::{Stage, Unit};
use crate::site::Site;
use anyhow::Result;
use lingxi_behaviour::BehaviourError;
use lingxi_behaviour::predict::{Candidate, PredictConfig, Predictor, fit};
use lingxi_eval::calibration::{Calibration, Foretold, calibration};
use lingxi_eval::probabilities::{Sharpness, compare};
use std::time::Instant;

/// A candidate on the test.
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// What was found in fitting, and how it was calibrated.
    pub note: String,
    /// Log-loss on validation across folds: what the choice went by.
    pub valid_loss: f64,
    /// Seconds of fitting.
    pub seconds: f64,
    /// ROC-AUC and log-loss.
    pub sharpness: Sharpness,
    /// The same less those of the chosen one.
    pub less_chosen: Sharpness,
    /// Whether probabilities come true.
    pub calibration: Calibration,
}

/// All that was measured.
pub struct Measured {
    /// The candidates.
    pub rows: Vec<Row>,
    /// The chosen one.
    pub chosen: usize,
    /// Rows of training, validation and test, and how many came true in each.
    pub sizes: [(usize, usize); 3],
    /// Probabilities of each candidate on the test rows.
    pub foretold: Vec<Vec<f64>>,
    /// The predictor.
    pub predictor: Predictor,
}

/// Fits, chooses and measures.
///
/// # Errors
/// Rows that teach nothing.
pub fn measure(config: &PredictConfig, prepared: &Prepared, site: &Site) -> Result<Measured> {
    let lessons = &prepared.lessons;
    let mut clock = Clock { site, of: None, seconds: Vec::new() };
    let fitted = fit(config, lessons, site.seed, &mut |heard| clock.hear(heard.candidate, heard.step));
    let predictor = fitted.map_err(|why| match why {
        BehaviourError::Input { expected, got, remedy, .. } => {
            UserError::new(format!("the rows teach nothing: expected {expected}, got {got}"), remedy).into()
        }
        other => anyhow::Error::from(other),
    })?;
    clock.end();
    let (rows, came) = lessons.answered(&prepared.test);
    let foretold: Vec<Vec<f64>> =
        (0..predictor.fitted.len()).map(|at| predictor.probabilities(at, &lessons.table, &rows)).collect();
    let shopper = super::numbered(rows.iter().map(|row| prepared.shoppers[*row as usize] as u32));
    let event = |probabilities: &Vec<f64>| -> Vec<Foretold> {
        let of = probabilities.iter().zip(&came).zip(&shopper);
        of.map(|((probability, came), shopper)| Foretold { shopper: *shopper, probability: *probability, came: *came })
            .collect()
    };
    let mut order: Vec<usize> = (0..foretold.len()).collect();
    order.swap(0, predictor.chosen);
    let events: Vec<Vec<Foretold>> = order.iter().map(|at| event(&foretold[*at])).collect();
    let stage = site.progress.stage("measure", Some(events.len() as u64), Unit::Of("candidates"));
    let found = compare(&events, site.seed);
    let mut measured: Vec<Option<Row>> = (0..foretold.len()).map(|_| None).collect();
    for (place, at) in order.iter().enumerate() {
        let fitted = &predictor.fitted[*at];
        let name = fitted.candidate.name();
        let alone =
            clock.seconds.iter().filter(|(of, _)| fitted.candidate == Candidate::Mean || *of == fitted.candidate);
        let parts = [fitted.note.as_str(), fitted.calibration.name()];
        measured[*at] = Some(Row {
            name,
            note: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "),
            valid_loss: fitted.valid_loss,
            seconds: alone.map(|(_, seconds)| seconds).sum(),
            sharpness: found.models[place],
            less_chosen: found.less_first[place],
            calibration: calibration(&events[place], site.seed),
        });
        stage.add(1);
    }
    stage.finish("");
    let size = |part: &[u32]| {
        let (_, came) = lessons.answered(part);
        (came.len(), came.iter().filter(|came| **came).count())
    };
    let sizes = [size(&lessons.train), size(&lessons.valid), size(&prepared.test)];
    let (rows, chosen) = (measured.into_iter().flatten().collect(), predictor.chosen);
    Ok(Measured { rows, chosen, sizes, foretold, predictor })
}

/// Bars and seconds of the candidates while they are fitted.
struct Clock<'a> {
    site: &'a Site,
    of: Option<(Candidate, Stage, Instant)>,
    seconds: Vec<(Candidate, f64)>,
}

impl Clock<'_> {
    fn hear(&mut self, candidate: Candidate, [step, steps]: [u64; 2]) {
        if self.of.as_ref().is_none_or(|(of, ..)| *of != candidate) {
            self.end();
            let stage = self.site.progress.stage(candidate.name(), Some(steps), Unit::Of("steps"));
            self.of = Some((candidate, stage, Instant::now()));
        }
        if let Some((_, stage, _)) = &self.of {
            stage.set_total(steps);
            stage.set(step);
        }
    }

    fn end(&mut self) {
        if let Some((candidate, stage, begun)) = self.of.take() {
            self.seconds.push((candidate, begun.elapsed().as_secs_f64()));
            stage.finish("");
        }
    }
}

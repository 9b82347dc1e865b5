//! Will it come true? Probabilities of clicks, carts, purchases and redeemed coupons, learned together and calibrated.
//!
//! [`table`] is what is foretold from, [`scale`] makes its columns alike, [`network`] shares experts among tasks and attends to the
//! shopper's past, [`machine`] trains it, [`boosted`] is the rival of trees, [`regression`] the plain one, [`calibrate`] makes probabilities of logits, [`goods`] are known beside events, [`past`] knows all
//! that happened, [mod@moments] makes rows of a shop's events, each from what came before it, [`worth`] is all of it as a [`lingxi_data::Score`].
//!
//! [`fit`] fits every candidate on the training rows, lets the validation rows stop, calibrate and choose, and keeps all: so a shop's
//! predictor is the best of logistic regression, boosted trees, both networks and the mean of those that are best [`together`]. Who measures the test
//! rows sees each candidate once.

pub mod boosted;
pub mod calibrate;
pub mod goods;
mod machine;
pub mod moments;
pub mod network;
pub mod past;
mod regression;
pub mod scale;
pub mod table;
mod together;
pub mod worth;

pub use calibrate::Calibration;
pub use goods::Goods;
pub use moments::{Moments, MomentsConfig, moments};
pub use network::{Shape, Way};
pub use table::{Lessons, Seen, Table, Task};

use crate::error::{Result, require};
use boosted::{Boosted, TREES};
use lingxi_train::TrainerConfig;
use machine::Machine;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use regression::{FITS, Regression};
use scale::Scale;
use serde::{Deserialize, Serialize};
use together::mean_of;

/// What may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Candidate {
    /// Logistic regression.
    Logistic,
    /// Boosted trees.
    Boosted,
    /// Shared experts, each task by itself.
    Mmoe,
    /// Shared experts, tasks as steps of one way; needs two tasks.
    Esmm,
    /// The mean of the logits of those that foretell best together.
    Mean,
}

impl Candidate {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Candidate::Logistic => "logistic",
            Candidate::Boosted => "boosted",
            Candidate::Mmoe => "mmoe",
            Candidate::Esmm => "esmm",
            Candidate::Mean => "mean",
        }
    }
}

/// What is fitted, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictConfig {
    /// Which candidates are fitted; default all.
    pub candidates: Vec<Candidate>,
    /// Leaves of a boosted tree, each number tried; default 4, 8, 16.
    pub leaves: Vec<usize>,
    /// The networks.
    pub network: NetworkConfig,
}

impl Default for PredictConfig {
    fn default() -> Self {
        use Candidate::{Boosted, Esmm, Logistic, Mean, Mmoe};
        let candidates = vec![Logistic, Boosted, Mmoe, Esmm, Mean];
        PredictConfig { candidates, leaves: vec![4, 8, 16], network: NetworkConfig::default() }
    }
}

/// Sizes and training of the networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Length of an item's vector in attention; default 8. With 0 there is none.
    pub attention: usize,
    /// Number of experts; default 4.
    pub experts: usize,
    /// Numbers of an expert; default 32.
    pub hidden: usize,
    /// Numbers of a tower; default 16.
    pub tower: usize,
    /// Share of experts' outputs left out in training; default 0.2.
    pub dropout: f32,
    /// What the loss of a task that is taught beside weighs; default 0.5.
    pub beside: f32,
    /// Networks of other seeds whose logits are averaged; default 3.
    pub copies: usize,
    /// Epochs, step size, patience.
    pub training: TrainerConfig,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let training = TrainerConfig {
            epochs: 40,
            batch: 256,
            learning_rate: 2e-3,
            decay: 0.02,
            patience: 4,
            ..TrainerConfig::default()
        };
        NetworkConfig {
            attention: 8,
            experts: 4,
            hidden: 32,
            tower: 16,
            dropout: 0.2,
            beside: 0.5,
            copies: 3,
            training,
        }
    }
}

impl PredictConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`crate::BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        let n = &self.network;
        let alone = self.candidates.iter().filter(|c| **c != Candidate::Mean).count();
        require(
            alone > 0 && self.candidates.len() <= 16,
            "predict.candidates",
            "1 to 16, not mean alone",
            self.candidates.len(),
        )?;
        let good = |leaves: &usize| (2..=1_024).contains(leaves);
        let leaves = (1..=8).contains(&self.leaves.len()) && self.leaves.iter().all(good);
        require(leaves, "predict.leaves", "1 to 8 numbers from 2 to 1024", format!("{:?}", self.leaves))?;
        for (field, x, least) in [
            ("predict.network.attention", n.attention, 0),
            ("predict.network.experts", n.experts, 1),
            ("predict.network.hidden", n.hidden, 1),
            ("predict.network.tower", n.tower, 1),
            ("predict.network.copies", n.copies, 1),
        ] {
            require((least..=1024).contains(&x), field, "a size up to 1024", x)?;
        }
        require((0.0..1.0).contains(&n.dropout), "predict.network.dropout", "a share in [0, 1)", n.dropout)?;
        require(n.beside.is_finite() && n.beside >= 0.0, "predict.network.beside", "at least 0", n.beside)?;
        match n.training.wrong() {
            Some((_, expected, got)) => require(false, "predict.network.training", expected, got),
            None => Ok(()),
        }
    }
}

/// A fitted candidate.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Model {
    Logistic(Regression),
    Boosted(Boosted),
    /// Parameters of each copy.
    Network(Way, Shape, Vec<Vec<f32>>),
    /// Numbers of the candidates that are averaged.
    Mean(Vec<usize>),
}

/// A candidate with the way its logits become probabilities.
#[derive(Clone, Serialize, Deserialize)]
pub struct Fitted {
    /// Which it is.
    pub candidate: Candidate,
    /// How logits become probabilities.
    pub calibration: Calibration,
    /// Log-loss on validation, calibrated across folds: what the choice goes by.
    pub valid_loss: f64,
    /// What was found on the way: a ridge, the size of trees.
    pub note: String,
    model: Model,
}

/// All candidates, and the one that validation chose.
#[derive(Clone, Serialize, Deserialize)]
pub struct Predictor {
    columns: Vec<String>,
    scale: Scale,
    /// The candidates, in the order of the configuration.
    pub fitted: Vec<Fitted>,
    /// Which of them has the smallest log-loss on validation.
    pub chosen: usize,
}

/// How far fitting is; each candidate is named before its first step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// The candidate being fitted.
    pub candidate: Candidate,
    /// Steps taken, and how many there can be.
    pub step: [u64; 2],
    /// The log-loss on validation, when it was looked at.
    pub valid_loss: Option<f64>,
}

/// Fits every candidate, calibrates it and chooses one, by the rows of training and validation alone. Deterministic for a seed.
///
/// # Errors
/// [`crate::BehaviourError::Config`] or [`crate::BehaviourError::Input`] for settings or rows that teach nothing.
pub fn fit(
    config: &PredictConfig,
    lessons: &Lessons,
    seed: u64,
    heard: &mut (dyn FnMut(Heard) + Send),
) -> Result<Predictor> {
    config.validate()?;
    lessons.check()?;
    let scale = Scale::fit(&lessons.table, &lessons.train);
    let (rows, came) = lessons.answered(&lessons.valid);
    let mut predictor = Predictor { columns: lessons.table.columns.clone(), scale, fitted: Vec::new(), chosen: 0 };
    let mut together: Vec<Vec<f64>> = Vec::new();
    let steps = lessons.tasks.len() > 1;
    // The mean comes last, whatever the order of the recipe.
    let (mean, alone): (Vec<Candidate>, Vec<Candidate>) =
        config.candidates.iter().filter(|c| steps || **c != Candidate::Esmm).partition(|c| **c == Candidate::Mean);
    for candidate in alone.into_iter().chain(mean.into_iter().take(1)) {
        if candidate != Candidate::Mean {
            heard(Heard { candidate, step: [0, 1], valid_loss: None });
        }
        let (model, note) = match candidate {
            Candidate::Logistic => {
                let mut seen = |fits, loss| heard(Heard { candidate, step: [fits, FITS], valid_loss: Some(loss) });
                let (model, note) = Regression::fit(&predictor.scale, lessons, &mut seen)?;
                (Model::Logistic(model), note)
            }
            Candidate::Boosted => {
                let most = (config.leaves.len() * TREES) as u64;
                let mut seen = |trees, loss| heard(Heard { candidate, step: [trees, most], valid_loss: Some(loss) });
                let (train, valid) = (lessons.answered(&lessons.train), lessons.answered(&lessons.valid));
                let [train, valid] = [&train, &valid].map(|(rows, came)| (&rows[..], &came[..]));
                let (model, note) = Boosted::fit(&lessons.table, train, valid, &config.leaves, seed, &mut seen)?;
                (Model::Boosted(model), note)
            }
            Candidate::Mmoe => networks(&config.network, Way::Mmoe, &predictor.scale, lessons, seed, heard),
            Candidate::Esmm => networks(&config.network, Way::Esmm, &predictor.scale, lessons, seed, heard),
            Candidate::Mean => {
                let picks = together::pick(&together, &came);
                let names: Vec<&str> = picks.iter().map(|at| predictor.fitted[*at].candidate.name()).collect();
                let note = names.join(" + ");
                (Model::Mean(picks), note)
            }
        };
        let logits = match &model {
            Model::Mean(picks) => mean_of(&picks.iter().map(|at| together[*at].clone()).collect::<Vec<_>>()),
            model => predictor.logits_of(model, &lessons.table, &rows),
        };
        let (calibration, valid_loss, held) = Calibration::choose(&logits, &came);
        // Candidates are averaged as probabilities that mean the same, by calibrations that did not see the row.
        together.push(held);
        predictor.fitted.push(Fitted { candidate, calibration, valid_loss, note, model });
    }
    let losses = predictor.fitted.iter().map(|fitted| fitted.valid_loss).enumerate();
    predictor.chosen = losses.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(at, _)| at);
    Ok(predictor)
}

fn networks(
    config: &NetworkConfig,
    way: Way,
    scale: &Scale,
    lessons: &Lessons,
    seed: u64,
    heard: &mut dyn FnMut(Heard),
) -> (Model, String) {
    let vector = lessons.table.seen.as_ref().filter(|_| config.attention > 0).map_or(0, |seen| seen.dim);
    let shape = Shape {
        features: lessons.table.columns.len(),
        vector,
        attention: config.attention,
        experts: config.experts,
        hidden: config.hidden,
        tower: config.tower,
        tasks: lessons.tasks.len(),
    };
    let candidate = if way == Way::Mmoe { Candidate::Mmoe } else { Candidate::Esmm };
    let rates = rates(way, lessons);
    let mut stopped = Vec::new();
    let copy = |number: u64| {
        let seed = seed ^ number << 32;
        let mut parameters = vec![0.0; shape.parameters()];
        shape.start(&rates, &mut parameters, &mut ChaCha8Rng::seed_from_u64(seed));
        let mut machine = Machine::new(config, way, shape, lessons, scale);
        let mut last = 0;
        let found = lingxi_train::train(&config.training, &mut machine, parameters, seed, &mut |at| {
            last = at.step;
            let step = [number * at.steps + at.step, config.copies as u64 * at.steps];
            heard(Heard { candidate, step, valid_loss: at.held_out });
        });
        stopped.push(last.to_string());
        found
    };
    let copies = (0..config.copies as u64).map(copy).collect();
    (Model::Network(way, shape, copies), format!("{} steps", stopped.join(", ")))
}

/// How often each task came true among its answers: of a step, among those that took the step before.
fn rates(way: Way, lessons: &Lessons) -> Vec<f32> {
    let share = |task: &Task| {
        let answers = lessons.train.iter().filter_map(|row| task.came[*row as usize]);
        let (yes, all) = answers.fold((0.5, 1.0), |(yes, all), came| (yes + f32::from(u8::from(came)), all + 1.0));
        yes / all
    };
    let mut before = 1.0f32;
    let rate = |task: &Task| {
        let whole = share(task);
        let rate = (whole / before).min(0.95);
        if way == Way::Esmm {
            before = whole;
        }
        rate
    };
    lessons.tasks.iter().map(rate).collect()
}

impl Predictor {
    /// Names of the columns that it reads.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The candidate that validation chose.
    pub fn best(&self) -> &Fitted {
        &self.fitted[self.chosen]
    }

    /// Probabilities by the candidate number `at`.
    ///
    /// # Panics
    /// If the table has other columns than the lessons had.
    pub fn probabilities(&self, at: usize, table: &Table, rows: &[u32]) -> Vec<f64> {
        assert_eq!(table.columns, self.columns, "predict: the table has other columns than the lessons");
        let fitted = &self.fitted[at];
        let logits = match &fitted.model {
            Model::Mean(picks) => {
                let mut of: Vec<Vec<f64>> = Vec::with_capacity(picks.len());
                for (place, at) in picks.iter().enumerate() {
                    // A candidate that was picked again is asked once.
                    let again = place > 0 && picks[place - 1] == *at;
                    of.push(match of.last().filter(|_| again) {
                        Some(same) => same.clone(),
                        None => self.probabilities(*at, table, rows).into_iter().map(calibrate::logit).collect(),
                    });
                }
                mean_of(&of)
            }
            model => self.logits_of(model, table, rows),
        };
        logits.into_iter().map(|z| fitted.calibration.probability(z)).collect()
    }

    fn logits_of(&self, model: &Model, table: &Table, rows: &[u32]) -> Vec<f64> {
        match model {
            Model::Logistic(model) => model.logits(&self.scale, table, rows),
            Model::Boosted(model) => model.logits(table, rows),
            Model::Network(way, shape, copies) => {
                let of = |parameters: &Vec<f32>| machine::logits(*way, *shape, parameters, table, &self.scale, rows);
                mean_of(&copies.iter().map(of).collect::<Vec<_>>())
            }
            Model::Mean(_) => unreachable!("a mean has no logits of its own"),
        }
    }
}

#[cfg(test)]
mod tests;

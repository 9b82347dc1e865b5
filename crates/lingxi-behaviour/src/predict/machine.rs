//! One step of the network's training: parameters and rows come in, loss and gradient go out.
//!
//! A batch is dealt to [`LANES`] lanes, each with a gradient of its own, added up in their order: the result does not depend on the
//! number of threads. A task's loss is the mean log-loss of its rows that have an answer; what is taught beside weighs
//! [`NetworkConfig::beside`]. What is watched is the log-loss of the task that is asked for, on the validation rows.

use super::NetworkConfig;
use super::network::{Pass, Shape, Way};
use super::scale::Scale;
use super::table::{Lessons, Table};
use lingxi_kernels::axpy;
use lingxi_train::Learner;
use lingxi_train::logistic::{log_loss, sigmoid};
use rayon::prelude::*;

/// Fixed, so that the order of sums is.
const LANES: usize = 4;
/// Rows that are foretold at once.
const ROWS: usize = 512;

/// What learns.
pub(crate) struct Machine<'a> {
    config: &'a NetworkConfig,
    way: Way,
    lessons: &'a Lessons,
    scale: &'a Scale,
    lanes: Vec<(Pass, Vec<f32>)>,
}

impl<'a> Machine<'a> {
    pub fn new(
        config: &'a NetworkConfig,
        way: Way,
        shape: Shape,
        lessons: &'a Lessons,
        scale: &'a Scale,
    ) -> Machine<'a> {
        let lanes = (0..LANES).map(|_| (Pass::new(shape), vec![0.0; shape.parameters()])).collect();
        Machine { config, way, lessons, scale, lanes }
    }

    /// What a row of each task weighs: its task's weight over the answers of the batch.
    fn weights(&self, rows: &[u32]) -> Vec<f32> {
        let tasks = &self.lessons.tasks;
        let weight = |(at, task): (usize, &super::Task)| {
            let answers = rows.iter().filter(|row| task.came[**row as usize].is_some()).count();
            let weight = if at + 1 == tasks.len() { 1.0 } else { self.config.beside };
            weight / answers.max(1) as f32
        };
        tasks.iter().enumerate().map(weight).collect()
    }
}

impl Learner for Machine<'_> {
    fn examples(&self) -> usize {
        self.lessons.train.len()
    }

    fn learn(&mut self, parameters: &[f32], batch: &[u32], seed: u64, gradient: &mut [f32]) -> f64 {
        let rows: Vec<u32> = batch.iter().map(|example| self.lessons.train[*example as usize]).collect();
        let weights = self.weights(&rows);
        let (lessons, scale, way, share) = (self.lessons, self.scale, self.way, self.config.dropout);
        let each = rows.len().div_ceil(LANES).max(1);
        let losses: Vec<f64> = self
            .lanes
            .par_iter_mut()
            .zip(rows.par_chunks(each).enumerate())
            .map(|((pass, own), (at, rows))| {
                own.fill(0.0);
                let seed = seed as u32 ^ (at as u32) << 8;
                let table = &lessons.table;
                pass.forward(parameters, &scaled(table, scale, rows), table.seen.as_ref(), rows, share, seed);
                let tasks = lessons.tasks.len();
                let mut d_logits = vec![0.0; pass.logits.len()];
                let mut loss = 0.0;
                for ((logits, d), row) in pass.logits.chunks(tasks).zip(d_logits.chunks_mut(tasks)).zip(rows) {
                    let came: Vec<Option<bool>> = lessons.tasks.iter().map(|task| task.came[*row as usize]).collect();
                    loss += lesson(way, logits, &came, &weights, d);
                }
                pass.backward(parameters, &d_logits, share, seed, own);
                loss
            })
            .collect();
        self.lanes[..losses.len()].iter().for_each(|(_, own)| axpy(1.0, own, gradient));
        losses.iter().sum()
    }

    fn check(&mut self, parameters: &[f32]) -> Option<f64> {
        let (rows, came) = self.lessons.answered(&self.lessons.valid);
        let shape = self.lanes[0].0.shape();
        let logits = logits(self.way, shape, parameters, &self.lessons.table, self.scale, &rows);
        let loss = logits.iter().zip(&came).map(|(z, came)| log_loss(*z, f64::from(u8::from(*came)))).sum::<f64>();
        Some(loss / rows.len().max(1) as f64)
    }
}

/// Scaled features of `rows`.
fn scaled(table: &Table, scale: &Scale, rows: &[u32]) -> Vec<f32> {
    let mut x = vec![0.0; rows.len() * scale.width()];
    for (row, out) in rows.iter().zip(x.chunks_exact_mut(scale.width())) {
        scale.row(table.row(*row as usize), out);
    }
    x
}

/// The logits of the task that is asked for.
pub(crate) fn logits(
    way: Way,
    shape: Shape,
    parameters: &[f32],
    table: &Table,
    scale: &Scale,
    rows: &[u32],
) -> Vec<f64> {
    let of = |pass: &mut Pass, rows: &[u32]| -> Vec<f64> {
        pass.forward(parameters, &scaled(table, scale, rows), table.seen.as_ref(), rows, 0.0, 0);
        pass.logits.chunks(shape.tasks).map(|logits| last(way, logits)).collect()
    };
    if rows.len() <= ROWS {
        return of(&mut Pass::new(shape), rows);
    }
    rows.par_chunks(ROWS).map_init(|| Pass::new(shape), of).flatten_iter().collect()
}

/// The logit of the last task.
fn last(way: Way, logits: &[f32]) -> f64 {
    match way {
        Way::Mmoe => logits.last().copied().map_or(0.0, f64::from),
        Way::Esmm => super::calibrate::logit(logits.iter().map(|z| sigmoid(f64::from(*z))).product()),
    }
}

/// The weighed log-loss of a row's tasks, and its gradient for their logits.
fn lesson(way: Way, logits: &[f32], came: &[Option<bool>], weights: &[f32], d: &mut [f32]) -> f64 {
    let mut loss = 0.0;
    let mut whole = 1.0;
    for (task, (z, came)) in logits.iter().zip(came).enumerate() {
        let chance = sigmoid(f64::from(*z));
        whole *= chance;
        let Some(came) = *came else { continue };
        let weight = f64::from(weights[task]);
        match way {
            Way::Mmoe => {
                let y = f64::from(u8::from(came));
                loss += weight * log_loss(f64::from(*z), y);
                d[task] += (weight * (chance - y)) as f32;
            }
            Way::Esmm => {
                let p = whole.clamp(1e-7, 1.0 - 1e-7);
                loss += weight * if came { -p.ln() } else { -(1.0 - p).ln() };
                let along = if came { -1.0 } else { p / (1.0 - p) };
                for (z, d) in logits[..=task].iter().zip(d.iter_mut()) {
                    *d += (weight * along * (1.0 - sigmoid(f64::from(*z)))) as f32;
                }
            }
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::super::tests::lessons;
    use super::*;
    use lingxi_train::gradient_check;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn shape(lessons: &Lessons, vector: usize) -> Shape {
        let tasks = lessons.tasks.len();
        Shape { features: lessons.table.columns.len(), vector, attention: 5, experts: 3, hidden: 6, tower: 4, tasks }
    }

    #[test]
    fn the_gradients_of_both_ways_agree_with_finite_differences_with_and_without_attention_and_dropout() {
        for (way, vector, dropout) in
            [(Way::Mmoe, 4, 0.0), (Way::Esmm, 4, 0.3), (Way::Mmoe, 0, 0.3), (Way::Esmm, 0, 0.0)]
        {
            let lessons = lessons(60, 3);
            let scale = Scale::fit(&lessons.table, &lessons.train);
            let config = NetworkConfig { dropout, beside: 0.7, ..NetworkConfig::default() };
            let shape = shape(&lessons, vector);
            let mut machine = Machine::new(&config, way, shape, &lessons, &scale);
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut parameters = vec![0.0; shape.parameters()];
            shape.start(&[0.3, 0.2], &mut parameters, &mut rng);
            parameters.iter_mut().for_each(|w| *w = *w * 0.7 + rng.random_range(-0.2..0.2));
            let batch: Vec<u32> = (0..17).collect();
            let mut gradient = vec![0.0; shape.parameters()];
            machine.learn(&parameters, &batch, 9, &mut gradient);
            let mut ignored = vec![0.0; shape.parameters()];
            let agrees = gradient_check(&parameters, &gradient, 2e-2, 0.02, 60, 2, |at| {
                machine.learn(at, &batch, 9, &mut ignored)
            });
            agrees.unwrap_or_else(|why| panic!("{way:?} {vector} {dropout}: {why:?}"));
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let lessons = lessons(300, 5);
        let scale = Scale::fit(&lessons.table, &lessons.train);
        let (config, shape) = (NetworkConfig::default(), shape(&lessons, 4));
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut machine = Machine::new(&config, Way::Esmm, shape, &lessons, &scale);
                let mut parameters = vec![0.0; shape.parameters()];
                shape.start(&[0.3, 0.2], &mut parameters, &mut ChaCha8Rng::seed_from_u64(1));
                let mut gradient = vec![0.0; shape.parameters()];
                machine.learn(&parameters, &(0..150).collect::<Vec<_>>(), 4, &mut gradient);
                (gradient, machine.check(&parameters))
            })
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn steps_of_one_way_multiply_and_their_end_is_never_likelier_than_its_beginning() {
        let z = last(Way::Esmm, &[0.3, -1.0]);
        assert!((sigmoid(z) - sigmoid(0.3) * sigmoid(-1.0)).abs() < 1e-6 && sigmoid(z) < sigmoid(0.3));
        assert!((last(Way::Mmoe, &[0.3, -1.0]) + 1.0).abs() < 1e-9);
    }
}

//! What if labels are few? Two ways of getting more out of texts that have none:
//!
//! - a confident teacher: what the encoder that learned from the labels is sure of becomes a label too (pseudo-labels, Lee 2013);
//! - asking for the right ones: of the texts that it is least sure of, a batch is labelled, and it learns again, some rounds long
//!   (uncertainty sampling, Lewis and Gale 1994).
//!
//! Texts whose class the recipe hides answer by it, so that both can be measured; texts that really have none are listed for a person.

use super::texts::{Classes, Labelled};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// A teacher's labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pseudo {
    /// The least probability that counts; default .9.
    #[serde(default = "sure")]
    pub threshold: f32,
    /// How often the student becomes the teacher; default 1.
    #[serde(default = "one")]
    pub rounds: usize,
}

/// Labels that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// How often; default 3.
    #[serde(default = "three")]
    pub rounds: usize,
    /// Texts of a round.
    pub batch: usize,
    /// Which are asked for first.
    #[serde(default)]
    pub by: Unsure,
}

/// Of which texts a model is least sure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unsure {
    /// Those whose two likeliest classes are closest.
    #[default]
    Margin,
    /// Those whose probabilities are spread most.
    Entropy,
    /// Any: what the others are compared with.
    Random,
}

fn sure() -> f32 {
    0.9
}

fn one() -> usize {
    1
}

fn three() -> usize {
    3
}

impl Pseudo {
    /// What is out of its range, with what was expected and what came.
    pub fn wrong(&self) -> Option<(&'static str, &'static str, String)> {
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            return Some(("pseudo.threshold", "a probability above 0", self.threshold.to_string()));
        }
        (!(1..=10).contains(&self.rounds)).then(|| ("pseudo.rounds", "1 to 10", self.rounds.to_string()))
    }

    /// Training with the texts of the pool that a teacher is sure of, as it labels them; how many there are, and how many of those whose class is
    /// known are right.
    pub fn extend(&self, parts: &Classes, said: &[(u32, f32)]) -> (Classes, Taught) {
        let (mut parts, mut taught) = (parts.clone(), Taught::default());
        for ((class, p), (text, truth)) in said.iter().zip(parts.pool.texts.iter().zip(&parts.pool.targets)) {
            if *p >= self.threshold {
                parts.train.extend([(text.clone(), Some(*class))]);
                taught.texts += 1;
                taught.known += usize::from(truth.is_some());
                taught.right += usize::from(*truth == Some(*class));
            }
        }
        (parts, taught)
    }
}

/// What a teacher labelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taught {
    /// Texts that it was sure of.
    pub texts: usize,
    /// Of those, the ones whose class is known.
    pub known: usize,
    /// Of those, the ones that it was right about.
    pub right: usize,
}

impl Active {
    /// What is out of its range, with what was expected and what came.
    pub fn wrong(&self) -> Option<(&'static str, &'static str, String)> {
        if self.batch == 0 {
            return Some(("active.batch", "at least 1", "0".into()));
        }
        (!(1..=100).contains(&self.rounds)).then(|| ("active.rounds", "1 to 100", self.rounds.to_string()))
    }

    /// The texts of a pool that are asked for next, given the probabilities `[texts,classes]` that a model has of each.
    pub fn ask(&self, probabilities: &[f32], classes: usize, seed: u64) -> Vec<usize> {
        let doubt = |row: &[f32]| match self.by {
            Unsure::Entropy => row.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum::<f32>(),
            _ => {
                let [first, second] = row.iter().fold([0.0f32; 2], |[first, second], p| match p.total_cmp(&first) {
                    std::cmp::Ordering::Greater => [*p, first],
                    _ => [first, second.max(*p)],
                });
                second - first
            }
        };
        let doubts: Vec<f32> = probabilities.chunks_exact(classes).map(doubt).collect();
        let mut order: Vec<usize> = (0..doubts.len()).collect();
        match self.by {
            Unsure::Random => order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed)),
            _ => order.sort_by(|a, b| doubts[*b].total_cmp(&doubts[*a])),
        }
        order.truncate(self.batch);
        order
    }
}

/// Moves the texts of the pool at `places` to training, with their class; those that have none are returned.
pub fn label(parts: &mut Classes, places: &[usize]) -> Vec<String> {
    let mut taken = vec![false; parts.pool.texts.len()];
    places.iter().for_each(|at| taken[*at] = true);
    let pool = std::mem::take(&mut parts.pool);
    let (mut left, mut without) = (Labelled::default(), Vec::new());
    for ((text, class), taken) in pool.texts.into_iter().zip(pool.targets).zip(taken) {
        match (taken, class) {
            (true, Some(_)) => parts.train.extend([(text, class)]),
            (true, None) => without.push(text),
            (false, _) => left.extend([(text, class)]),
        }
    }
    parts.pool = left;
    without
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Classes {
        let rows =
            |rows: &[(&str, Option<u32>)]| rows.iter().map(|(text, class)| ((*text).to_owned(), *class)).collect();
        Classes {
            names: vec!["greet".into(), "leave".into()],
            train: rows(&[("hello", Some(0)), ("bye", Some(1))]),
            valid: Labelled::default(),
            test: Labelled::default(),
            pool: rows(&[("hi", Some(0)), ("so long", Some(1)), ("hm", None)]),
            oddities: super::super::texts::Oddities::default(),
        }
    }

    #[test]
    fn a_teacher_labels_what_it_is_sure_of_and_is_told_how_often_it_was_right() {
        let pseudo = Pseudo { threshold: 0.8, rounds: 1 };
        let (after, taught) = pseudo.extend(&parts(), &[(0, 0.9), (0, 0.95), (1, 0.7)]);
        assert_eq!(after.train.targets, [Some(0), Some(1), Some(0), Some(0)]);
        assert_eq!(taught, Taught { texts: 2, known: 2, right: 1 });
    }

    #[test]
    fn the_texts_that_a_model_is_least_sure_of_are_asked_for_first() {
        let p = [0.5, 0.5, 0.0, 0.9, 0.05, 0.05, 0.4, 0.3, 0.3];
        let of = |by| Active { rounds: 1, batch: 2, by }.ask(&p, 3, 1);
        assert_eq!(of(Unsure::Margin), [0, 2]);
        assert_eq!(of(Unsure::Entropy), [2, 0]);
        assert_eq!(of(Unsure::Random).len(), 2);
    }

    #[test]
    fn a_text_that_is_asked_for_is_learned_with_its_class_or_listed_for_a_person() {
        let mut parts = parts();
        assert_eq!(label(&mut parts, &[0, 2]), ["hm"]);
        assert_eq!((parts.train.texts.len(), parts.pool.texts.as_slice()), (3, &["so long".to_owned()][..]));
    }
}

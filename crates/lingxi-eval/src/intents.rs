//! How well are texts classified by a model that may decline?
//!
//! For each text the best class, how sure the model is of it, and the truth come in; out goes a [`Report`]. A text that the
//! model declines (its confidence is below a threshold, or its best answer is "out of scope") is answered by no class:
//! that is right where the text belongs to none, and wrong where it belongs to one. So `accuracy`, the share of in-scope
//! texts whose class was named, counts a declined one as wrong, as published tables of CLINC150 do.
//!
//! The threshold is chosen on validation by a [`ThresholdRule`]; the report says which, so that no figure stands without it.

use crate::calibration::{Foretold, calibration};
use crate::interval::{central, draw_rows, wilson};
use crate::{EvalConfig, EvalError, Report, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a model says of one text, and what is true.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// The class that is likeliest; `None` where the model itself says "out of scope".
    pub class: Option<u32>,
    /// How sure it is of that class, 0 to 1.
    pub confidence: f64,
    /// The true class; `None` if the text belongs to none.
    pub truth: Option<u32>,
}

impl Guess {
    /// The likeliest of `probabilities`, the lower class of equals. `none` is the class that means "out of scope", for models
    /// that were trained with such texts.
    pub fn of(probabilities: &[f32], none: Option<u32>, truth: Option<u32>) -> Guess {
        let better = |best: (usize, f32), (class, p): (usize, &f32)| if *p > best.1 { (class, *p) } else { best };
        let (class, p) = probabilities.iter().enumerate().fold((0, f32::MIN), better);
        let class = class as u32;
        Guess { class: (Some(class) != none).then_some(class), confidence: f64::from(p).clamp(0.0, 1.0), truth }
    }

    /// The answer under a threshold: a class, or none.
    pub fn answer(&self, threshold: f64) -> Option<u32> {
        self.class.filter(|_| self.confidence >= threshold)
    }

    fn is_right(&self, threshold: f64) -> bool {
        self.answer(threshold) == self.truth
    }
}

/// How the threshold is chosen on validation. Of thresholds that do equally well the lowest is taken: it declines least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ThresholdRule {
    /// The largest sum of in-scope accuracy and out-of-scope recall; needs out-of-scope texts in validation.
    #[default]
    Sum,
    /// The largest out-of-scope recall that costs at most so many points (hundredths) of in-scope accuracy. Where validation has
    /// no out-of-scope texts, the highest threshold at that price.
    Points(f64),
    /// This threshold whatever validation says; 0 never declines.
    Fixed(f64),
}

impl ThresholdRule {
    /// The threshold that validation gives.
    ///
    /// # Errors
    /// [`EvalError::Config`] for a rule that validation cannot answer, [`EvalError::Nothing`] without in-scope texts.
    pub fn choose(self, valid: &[Guess]) -> Result<f64> {
        check(valid)?;
        let share = |what: f64, of: usize| what / of.max(1) as f64;
        let inside = valid.iter().filter(|guess| guess.truth.is_some()).count();
        let outside = valid.len() - inside;
        let refuse = |expected, got: String| Err(EvalError::Config { field: "threshold", expected, got });
        let loss = match self {
            ThresholdRule::Fixed(at) if (0.0..=1.0).contains(&at) => return Ok(at),
            ThresholdRule::Fixed(at) => return refuse("a threshold from 0 to 1", at.to_string()),
            ThresholdRule::Points(points) if (0.0..=100.0).contains(&points) => points / 100.0,
            ThresholdRule::Points(points) => return refuse("points from 0 to 100", points.to_string()),
            ThresholdRule::Sum if outside == 0 => {
                return refuse("out-of-scope texts in validation, or the rule points", "none".into());
            }
            ThresholdRule::Sum => 1.0,
        };
        let steps = sweep(valid);
        let accuracy = |step: &Step| share(step.right as f64, inside);
        let floor = accuracy(&steps[0]) - loss - 1e-12;
        let worth = |step: &Step| match self {
            _ if outside == 0 => step.threshold,
            ThresholdRule::Sum => accuracy(step) + share(step.declined as f64, outside),
            _ => share(step.declined as f64, outside),
        };
        let better = |best: &Step, step: &Step| worth(step) > worth(best) + 1e-12;
        let allowed = steps[1..].iter().filter(|step| accuracy(step) >= floor);
        let chosen = allowed.fold(&steps[0], |best, step| if better(best, step) { step } else { best });
        Ok(chosen.threshold)
    }

    /// The rule in words, for protocols.
    pub fn describe(self) -> String {
        match self {
            ThresholdRule::Sum => "threshold: largest accuracy + out-of-scope recall on validation".into(),
            ThresholdRule::Points(points) => {
                format!("threshold: largest out-of-scope recall on validation for at most {points} points of accuracy")
            }
            ThresholdRule::Fixed(at) => format!("threshold fixed at {at}"),
        }
    }
}

/// What one threshold does.
struct Step {
    threshold: f64,
    /// In-scope texts whose class is named.
    right: usize,
    /// Out-of-scope texts that are declined.
    declined: usize,
}

/// Every threshold that makes a difference, ascending: 0, and the middle between each two confidences that differ.
fn sweep(guesses: &[Guess]) -> Vec<Step> {
    let mut by_confidence: Vec<&Guess> = guesses.iter().collect();
    by_confidence.sort_by(|a, b| a.confidence.total_cmp(&b.confidence));
    let is_right = |guess: &&Guess| guess.truth.is_some() && guess.class == guess.truth;
    let right = guesses.iter().filter(is_right).count();
    let declined = guesses.iter().filter(|guess| guess.truth.is_none() && guess.class.is_none()).count();
    let mut now = Step { threshold: 0.0, right, declined };
    let mut steps = Vec::with_capacity(by_confidence.len() + 1);
    for (i, guess) in by_confidence.iter().enumerate() {
        let before = if i == 0 { 0.0 } else { by_confidence[i - 1].confidence };
        if i == 0 || guess.confidence > before {
            let threshold = if i == 0 { 0.0 } else { f64::midpoint(before, guess.confidence) };
            steps.push(Step { threshold, ..now });
        }
        now.right -= usize::from(is_right(guess));
        now.declined += usize::from(guess.truth.is_none() && guess.class.is_some());
    }
    // Above the surest: everything is declined. Only where 1 is not itself a confidence.
    if by_confidence.last().is_some_and(|last| last.confidence < 1.0) {
        steps.push(Step { threshold: 1.0, ..now });
    }
    steps
}

/// Measures a classifier that declines below `threshold`; `rule` says in the protocol how that was chosen.
///
/// `accuracy`: in-scope texts whose class was named (a declined one is wrong). `oos_recall`, where there are out-of-scope
/// texts: those that were declined; `oos_precision`: declined texts that are out of scope. `accuracy@all`: all texts answered as
/// is true. `macro_f1`: mean over the true classes of the harmonic mean of precision and recall, an out-of-scope text that is given
/// a class counted against it. `ece`: expected calibration error of the confidence in the likeliest class on in-scope texts,
/// whatever the threshold. Shares have Wilson's interval, the others that of the bootstrap.
///
/// # Errors
/// [`EvalError::Nothing`] without in-scope texts, [`EvalError::Config`] for confidences outside 0 to 1 or settings that
/// name no protocol.
pub fn measure(
    model: &str,
    guesses: &[Guess],
    threshold: f64,
    rule: ThresholdRule,
    config: &EvalConfig,
) -> Result<Report> {
    config.validate()?;
    check(guesses)?;
    let values: Vec<f64> = guesses.iter().map(|guess| f64::from(u8::from(guess.is_right(threshold)))).collect();
    let mut report = Report {
        model: model.into(),
        split: config.split.clone(),
        protocol: format!("{}, a declined in-scope text is wrong, {}", config.protocol, rule.describe()),
        seed: config.seed,
        cases: guesses.len(),
        asked: (0..guesses.len() as u32).collect(),
        columns: vec!["accuracy@all".into()],
        values,
        ..Report::default()
    };
    let mut put = |name: &str, value: f64, interval: [f64; 2]| {
        report.metrics.insert(name.into(), value);
        report.interval.insert(name.into(), interval);
    };
    for (name, hits, of) in shares(guesses, threshold) {
        if of > 0 {
            put(name, hits as f64 / of as f64, wilson(hits, of, config.confidence));
        }
    }
    let f1 = macro_f1(guesses.iter(), threshold);
    let drawn = |draw: u64| {
        let rows = draw_rows(guesses.len(), config.seed, draw);
        macro_f1(rows.into_iter().map(|row| &guesses[row]), threshold)
    };
    let f1s: Vec<f64> = (0..config.resamples as u64).into_par_iter().map(drawn).collect();
    put("macro_f1", f1, central(f1s, config.confidence).unwrap_or([f1; 2]));
    let inside = guesses.iter().filter(|guess| guess.truth.is_some()).enumerate();
    let foretold: Vec<Foretold> = inside
        .map(|(text, g)| Foretold { shopper: text, probability: g.confidence, came: g.class == g.truth })
        .collect();
    let calibrated = calibration(&foretold, config.seed);
    put("ece", calibrated.error, calibrated.interval);
    report.metrics.insert("threshold".into(), threshold);
    Ok(report)
}

/// Name, how many were as they should be, of how many.
fn shares(guesses: &[Guess], threshold: f64) -> [(&'static str, usize, usize); 4] {
    let count = |of: &dyn Fn(&Guess) -> bool| guesses.iter().filter(|guess| of(guess)).count();
    let inside = count(&|g| g.truth.is_some());
    let right = count(&|g| g.truth.is_some() && g.is_right(threshold));
    let declined = count(&|g| g.answer(threshold).is_none());
    let rightly = count(&|g| g.truth.is_none() && g.is_right(threshold));
    let outside = guesses.len() - inside;
    [
        ("accuracy", right, inside),
        ("oos_recall", rightly, outside),
        ("oos_precision", rightly, if outside > 0 { declined } else { 0 }),
        ("accuracy@all", right + rightly, guesses.len()),
    ]
}

/// Mean over the classes that are true of some text.
fn macro_f1<'a>(guesses: impl Iterator<Item = &'a Guess>, threshold: f64) -> f64 {
    // Per class: texts of it, texts answered with it, and both.
    let mut counts: BTreeMap<u32, [u32; 3]> = BTreeMap::new();
    for guess in guesses {
        let answer = guess.answer(threshold);
        guess.truth.into_iter().for_each(|class| counts.entry(class).or_default()[0] += 1);
        answer.into_iter().for_each(|class| counts.entry(class).or_default()[1] += 1);
        answer.filter(|_| answer == guess.truth).into_iter().for_each(|class| counts.entry(class).or_default()[2] += 1);
    }
    let true_ones = counts.values().filter(|[of, ..]| *of > 0);
    let f1s: Vec<f64> = true_ones.map(|[of, said, both]| 2.0 * f64::from(*both) / f64::from(of + said)).collect();
    f1s.iter().sum::<f64>() / f1s.len().max(1) as f64
}

fn check(guesses: &[Guess]) -> Result<()> {
    if let Some(guess) = guesses.iter().find(|guess| !(0.0..=1.0).contains(&guess.confidence)) {
        let (field, expected) = ("confidence", "a number from 0 to 1");
        return Err(EvalError::Config { field, expected, got: guess.confidence.to_string() });
    }
    match guesses.iter().any(|guess| guess.truth.is_some()) {
        true => Ok(()),
        false => Err(EvalError::TooLittle {
            what: "measuring a classifier",
            expected: "at least one text with a class".into(),
            got: format!("{} texts without", guesses.len()),
            remedy: "give the labelled texts too",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guess(class: u32, confidence: f64, truth: Option<u32>) -> Guess {
        Guess { class: Some(class), confidence, truth }
    }

    fn config() -> EvalConfig {
        EvalConfig { protocol: "made up".into(), resamples: 50, ..EvalConfig::default() }
    }

    #[test]
    fn figures_are_those_done_by_hand() {
        // In scope: right and sure, right but declined, wrong. Out of scope: declined, taken for class 0, said so itself.
        let own = Guess { class: None, confidence: 0.9, truth: None };
        let guesses = [
            guess(0, 0.9, Some(0)),
            guess(1, 0.3, Some(1)),
            guess(0, 0.8, Some(1)),
            guess(1, 0.2, None),
            guess(0, 0.7, None),
            own,
        ];
        let report = measure("made up", &guesses, 0.5, ThresholdRule::Fixed(0.5), &config()).unwrap();
        let of = |name: &str| report.metrics[name];
        assert_eq!((of("accuracy"), of("oos_recall"), of("oos_precision")), (1.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0));
        assert_eq!((of("accuracy@all"), of("threshold")), (0.5, 0.5));
        // Class 0: one text, answered three times, once rightly: 2 / 4. Class 1: never answered.
        assert!((of("macro_f1") - 0.25).abs() < 1e-12);
        assert!(report.interval["accuracy"][0] < 1.0 / 3.0 && report.interval["accuracy"][1] > 1.0 / 3.0);
        assert_eq!(report.per_case("accuracy@all").unwrap(), [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn probabilities_become_the_likeliest_class_and_none_where_that_is_out_of_scope() {
        assert_eq!(Guess::of(&[0.2, 0.5, 0.3], None, Some(1)), guess(1, 0.5, Some(1)));
        assert_eq!(Guess::of(&[0.25, 0.5, 0.25], Some(1), None).class, None);
        assert_eq!(Guess::of(&[0.5, 0.5], None, None).class, Some(0));
    }

    #[test]
    fn what_cannot_be_measured_or_chosen_is_refused_with_the_reason() {
        let inside = [guess(0, 0.5, Some(0))];
        let why = ThresholdRule::Sum.choose(&inside).unwrap_err().to_string();
        assert!(why.contains("out-of-scope texts in validation") && why.contains("points"), "{why}");
        assert!(
            ThresholdRule::Points(-1.0).choose(&inside).is_err() && ThresholdRule::Fixed(2.0).choose(&inside).is_err()
        );
        assert!(measure("m", &[guess(0, 0.5, None)], 0.0, ThresholdRule::Sum, &config()).is_err());
        assert!(measure("m", &[guess(0, f64::NAN, Some(0))], 0.0, ThresholdRule::Sum, &config()).is_err());
    }

    #[test]
    fn without_out_of_scope_texts_the_rule_spends_what_it_may() {
        let valid: Vec<Guess> = (0..100).map(|i| guess(0, f64::from(i) / 100.0, Some(0))).collect();
        let threshold = ThresholdRule::Points(5.0).choose(&valid).unwrap();
        assert!(threshold > 0.04 && threshold < 0.05, "{threshold}");
    }

    #[test]
    fn confidence_that_says_nothing_is_not_calibrated() {
        // Always sure, right half of the time.
        let guesses: Vec<Guess> = (0..1000).map(|i| guess(i % 2, 1.0, Some(0))).collect();
        let report = measure("sure", &guesses, 0.0, ThresholdRule::Fixed(0.0), &config()).unwrap();
        assert!((report.metrics["ece"] - 0.5).abs() < 1e-9 && report.metrics["accuracy"] == 0.5);
    }

    fn any_guesses() -> impl Strategy<Value = Vec<Guess>> {
        let class = || proptest::option::weighted(0.8, 0u32..4);
        let one = (class(), 0u8..=20, class()).prop_map(|(class, confidence, truth)| Guess {
            class,
            confidence: f64::from(confidence) / 20.0,
            truth,
        });
        proptest::collection::vec(one, 1..60).prop_map(|mut guesses| {
            guesses.extend([guess(0, 0.5, Some(0)), guess(1, 0.25, None)]);
            guesses
        })
    }

    fn two(guesses: &[Guess], threshold: f64) -> (f64, f64) {
        let [(_, right, inside), (_, declined, outside), ..] = shares(guesses, threshold);
        (right as f64 / inside as f64, declined as f64 / outside as f64)
    }

    proptest! {
        #[test]
        fn no_threshold_at_all_does_better_than_the_chosen_one(guesses in any_guesses(), points in 0.0..30.0f64) {
            let every = || (0..=400).map(|i| f64::from(i) / 400.0);
            let (accuracy, recall) = two(&guesses, ThresholdRule::Sum.choose(&guesses).unwrap());
            for at in every() {
                let (a, r) = two(&guesses, at);
                prop_assert!(a + r <= accuracy + recall + 1e-9, "{at}");
            }
            let chosen = ThresholdRule::Points(points).choose(&guesses).unwrap();
            let (accuracy, recall) = two(&guesses, chosen);
            let floor = two(&guesses, 0.0).0 - points / 100.0;
            let below = guesses.iter().map(|g| g.confidence).filter(|c| *c < chosen).fold(0.0, f64::max);
            prop_assert!(accuracy >= floor - 1e-9);
            for at in every() {
                let (a, r) = two(&guesses, at);
                prop_assert!(a < floor - 1e-9 || r <= recall + 1e-9, "{at}");
                // Ties to the lower threshold: nothing at or below the confidence under it does as well.
                prop_assert!(a < floor - 1e-9 || r < recall - 1e-9 || chosen == 0.0 || at > below, "{at} {chosen}");
            }
        }

        #[test]
        fn declining_more_never_names_more_classes(guesses in any_guesses(), a in 0.0..1.0f64, b in 0.0..1.0f64) {
            let (low, high) = (two(&guesses, a.min(b)), two(&guesses, a.max(b)));
            prop_assert!(low.0 >= high.0 && low.1 <= high.1);
        }

        #[test]
        fn figures_are_shares_and_lie_in_their_intervals(guesses in any_guesses(), at in 0.0..1.0f64) {
            let report = measure("any", &guesses, at, ThresholdRule::Fixed(at), &config()).unwrap();
            for (name, [low, high]) in &report.interval {
                let value = report.metrics[name];
                prop_assert!((0.0..=1.0).contains(&value), "{name} {value}");
                prop_assert!(name == "ece" || name == "macro_f1" || (*low <= value + 1e-9 && value <= high + 1e-9), "{name}");
            }
        }
    }
}

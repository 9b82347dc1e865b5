//! What does an experiment say now?
//!
//! A kept experiment with its sums comes in, a [`Look`] goes out: sizes, each metric's differences from the control with
//! intervals that hold however often one looks, the state of every guardrail, and which arms must be stopped. It costs a few
//! sums per arm, whatever was logged.

use super::measure::Measure;
use super::{GuardrailConfig, Kept, Stopped};
use lingxi_eval::experiment::analysis::{AnalysisConfig, Comparison};
use lingxi_eval::experiment::guard::{Guardrail, judge};
use lingxi_eval::experiment::ratio::{self, RatioCheck};
use lingxi_eval::experiment::sequential::Sequential;
use lingxi_eval::experiment::{Running, Verdict};

/// What an experiment says.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Whether the arms that go on have the sizes that they should; `None` if only one does.
    pub ratio: Option<RatioCheck>,
    /// Each metric, in the order of the experiment.
    pub metrics: Vec<Measured>,
    /// Each guardrail, in the order of the experiment.
    pub guardrails: Vec<Guarded>,
}

/// A metric of all arms.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Which.
    pub metric: Measure,
    /// Each arm beside the control, the control left out; `None` while there is nothing to compare. A stopped arm says what it
    /// said last.
    pub compared: Vec<Option<Comparison>>,
}

/// A guardrail and how each arm stands to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Guarded {
    /// What is tolerated.
    pub config: GuardrailConfig,
    /// The arms, the control left out.
    pub arms: Vec<Standing>,
}

/// How an arm stands to a guardrail.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Too few shoppers to say anything.
    Early,
    /// It may lose more than is tolerated, and may not.
    Open,
    /// It surely loses no more than is tolerated.
    Holds,
    /// It surely loses more: it must be stopped, or was.
    Broken(String),
}

/// Looks at an experiment.
pub fn look(kept: &Kept) -> Look {
    let going = kept.going();
    let (config, shares) = (&kept.config, kept.config.deal().shares());
    // Shoppers are met in every metric at once: the first says how many.
    let counts: Vec<u64> = going.iter().map(|&arm| kept.arms[arm].totals.first().map_or(0, |t| t.n)).collect();
    let meant: Vec<f64> = going.iter().map(|&arm| shares[arm]).collect();
    let ratio = ratio::check_always(&counts, &meant, ratio::ALPHA).ok();
    let measured = |(place, metric): (usize, &Measure)| {
        let fresh = compare(kept, place);
        let of_arm = |arm: usize| match &kept.arms[arm].stopped {
            Some(stopped) => stopped.said(*metric),
            None => fresh.iter().find(|comparison| comparison.arm == config.arms[arm].name).cloned(),
        };
        Measured { metric: *metric, compared: (1..kept.arms.len()).map(of_arm).collect() }
    };
    let metrics: Vec<Measured> = config.metrics.iter().enumerate().map(measured).collect();
    let guarded = |guardrail: &GuardrailConfig| {
        let standing = |arm: usize| standing(kept, guardrail, arm, &metrics, ratio.as_ref());
        Guarded { config: *guardrail, arms: (1..kept.arms.len()).map(standing).collect() }
    };
    let guardrails = config.guardrails.iter().map(guarded).collect();
    Look { ratio, metrics, guardrails }
}

/// The arms that go on beside the control, of the metric at `place`; empty while an arm is too small. The risk is divided
/// among the metrics, and among the arms that there were at the start.
fn compare(kept: &Kept, place: usize) -> Vec<Comparison> {
    let config = &kept.config;
    let alpha = config.alpha / config.metrics.len() as f64;
    let sequential = Sequential { alpha, tightest: config.shoppers as f64, first: config.first };
    let mut running = Running {
        experiment: config.deal(),
        config: AnalysisConfig { sequential, guardrail: Guardrail::default() },
        totals: kept.arms.iter().map(|arm| arm.totals.get(place).copied().unwrap_or_default()).collect(),
        stopped: kept.arms.iter().map(|arm| arm.stopped.as_ref()?.said(config.metrics[place])).collect(),
    };
    running.look().ok().flatten().map_or_else(Vec::new, |analysis| analysis.comparisons)
}

fn standing(
    kept: &Kept,
    guardrail: &GuardrailConfig,
    arm: usize,
    metrics: &[Measured],
    ratio: Option<&RatioCheck>,
) -> Standing {
    if let Some(stopped) = kept.arms[arm].stopped.as_ref().filter(|stopped| stopped.by == guardrail.metric) {
        return Standing::Broken(stopped.why.clone());
    }
    let place = metrics.iter().position(|measured| measured.metric == guardrail.metric);
    let place = place.expect("a guardrail's metric was checked to be measured");
    let control = kept.arms[0].totals.get(place).map_or(0.0, |totals| totals.mean);
    let interval = metrics[place].compared[arm - 1].as_ref().and_then(|comparison| comparison.always_valid);
    let Some(interval) = interval.map(|interval| gain(guardrail.metric, interval)) else { return Standing::Early };
    // Where shoppers are lost or counted twice no interval can be believed.
    let Some(ratio) = ratio.filter(|ratio| ratio.sound) else { return Standing::Open };
    match judge(Some(interval), control, ratio, &Guardrail { tolerated: guardrail.tolerated }) {
        Verdict::Stop { .. } => Standing::Broken(why(guardrail, control, interval)),
        _ if interval[0] > -guardrail.tolerated * control.abs() => Standing::Holds,
        _ => Standing::Open,
    }
}

/// The interval as a gain: turned round where less is better.
pub fn gain(metric: Measure, [low, high]: [f64; 2]) -> [f64; 2] {
    if metric.less_is_better() { [-high, -low] } else { [low, high] }
}

fn why(guardrail: &GuardrailConfig, control: f64, [_, high]: [f64; 2]) -> String {
    let (name, tolerated) = (guardrail.metric.name(), guardrail.tolerated * control.abs());
    format!(
        "{name}: surely worse than the control by more than {:.6}; {tolerated:.6} is tolerated ({}% of {control:.6})",
        -high,
        guardrail.tolerated * 100.0
    )
}

impl Look {
    /// The arms that go on and must be stopped, with what they say.
    pub fn losing(&self, kept: &Kept, at: i64) -> Vec<(usize, Stopped)> {
        let losing = |arm: usize| {
            let broken = |guarded: &Guarded| match &guarded.arms[arm - 1] {
                Standing::Broken(why) => Some((guarded.config.metric, why.clone())),
                _ => None,
            };
            let (by, why) = self.guardrails.iter().find_map(broken)?;
            let of = |measured: &Measured| Some((measured.metric, measured.compared[arm - 1].clone()?));
            Some((arm, Stopped { at, by, why, said: self.metrics.iter().filter_map(of).collect() }))
        };
        kept.going().into_iter().filter(|&arm| arm > 0).filter_map(losing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::{Deeds, ExperimentConfig, KeptArm, config};
    use lingxi_data::EventKind;
    use lingxi_eval::experiment::ArmTotals;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn kept(metrics: &[Measure], arms: usize) -> Kept {
        let mut config: ExperimentConfig = toml::from_str(config::EXAMPLE).unwrap();
        config.arms.truncate(arms);
        config.arms.iter_mut().for_each(|arm| arm.share = 1.0);
        config.metrics = metrics.to_vec();
        config.guardrails = metrics.iter().map(|&metric| GuardrailConfig { metric, tolerated: 0.0 }).collect();
        config.shoppers = 3000;
        let totals = vec![ArmTotals::default(); metrics.len()];
        Kept { id: 1, config, started: 0, ended: None, arms: vec![KeptArm { stopped: None, totals }; arms] }
    }

    /// Shoppers who come one by one, of whom those met before go on acting, some much more than others.
    struct Crowd {
        rng: ChaCha8Rng,
        shoppers: Vec<(usize, Deeds, Deeds)>,
    }

    impl Crowd {
        fn new(seed: u64) -> Crowd {
            Crowd { rng: ChaCha8Rng::seed_from_u64(seed), shoppers: Vec::new() }
        }

        /// One comes, and three act; who is in arm 1 buys `less` seldom.
        fn step(&mut self, kept: &mut Kept, less: f64) {
            let arm = self.rng.random_range(0..kept.arms.len());
            let before = Deeds { buys: self.rng.random_range(0..3u32).into(), ..Deeds::default() };
            self.shoppers.push((arm, Deeds::default(), before));
            for (place, metric) in kept.config.metrics.iter().enumerate() {
                kept.arms[arm].totals[place].add(metric.of(&Deeds::default()), metric.of(&before));
            }
            for _ in 0..3 {
                let busy = (self.shoppers.len() as f64 * self.rng.random::<f64>().powi(2)) as usize;
                let (arm, deeds, before) = &mut self.shoppers[busy];
                let chance = 0.3 * if *arm == 1 { 1.0 - less } else { 1.0 };
                if self.rng.random::<f64>() >= chance {
                    continue;
                }
                let old = *deeds;
                deeds.act(EventKind::Buy, -self.rng.random::<f64>().ln(), false);
                for (place, metric) in kept.config.metrics.iter().enumerate() {
                    kept.arms[*arm].totals[place].change(metric.of(&old), metric.of(deeds), metric.of(before));
                }
            }
        }
    }

    #[test]
    fn where_nothing_differs_no_more_is_called_than_promised_though_shoppers_act_on_and_somebody_looks_always() {
        let called = |seed: u64| {
            let (mut crowd, mut kept) = (Crowd::new(seed), kept(&[Measure::Conversion, Measure::Value], 3));
            (0..3000).any(|step| {
                crowd.step(&mut kept, 0.0);
                step % 20 == 0 && {
                    let looked = look(&kept);
                    let compared = || looked.metrics.iter().flat_map(|of| of.compared.iter().flatten());
                    let differs =
                        compared().filter_map(|one| one.always_valid).any(|[low, high]| low > 0.0 || high < 0.0);
                    assert!(looked.losing(&kept, 0).is_empty() || differs);
                    differs
                }
            })
        };
        let called = (0..300).filter(|&seed| called(seed)).count();
        // At a risk of 5% fifteen are expected at most; 27 would be three deviations more.
        println!("{called} of 300 tests of nothing called a difference");
        assert!(called < 27, "{called} of 300");
    }

    #[test]
    fn an_arm_that_loses_is_stopped_and_from_then_on_says_what_it_said_last() {
        let (mut crowd, mut kept) = (Crowd::new(1), kept(&[Measure::Conversion, Measure::Clicks], 3));
        let stops = (0..6000).find_map(|step| {
            crowd.step(&mut kept, 0.8);
            let losing = if step % 20 == 0 { look(&kept).losing(&kept, step) } else { Vec::new() };
            (!losing.is_empty()).then_some(losing)
        });
        let [(arm, stopped)] = <[_; 1]>::try_from(stops.expect("it is stopped")).expect("only one loses");
        assert_eq!((arm, stopped.by, stopped.said.len()), (1, Measure::Conversion, 2));
        assert!(stopped.why.starts_with("conversion: surely worse"), "{}", stopped.why);
        let last = stopped.said[0].1.clone();
        kept.arms[1].stopped = Some(stopped);
        crowd.step(&mut kept, 0.0);
        let looked = look(&kept);
        assert_eq!(looked.metrics[0].compared[0].as_ref(), Some(&last));
        assert!(matches!(looked.guardrails[0].arms[0], Standing::Broken(_)), "{:?}", looked.guardrails[0]);
        assert!(looked.losing(&kept, 9).is_empty(), "it is stopped once");
        assert_eq!(looked.ratio.expect("two arms go on").counts.len(), 2);
    }

    #[test]
    fn more_of_what_a_shop_wants_less_of_is_a_loss_and_arms_of_wrong_sizes_stop_nothing() {
        let mut kept = kept(&[Measure::Latency], 2);
        let fill = |kept: &mut Kept, arm: usize, n: u32, slow: f64| {
            (0..n).for_each(|i| kept.arms[arm].totals[0].add(slow + f64::from(i % 7), 0.0));
        };
        fill(&mut kept, 0, 1000, 10.0);
        fill(&mut kept, 1, 1000, 12.0);
        assert_eq!(look(&kept).losing(&kept, 0).len(), 1);
        kept.config.guardrails[0].tolerated = 0.5;
        assert_eq!(look(&kept).guardrails[0].arms, [Standing::Holds]);
        kept.config.guardrails[0].tolerated = 0.15;
        assert_eq!(look(&kept).guardrails[0].arms, [Standing::Open]);
        kept.config.guardrails[0].tolerated = 0.0;
        fill(&mut kept, 0, 400, 10.0);
        let looked = look(&kept);
        assert!(!looked.ratio.as_ref().expect("two arms go on").sound);
        assert_eq!((looked.guardrails[0].arms.clone(), looked.losing(&kept, 0).len()), (vec![Standing::Open], 0));
    }
}

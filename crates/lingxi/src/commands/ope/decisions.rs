//! A shop's own decisions: what would another policy of whole slates have earned?
//!
//! JSON lines come in as `lingxi export decisions` writes them: one place of a slate each, with propensity, whether the
//! policy explored there, and what came of it. The log keeps no other candidates, so three policies can be asked for:
//! the greedy one always takes the best eligible item, which stood wherever nothing was explored; uniform and
//! epsilon-greedy also need to know how many were eligible, which a propensity of an epsilon-greedy log tells.

use super::words;
use crate::cli::{OpeArgs, OpePolicy};
use crate::failure::UserError;
use crate::recipe::Recipe;
use crate::report::{ResultLine, say};
use anyhow::Result;
use lingxi_data::EventKind;
use lingxi_decide::PolicyConfig;
use lingxi_eval::ope::outlook::{Cases, outlook};
use lingxi_eval::ope::slate::Slates;
use lingxi_eval::ope::{ReportConfig, evaluate_slates};
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Most places that are read: a log beyond this is evaluated a part at a time.
const MOST_PLACES: usize = 20_000_000;

/// A place of a slate, as exported; what other versions add is none of our business here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Place {
    decision_id: u64,
    propensity: f64,
    explored: bool,
    feedback: Vec<String>,
    policy: String,
}

/// The policy that is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Greedy,
    Uniform,
    Epsilon(f64),
}

/// Reads the log, evaluates the policy and prints the report.
pub fn run(file: &Path, args: &OpeArgs) -> Result<()> {
    let asked = asked(args)?;
    let (slates, cases) = read(file, asked, args)?;
    let config = ReportConfig { seed: args.seed, ..ReportConfig::default() };
    let outlook = outlook(&slates, &cases);
    let report = evaluate_slates(&slates, Some(&outlook), &config)
        .map_err(|why| UserError::new(format!("{}: {why}", file.display()), "give a log with more decisions"))?;
    if args.json {
        return ResultLine::new("ope", Some("decisions"), report).print();
    }
    say(&format!("{}: rewards per slate of {} decisions under {asked}", file.display(), slates.len()))?;
    Ok(say(&words(&report))?)
}

fn asked(args: &OpeArgs) -> Result<Asked> {
    let Some(path) = &args.recipe else {
        return Ok(match args.policy {
            OpePolicy::Greedy => Asked::Greedy,
            OpePolicy::Uniform => Asked::Uniform,
        });
    };
    match Recipe::read(path)?.serve.policy {
        PolicyConfig::Greedy {} => Ok(Asked::Greedy),
        PolicyConfig::EpsilonGreedy { epsilon } => Ok(Asked::Epsilon(epsilon)),
        other => Err(UserError::new(
            format!(
                "{}: policy {other:?} needs the scores of all candidates, which the log does not keep",
                path.display()
            ),
            "ask for greedy or epsilon-greedy",
        )
        .into()),
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Asked::Greedy => f.write_str("greedy"),
            Asked::Uniform => f.write_str("uniform"),
            Asked::Epsilon(epsilon) => write!(f, "epsilon-greedy({epsilon})"),
        }
    }
}

impl Asked {
    /// Its chances of the best eligible item and of any other one; `None` if the place does not tell.
    fn chances(self, place: &Place) -> Option<(f64, f64)> {
        let epsilon = match self {
            Asked::Greedy => return Some((1.0, 0.0)),
            Asked::Uniform => 1.0,
            Asked::Epsilon(epsilon) => epsilon,
        };
        let share = epsilon / eligible(place)?;
        Some((1.0 - epsilon + share, share))
    }
}

/// How many were eligible, told by the propensity under epsilon-greedy: e / m for any item, and 1 - e more for the
/// best.
fn eligible(place: &Place) -> Option<f64> {
    let epsilon: f64 = place.policy.strip_prefix("epsilon-greedy(")?.split_once(')')?.0.parse().ok()?;
    let share = if place.explored { place.propensity } else { place.propensity - (1.0 - epsilon) };
    let eligible = (epsilon / share).round();
    (eligible >= 1.0 && eligible.is_finite()).then_some(eligible)
}

fn read(file: &Path, asked: Asked, args: &OpeArgs) -> Result<(Slates, Cases)> {
    let unreadable = |why: std::io::Error| {
        UserError::new(format!("cannot read {}", file.display()), "lingxi export decisions --out FILE").because(why)
    };
    let (mut slates, mut cases) = (Slates::default(), Cases::default());
    let mut last = None;
    for (i, line) in BufReader::new(File::open(file).map_err(unreadable)?).lines().enumerate() {
        let line = line.map_err(unreadable)?;
        let wrong =
            |what: String, remedy: &str| UserError::new(format!("{}:{}: {what}", file.display(), i + 1), remedy);
        if i >= MOST_PLACES {
            return Err(wrong(
                format!("expected at most {MOST_PLACES} places"),
                "evaluate a part of the log at a time",
            )
            .into());
        }
        let place: Place = serde_json::from_str(&line).map_err(|why| {
            wrong("expected a place of a decision".into(), "write it with lingxi export decisions").because(why)
        })?;
        let Some((best, other)) = asked.chances(&place) else {
            let what =
                format!("policy {:?} does not tell how many items were eligible, which {asked} needs", place.policy);
            return Err(
                wrong(what, "ask for --policy greedy, or evaluate decisions of an epsilon-greedy policy").into()
            );
        };
        if last.replace(place.decision_id) != Some(place.decision_id) {
            slates.starts.push(slates.reward.len());
        }
        slates.reward.push(f64::from(u8::from(answered(&place, args.reward.as_deref()))));
        slates.logged.push(place.propensity);
        slates.target.push(if place.explored { other } else { best });
        cases.best.push(!place.explored);
        cases.chance_of_best.push(best);
    }
    slates.starts.push(slates.reward.len());
    Ok((slates, cases))
}

/// Whether the shopper did what counts as a reward: anything, or the named kind.
fn answered(place: &Place, kind: Option<&str>) -> bool {
    let named = |kind: &str| EventKind::parse(kind).map_or(kind.to_owned(), |kind| kind.name().to_owned());
    match kind {
        None => !place.feedback.is_empty(),
        Some(kind) => place.feedback.contains(&named(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(propensity: f64, explored: bool, policy: &str) -> Place {
        Place { decision_id: 1, propensity, explored, feedback: vec!["click".into()], policy: policy.into() }
    }

    #[test]
    fn a_propensity_tells_how_many_were_eligible() {
        let policy = "epsilon-greedy(0.1)/1";
        assert_eq!(eligible(&place(0.1 / 40.0, true, policy)), Some(40.0));
        assert_eq!(eligible(&place(f64::from(0.9f32 + 0.1 / 40.0), false, policy)), Some(40.0));
        assert_eq!(eligible(&place(1.0, false, "greedy/1")), None);
    }

    #[test]
    fn the_asked_policy_says_its_chances() {
        let shown = place(0.1 / 40.0, true, "epsilon-greedy(0.1)/1");
        assert_eq!(Asked::Greedy.chances(&shown), Some((1.0, 0.0)));
        assert_eq!(Asked::Uniform.chances(&shown), Some((1.0 / 40.0, 1.0 / 40.0)));
        assert_eq!(Asked::Epsilon(0.2).chances(&shown), Some((1.0 - 0.2 + 0.2 / 40.0, 0.2 / 40.0)));
        assert_eq!(Asked::Uniform.chances(&place(0.3, true, "softmax(1)/1")), None);
    }

    #[test]
    fn a_reward_is_any_answer_or_the_named_kind() {
        let shown = place(0.5, true, "");
        assert!(answered(&shown, None) && answered(&shown, Some("click")) && !answered(&shown, Some("purchase")));
    }
}

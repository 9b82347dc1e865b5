//! Who asks, and what is the right answer?
//!
//! A [`Holdout`] of a split comes in, cases go out: each with its context, its relevant items and the items that must not
//! be recommended. What is masked is a choice of the protocol (most published tables mask what was seen; a grocery wants
//! repeats), so it is an argument here and not a habit of a model.

use lingxi_data::split::Holdout;
use lingxi_data::{Context, EventKind, ItemId};
use serde::{Deserialize, Serialize};

/// One question with its answer.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// Who asks, when, with which history.
    pub context: Context<'a>,
    /// The items that are right, ascending, no item twice.
    pub relevant: Vec<ItemId>,
    /// How right each is, in the order of `relevant`; empty means that all are equally right. Only NDCG reads it, with the
    /// grade itself as gain.
    pub grades: Vec<f32>,
    /// The items that must not be listed, ascending, no item twice.
    pub masked: Vec<ItemId>,
}

/// Which items of a shopper's history must not be listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// None: repeats are wanted and counted.
    Nothing,
    /// All items that the case's history holds.
    #[default]
    Seen,
    /// The items of events of these kinds in the case's history (such as goods already bought).
    Kinds(Vec<EventKind>),
}

impl Mask {
    /// The rule in words, for the protocol of a report.
    pub fn describe(&self) -> String {
        match self {
            Mask::Nothing => "nothing masked, repeats counted".into(),
            Mask::Seen => "seen items masked".into(),
            Mask::Kinds(kinds) => {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                format!("items of past {} events masked", names.join(", "))
            }
        }
    }

    fn items(&self, context: &Context<'_>) -> Vec<ItemId> {
        let rows = context.history;
        let kinds: &[EventKind] = match self {
            Mask::Nothing => &[],
            Mask::Seen => &EventKind::ALL,
            Mask::Kinds(kinds) => kinds,
        };
        let masked = rows.items.iter().zip(rows.kinds).filter(|(_, kind)| kinds.contains(kind));
        let mut masked: Vec<ItemId> = masked.map(|(item, _)| *item).collect();
        masked.sort_unstable();
        masked.dedup();
        masked
    }
}

/// The cases of a holdout, in its order.
pub fn cases<'a>(holdout: &'a Holdout, mask: &Mask) -> Vec<Case<'a>> {
    let asked = holdout.contexts().zip(&holdout.cases);
    let case = |(context, held): (Context<'a>, &lingxi_data::split::HeldCase)| Case {
        relevant: held.relevant.clone(),
        grades: Vec::new(),
        masked: mask.items(&context),
        context,
    };
    asked.map(case).collect()
}

impl<'a> Case<'a> {
    /// The same question from a shopper of whom only the last `n` events are known: how good is the model for someone
    /// new? Answer and mask stay, so that figures compare with those of the full history.
    pub fn knowing_last(&self, n: usize) -> Case<'a> {
        Case { context: Context { history: self.context.history.last(n), ..self.context }, ..self.clone() }
    }
}

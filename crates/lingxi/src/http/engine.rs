//! What the endpoints ask of the house: names, a slate, its reasons, neighbours, a search.

use crate::learner::Learning;
use crate::live::Known;
use crate::pipeline::{Ask, Made};
use crate::reasons::Reason;
use crate::recipe::Recipe;
use crate::stages::fit::Curve;
use crate::store::NewItem;
use lingxi_content::{BertEncoder, Generator};
use lingxi_data::{Catalog, Context, Fingerprint, ItemId, Policy, Rows, Slot, UserId};
use lingxi_decide::{Degree, KeptAway, Standing};
use serde_json::Value;
use std::sync::Arc;

/// A loaded snapshot as the endpoints see it.
pub trait Engine: Send + Sync + 'static {
    /// Names and log.
    fn known(&self) -> Known<'_>;
    /// What is sold.
    fn catalog(&self) -> &Catalog;
    /// The snapshot's fingerprint.
    fn fingerprint(&self) -> Fingerprint;
    /// What the shop says of itself.
    fn front(&self) -> &Front;
    /// What is known of a shopper: column and value.
    fn labels(&self, user: UserId) -> Vec<(&str, &str)>;
    /// The slate that answers a question, and what it was chosen by.
    fn recommend(&self, ask: &Ask<'_>) -> Made;
    /// The policy as it was built, which has learnt nothing.
    fn policy(&self) -> &dyn Policy;
    /// What its policy learns with; `None` if it does not learn.
    fn learning(&self) -> Option<Learning>;
    /// Whether what shoppers were shown lately changes what they are shown next.
    fn remembers(&self) -> bool {
        false
    }
    /// Takes note that a shopper was shown these.
    fn shown(&self, _user: Option<UserId>, _slots: &[Slot]) {}
    /// How an item stands among the candidates for that slate; `None` if no model knows it.
    fn consider(&self, ask: &Ask<'_>, item: ItemId) -> Option<Standing>;
    /// Why a place of that slate is filled as it is; the parts add up to the score.
    fn reason(&self, context: &Context<'_>, slot: &Slot, kept_away: &[KeptAway]) -> Reason;
    /// At most `n` items like this one, best first.
    fn similar(&self, item: ItemId, n: usize) -> Vec<(ItemId, f32)>;
    /// At most `n` items that a text means, best first; `None` if the snapshot has no language model.
    fn search(&self, text: &str, n: usize) -> Option<Vec<(ItemId, f32)>>;
    /// The `most` greatest interests of a shopper with this history, the greatest first.
    fn interests(&self, history: Rows<'_>, now: i64, most: usize) -> Vec<Degree>;
    /// The encoder that reads the goods, if there is one.
    fn encoder(&self) -> Option<&Arc<BertEncoder>> {
        None
    }
    /// The model that phrases reasons, if the recipe wants one.
    fn writer(&self) -> Option<&Generator> {
        None
    }
    /// Whether goods that come after the build can be read.
    fn reads_goods(&self) -> bool;
    /// The same with goods that came after the build, all of them; `None` if they cannot be read.
    fn with_goods(&self, goods: &[NewItem]) -> Option<Arc<dyn Engine>>;
}

/// What a shop says of itself on its page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Front {
    /// Its name.
    pub name: String,
    /// What it is and where its data came from.
    pub about: String,
    /// Whether events carry a time; otherwise only an order.
    pub timed: bool,
    /// The figures that the snapshot earned before it was published, in the shape of the JSON line; null if there are none.
    pub figures: Value,
    /// How the models that learn in steps came to what they know.
    pub curves: Vec<Curve>,
}

impl Front {
    /// The front of a recipe.
    pub fn new(recipe: &Recipe, timed: bool, figures: Value, curves: Vec<Curve>) -> Front {
        Front { name: recipe.name.clone(), about: recipe.about.clone(), timed, figures, curves }
    }
}

//! The policies that are compared: each a policy of the recipe language, with the same recall and the same terms.

use crate::failure::UserError;
use lingxi_decide::explore::{LinUcbConfig, NeuralThompsonConfig, SquareCbConfig, ThompsonConfig, UcbConfig};
use lingxi_decide::rerank::{DiversityConfig, GroupsConfig, SellersConfig, Target};
use lingxi_decide::{PolicyConfig, RerankConfig};

/// One row of the comparison.
pub struct Arm {
    /// What the table calls it.
    pub name: String,
    /// How it chooses.
    pub policy: PolicyConfig,
    /// Places for new interests.
    pub places: usize,
    /// What moves its candidates.
    pub rerank: RerankConfig,
}

fn arm(name: &str, policy: PolicyConfig) -> Arm {
    Arm { name: name.to_owned(), policy, places: 0, rerank: RerankConfig::default() }
}

/// Sellers pulled to their share of what was taken, categories to the share that all groups of shoppers see of them.
pub fn fair(sellers: f32, groups: f32) -> RerankConfig {
    RerankConfig {
        sellers: Some(SellersConfig { attribute: "seller".into(), strength: sellers, target: Target::Taken }),
        groups: Some(GroupsConfig { by: "group".into(), strength: groups }),
        ..RerankConfig::default()
    }
}

/// Lessons that "an item is as its features say" counts as.
const OWN: Option<f64> = Some(50.0);

/// Chosen, as the other settings, on the shoppers of seed 2; those of seed 1 are what is reported.
fn optimism() -> LinUcbConfig {
    LinUcbConfig { alpha: 0.3, own: OWN, ..LinUcbConfig::default() }
}

/// All that are compared, in the order of the table.
pub fn all() -> Vec<Arm> {
    let learnt = PolicyConfig::LinUcb(LinUcbConfig { alpha: 0.0, ..optimism() });
    let optimist = PolicyConfig::LinUcb(optimism());
    let by_features = PolicyConfig::LinUcb(LinUcbConfig { own: None, ..optimism() });
    let square = PolicyConfig::SquareCb(SquareCbConfig { own: OWN, gamma: 1000.0, ..SquareCbConfig::default() });
    let thompson = ThompsonConfig { draws: 32, scale: 0.1, own: OWN, ..ThompsonConfig::default() };
    let varied = RerankConfig { diversity: Some(DiversityConfig::Dpp { strength: 0.3 }), ..RerankConfig::default() };
    vec![
        arm("random", PolicyConfig::EpsilonGreedy { epsilon: 1.0 }),
        arm("greedy", PolicyConfig::Greedy {}),
        arm("epsilon-greedy 0.1", PolicyConfig::EpsilonGreedy { epsilon: 0.1 }),
        arm("softmax", PolicyConfig::Softmax { temperature: 0.2 }),
        arm("ucb", PolicyConfig::Ucb(UcbConfig::default())),
        arm("learnt greedy", learnt),
        arm("lin-ucb by features", by_features),
        arm("lin-ucb", optimist),
        arm("thompson", PolicyConfig::Thompson(thompson)),
        arm(
            "neural-thompson",
            PolicyConfig::NeuralThompson(NeuralThompsonConfig { refit: 20_000, draws: 32, ..Default::default() }),
        ),
        arm("square-cb", square),
        Arm { places: 1, ..arm("greedy + new interests", PolicyConfig::Greedy {}) },
        Arm { places: 1, ..arm("learnt greedy + new interests", learnt) },
        Arm { places: 1, ..arm("lin-ucb + new interests", optimist) },
        Arm { places: 1, ..arm("thompson + new interests", PolicyConfig::Thompson(thompson)) },
        Arm { rerank: varied, ..arm("lin-ucb + dpp 0.3", optimist) },
    ]
}

/// The arm that all others are compared with.
pub const BASE: &str = "greedy";

/// How hard the fairness that is measured pulls.
const STRENGTHS: [f32; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];

/// One policy under more and more fairness, first of sellers and then of groups of shoppers: what a shop pays for it. All are
/// compared with the first, which is not pulled at all.
pub fn tradeoff() -> Vec<Arm> {
    let policy = PolicyConfig::LinUcb(optimism());
    let sellers = STRENGTHS.map(|strength| (format!("lin-ucb + sellers {strength}"), fair(strength, 0.0)));
    let groups = STRENGTHS.map(|strength| (format!("lin-ucb + groups {strength}"), fair(0.0, strength)));
    let pulled = sellers.into_iter().chain(groups).map(|(name, rerank)| Arm { rerank, ..arm(&name, policy) });
    std::iter::once(arm("lin-ucb", policy)).chain(pulled).collect()
}

/// The arms of these names and [`BASE`], or all if none is named.
///
/// # Errors
/// A name that is not in the table.
pub fn named(names: &[String]) -> anyhow::Result<Vec<Arm>> {
    let mut arms = all();
    if let Some(unknown) = names.iter().find(|name| arms.iter().all(|arm| arm.name != name.trim())) {
        let known: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
        let message = format!("no policy is called {unknown:?}; known: {}", known.join(", "));
        return Err(UserError::new(message, "choose among these").into());
    }
    arms.retain(|arm| names.is_empty() || arm.name == BASE || names.iter().any(|name| name.trim() == arm.name));
    Ok(arms)
}

/// An arm of a policy that a person wrote, called what they wrote.
///
/// # Errors
/// JSON that is no policy.
pub fn written(text: &str) -> anyhow::Result<Arm> {
    let policy: PolicyConfig = serde_json::from_str(text)
        .map_err(|why| UserError::new(format!("{text}: {why}"), "write {\"kind\":\"lin-ucb\",\"alpha\":0.1}"))?;
    Ok(arm(text, policy))
}

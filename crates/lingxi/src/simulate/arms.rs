//! The policies that are compared: each a policy of the recipe language, with the same recall and the same terms.

use crate::failure::UserError;
use lingxi_decide::explore::{LinUcbConfig, NeuralThompsonConfig, SquareCbConfig, ThompsonConfig, UcbConfig};
use lingxi_decide::rerank::{DiversityConfig, GroupsConfig, SellersConfig, Target};
use lingxi_decide::{PolicyConfig, RerankConfig};

/// One row of the comparison.
pub struct Arm {
    /// What the table calls it.
    pub name: &'static str,
    /// How it chooses.
    pub policy: PolicyConfig,
    /// Places for new interests.
    pub places: usize,
    /// What moves its candidates.
    pub rerank: RerankConfig,
}

fn arm(name: &'static str, policy: PolicyConfig) -> Arm {
    Arm { name, policy, places: 0, rerank: RerankConfig::default() }
}

/// Sellers pulled to their share of what was taken, categories to the share that all groups of shoppers see of them.
pub fn fair(sellers: f32, groups: f32) -> RerankConfig {
    RerankConfig {
        sellers: Some(SellersConfig { attribute: "seller".into(), strength: sellers, target: Target::Taken }),
        groups: Some(GroupsConfig { by: "group".into(), strength: groups }),
        ..RerankConfig::default()
    }
}

/// All that are compared, in the order of the table.
pub fn all() -> Vec<Arm> {
    let learnt = PolicyConfig::LinUcb(LinUcbConfig { alpha: 0.0, ..LinUcbConfig::default() });
    let optimist = PolicyConfig::LinUcb(LinUcbConfig::default());
    let square = PolicyConfig::SquareCb(SquareCbConfig::default());
    let varied = RerankConfig { diversity: Some(DiversityConfig::Dpp { strength: 0.3 }), ..RerankConfig::default() };
    vec![
        arm("random", PolicyConfig::EpsilonGreedy { epsilon: 1.0 }),
        arm("greedy", PolicyConfig::Greedy {}),
        arm("epsilon-greedy 0.1", PolicyConfig::EpsilonGreedy { epsilon: 0.1 }),
        arm("softmax", PolicyConfig::Softmax { temperature: 0.2 }),
        arm("ucb", PolicyConfig::Ucb(UcbConfig::default())),
        arm("learnt greedy", learnt),
        arm("lin-ucb", optimist),
        arm("thompson", PolicyConfig::Thompson(ThompsonConfig { draws: 32, ..Default::default() })),
        arm(
            "neural-thompson",
            PolicyConfig::NeuralThompson(NeuralThompsonConfig { refit: 20_000, draws: 32, ..Default::default() }),
        ),
        arm("square-cb", square),
        Arm { places: 1, ..arm("greedy + new interests", PolicyConfig::Greedy {}) },
        Arm { places: 1, ..arm("lin-ucb + new interests", optimist) },
        Arm { rerank: varied, ..arm("lin-ucb + dpp 0.3", optimist) },
        Arm { rerank: fair(0.5, 0.0), ..arm("lin-ucb + sellers 0.5", optimist) },
        Arm { rerank: fair(2.0, 0.0), ..arm("lin-ucb + sellers 2", optimist) },
        Arm { rerank: fair(0.0, 0.5), ..arm("lin-ucb + groups 0.5", optimist) },
        Arm { rerank: fair(0.0, 2.0), ..arm("lin-ucb + groups 2", optimist) },
    ]
}

/// The arm that all others are compared with.
pub const BASE: &str = "greedy";

/// The arms of these names and [`BASE`], or all if none is named.
///
/// # Errors
/// A name that is not in the table.
pub fn named(names: &[String]) -> anyhow::Result<Vec<Arm>> {
    let mut arms = all();
    if let Some(unknown) = names.iter().find(|name| arms.iter().all(|arm| arm.name != name.trim())) {
        let known: Vec<&str> = arms.iter().map(|arm| arm.name).collect();
        let message = format!("no policy is called {unknown:?}; known: {}", known.join(", "));
        return Err(UserError::new(message, "choose among these").into());
    }
    arms.retain(|arm| names.is_empty() || arm.name == BASE || names.iter().any(|name| name.trim() == arm.name));
    Ok(arms)
}

//! The log as plain columns.
//!
//! One row is one round: who asked (context), what was shown (action) and where (position), what came of it (reward),
//! and with which probability the logging policy showed it (propensity). What a policy or a reward model says of every
//! action of every round is a [`Grid`].

use crate::{EvalError, Result};

/// Logged rounds, column by column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rounds {
    /// Actions that there are, `0..n_actions`.
    pub n_actions: usize,
    /// Positions that there are, `0..n_positions`.
    pub n_positions: usize,
    /// Numbers per context.
    pub dim: usize,
    /// Contexts, row-major `[rounds, dim]`.
    pub context: Vec<f64>,
    /// What was shown.
    pub action: Vec<u32>,
    /// Where.
    pub position: Vec<u32>,
    /// What came of it.
    pub reward: Vec<f64>,
    /// Probability, in (0, 1], with which the logging policy showed it there.
    pub propensity: Vec<f64>,
}

impl Rounds {
    /// Number of rounds.
    pub fn len(&self) -> usize {
        self.action.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.action.is_empty()
    }

    /// The context of a round.
    pub fn context(&self, round: usize) -> &[f64] {
        &self.context[round * self.dim..(round + 1) * self.dim]
    }

    /// Whether the columns fit each other and hold what they should.
    ///
    /// # Errors
    /// [`EvalError::Length`] or [`EvalError::Round`] names the first column or round that does not.
    pub fn check(&self) -> Result<()> {
        let n = self.len();
        let lengths = [
            ("contexts", self.context.len(), n * self.dim),
            ("positions", self.position.len(), n),
            ("rewards", self.reward.len(), n),
            ("propensities", self.propensity.len(), n),
        ];
        for (what, got, expected) in lengths {
            if got != expected {
                return Err(EvalError::Length { what, expected, got });
            }
        }
        if n < 2 {
            return Err(EvalError::Length { what: "logged rounds, at least", expected: 2, got: n });
        }
        (0..n).try_for_each(|round| self.check_round(round))
    }

    fn check_round(&self, round: usize) -> Result<()> {
        let wrong = |field, expected: String, got: String| Err(EvalError::Round { round, field, expected, got });
        let (action, position) = (self.action[round] as usize, self.position[round] as usize);
        let (reward, propensity) = (self.reward[round], self.propensity[round]);
        if action >= self.n_actions {
            return wrong("action", format!("below {}", self.n_actions), action.to_string());
        }
        if position >= self.n_positions {
            return wrong("position", format!("below {}", self.n_positions), position.to_string());
        }
        if !reward.is_finite() {
            return wrong("reward", "a number".into(), reward.to_string());
        }
        if !(propensity > 0.0 && propensity <= 1.0) {
            return wrong("propensity", "above 0, at most 1".into(), propensity.to_string());
        }
        match self.context(round).iter().find(|x| !x.is_finite()) {
            Some(x) => wrong("context", "numbers".into(), x.to_string()),
            None => Ok(()),
        }
    }

    /// The rounds with these indices, which may repeat: a bootstrap sample, or a fold.
    pub fn select(&self, rounds: &[usize]) -> Rounds {
        Rounds {
            n_actions: self.n_actions,
            n_positions: self.n_positions,
            dim: self.dim,
            context: rounds.iter().flat_map(|&i| self.context(i)).copied().collect(),
            action: rounds.iter().map(|&i| self.action[i]).collect(),
            position: rounds.iter().map(|&i| self.position[i]).collect(),
            reward: rounds.iter().map(|&i| self.reward[i]).collect(),
            propensity: rounds.iter().map(|&i| self.propensity[i]).collect(),
        }
    }
}

/// Rows of numbers of one width: for each round the chances or the predicted rewards of every action at its position,
/// or for each action its features.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// Numbers per row.
    pub width: usize,
    /// Row-major.
    pub values: Vec<f64>,
}

impl Grid {
    /// The numbers of a round, or an action.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    /// The same distribution for every round of a position: `by_position` is row-major `[positions, actions]`.
    pub fn by_position(by_position: &[f64], n_actions: usize, position: &[u32]) -> Grid {
        let row = |at: &u32| &by_position[*at as usize * n_actions..(*at as usize + 1) * n_actions];
        Grid { width: n_actions, values: position.iter().flat_map(row).copied().collect() }
    }

    /// Whether it fits `rounds`; with `chances`, whether every row is a distribution.
    pub(crate) fn check(&self, rounds: &Rounds, what: &'static str, chances: bool) -> Result<()> {
        let expected = rounds.len() * rounds.n_actions;
        if self.width != rounds.n_actions || self.values.len() != expected {
            return Err(EvalError::Length { what, expected, got: self.values.len() });
        }
        for (round, row) in self.values.chunks_exact(self.width).enumerate() {
            let sum: f64 = row.iter().sum();
            let sound =
                if chances { (sum - 1.0).abs() < 1e-6 && row.iter().all(|p| *p >= 0.0) } else { sum.is_finite() };
            if !sound {
                let expected = if chances { "chances that add up to 1" } else { "numbers" };
                let got = format!("{what} that add up to {sum}");
                return Err(EvalError::Round { round, field: what, expected: expected.into(), got });
            }
        }
        Ok(())
    }
}

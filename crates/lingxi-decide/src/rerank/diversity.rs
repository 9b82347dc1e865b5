//! What does a candidate add to what is already on the slate?
//!
//! Maximal marginal relevance (Carbonell and Goldstein 1998): minus strength times max_j s_ij over the slate's j.
//! Determinantal point process, greedy MAP (Chen, Zhang and Zhou 2018, arXiv 1709.05135): with L_ij = q_i q_j s_ij the gain of i
//! is log q_i^2 + log d_i^2, where d_i^2 is what the slate does not span of i; each place updates c_i and d_i^2 by one row of the
//! Cholesky factor: e_i = (s_ji - <c_j, c_i>) / d_j, d_i^2 -= e_i^2. Both cost O(candidates) a place, not O(candidates^2).
//!
//! Likeness s is the cosine of language vectors, or where goods have none whether they are of one category.

use super::DiversityConfig;
use lingxi_data::{CategoryId, ItemId, ItemVectors};
use lingxi_kernels::dot;

/// So little is left of what the slate spans already.
const LEAST: f32 = 1e-4;

/// The goods of one slate, compared as it fills.
pub(super) struct Diversity<'a> {
    config: DiversityConfig,
    vectors: Vec<Option<&'a [f32]>>,
    category: Vec<Option<CategoryId>>,
    /// Greatest likeness to the slate (MMR), or d^2 (DPP).
    state: Vec<f32>,
    /// One row of the Cholesky factor per place (DPP).
    rows: Vec<Vec<f32>>,
}

impl<'a> Diversity<'a> {
    pub(super) fn new(
        config: DiversityConfig,
        items: &[ItemId],
        vectors: Option<&'a ItemVectors>,
        category: &[Option<CategoryId>],
    ) -> Diversity<'a> {
        let start = if matches!(config, DiversityConfig::Mmr { .. }) { 0.0 } else { 1.0 };
        Diversity {
            config,
            vectors: items.iter().map(|&item| vectors?.get(item)).collect(),
            category: items.iter().map(|item| category.get(item.index()).copied().flatten()).collect(),
            state: vec![start; items.len()],
            rows: Vec::new(),
        }
    }

    /// Candidate `chosen` took a place; `out` becomes what each candidate is moved by from now on.
    pub(super) fn placed(&mut self, chosen: usize, out: &mut [f32]) {
        let like: Vec<f32> = (0..self.state.len()).map(|i| self.likeness(chosen, i)).collect();
        match self.config {
            DiversityConfig::Mmr { strength } => {
                for ((most, like), out) in self.state.iter_mut().zip(&like).zip(out) {
                    *most = most.max(*like);
                    *out = -strength * *most;
                }
            }
            DiversityConfig::Dpp { strength } => {
                self.span(chosen, &like);
                for (left, out) in self.state.iter().zip(out) {
                    *out = strength * left.max(LEAST).ln();
                }
            }
        }
    }

    fn span(&mut self, chosen: usize, like: &[f32]) {
        let mut row = like.to_vec();
        for earlier in &self.rows {
            let factor = earlier[chosen];
            row.iter_mut().zip(earlier).for_each(|(e, c)| *e -= factor * c);
        }
        let scale = 1.0 / self.state[chosen].max(LEAST).sqrt();
        for (e, left) in row.iter_mut().zip(&mut self.state) {
            *e *= scale;
            *left -= *e * *e;
        }
        self.rows.push(row);
    }

    fn likeness(&self, a: usize, b: usize) -> f32 {
        if a == b {
            return 1.0;
        }
        match (self.vectors[a], self.vectors[b]) {
            (Some(a), Some(b)) => dot(a, b),
            _ => f32::from(u8::from(self.category[a].is_some() && self.category[a] == self.category[b])),
        }
    }
}

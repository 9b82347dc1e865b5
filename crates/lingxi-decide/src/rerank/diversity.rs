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
use lingxi_kernels::dot_rows;

/// So little is left of what the slate spans already.
const LEAST: f32 = 1e-4;

/// The goods of one slate, compared as it fills.
pub(super) struct Diversity<'a> {
    config: DiversityConfig,
    vectors: Option<&'a ItemVectors>,
    /// The row of each candidate's vector, and whether it has one.
    rows_of: Vec<u32>,
    known: Vec<bool>,
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
            rows_of: items.iter().map(|item| item.0).collect(),
            known: items.iter().map(|item| vectors.is_some_and(|v| v.get(*item).is_some())).collect(),
            vectors,
            category: items.iter().map(|item| category.get(item.index()).copied().flatten()).collect(),
            state: vec![start; items.len()],
            rows: Vec::new(),
        }
    }

    /// Candidate `chosen` took a place; `out` becomes what each candidate is moved by from now on.
    pub(super) fn placed(&mut self, chosen: usize, out: &mut [f32]) {
        let like = self.likeness(chosen);
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

    /// How like each candidate is to `chosen`.
    fn likeness(&self, chosen: usize) -> Vec<f32> {
        let mut like = vec![0.0; self.state.len()];
        let vector = self.vectors.and_then(|vectors| vectors.get(ItemId(self.rows_of[chosen])));
        // Goods that came after the build have no row in the table.
        let in_table = |vectors: &ItemVectors| self.rows_of.iter().all(|row| (*row as usize) < vectors.len());
        if let (Some(vector), Some(vectors)) = (vector, self.vectors) {
            if in_table(vectors) {
                dot_rows(vector, vectors.data(), &self.rows_of, &mut like);
            } else {
                for (like, row) in like.iter_mut().zip(&self.rows_of) {
                    *like = vectors.get(ItemId(*row)).map_or(0.0, |other| lingxi_kernels::dot(vector, other));
                }
            }
        }
        for (i, like) in like.iter_mut().enumerate().filter(|(i, _)| vector.is_none() || !self.known[*i]) {
            let same = self.category[i].is_some() && self.category[i] == self.category[chosen];
            *like = f32::from(u8::from(same));
        }
        like[chosen] = 1.0;
        like
    }
}

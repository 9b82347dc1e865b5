//! What is known of goods besides events, and so known at any time: vectors of what they say or of what is known of them, numbers
//! such as a price.
//!
//! Vectors of a language model are whitened and cut to a few directions. Where goods say nothing, facts (relation and value) stand for
//! words: each fact has a direction drawn by its name, rare facts count more, and an item lies where its facts add up to, so
//! that goods with rare facts in common are near each other.

use crate::alignment::whiten::Whitening;
use crate::error::Result;
use lingxi_data::ItemVectors;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// What is known of goods besides events; the same at any time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Goods {
    /// Length of a vector; 0 without vectors.
    pub dim: usize,
    /// Row-major `[items, dim]`; zeros for an item without one.
    pub vectors: Arc<[f32]>,
    /// Named numbers of items, such as a price.
    pub columns: Vec<(String, Vec<f32>)>,
}

impl Goods {
    /// The first `dims` whitened directions of what the goods say.
    ///
    /// # Errors
    /// Those of the whitening: no item has text.
    pub fn meaning(vectors: &ItemVectors, dims: usize) -> Result<Goods> {
        let whitening = Whitening::fit(vectors, dims)?;
        Ok(Goods { dim: whitening.dim(), vectors: whitening.items(vectors).into(), columns: Vec::new() })
    }

    /// Vectors of length one of facts `(item, fact)`; facts are numbers below `n_facts`.
    pub fn facts(n_items: usize, n_facts: usize, facts: &[(u32, u32)], dims: usize) -> Goods {
        let mut count = vec![0f32; n_facts];
        facts.iter().for_each(|(_, fact)| count[*fact as usize] += 1.0);
        let mut vectors = vec![0f32; n_items * dims];
        for (item, fact) in facts {
            let mut rng = ChaCha8Rng::seed_from_u64(u64::from(*fact));
            let rare = (n_items as f32 / count[*fact as usize]).max(1.0).ln();
            let row = &mut vectors[*item as usize * dims..][..dims];
            row.iter_mut().for_each(|x| *x += rare * rng.random_range(-1.0f32..1.0));
        }
        for row in vectors.chunks_exact_mut(dims.max(1)) {
            let length = lingxi_kernels::dot(row, row).sqrt();
            row.iter_mut().filter(|_| length > 0.0).for_each(|x| *x /= length);
        }
        Goods { dim: dims, vectors: vectors.into(), columns: Vec::new() }
    }

    /// The same with a column of numbers; unknown ones (`NaN`) become the mean of the known.
    pub fn with(mut self, name: &str, values: &[f32]) -> Goods {
        let known: Vec<f32> = values.iter().copied().filter(|x| x.is_finite()).collect();
        let mean = known.iter().sum::<f32>() / known.len().max(1) as f32;
        let filled = values.iter().map(|x| if x.is_finite() { *x } else { mean }).collect();
        self.columns.push((name.into(), filled));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::table::likeness;

    #[test]
    fn goods_with_a_rare_fact_in_common_are_near_and_a_fact_of_all_says_nothing() {
        let facts = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 2), (3, 3)];
        let goods = Goods::facts(4, 4, &facts, 16);
        let of = |item: usize| &goods.vectors[item * 16..][..16];
        let alike = |a: usize, b: usize| likeness(of(a), [of(b)].into_iter())[0];
        assert!(alike(0, 1) > 0.99 && alike(0, 2).abs() < 0.8 && alike(2, 3).abs() < 0.8);
    }

    #[test]
    fn a_price_that_is_not_known_is_the_mean() {
        let goods = Goods::default().with("price", &[1.0, f32::NAN, 3.0]);
        assert_eq!(goods.columns[0].1, [1.0, 2.0, 3.0]);
    }
}

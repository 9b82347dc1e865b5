//! Which interests does the catalogue hold? Spherical k-means (Dhillon and Modha 2001) over unit vectors of the goods.
//!
//! Language and behaviour may be joined before by [`join`]. Seeds are drawn by k-means++ (Arthur and Vassilvitskii 2007), at
//! most [`SAMPLE`] goods move the centres, and every good is then put to its nearest one. The same seed gives the same
//! clusters on any number of threads.

use crate::{DecideError, Result};
use lingxi_kernels::{dot, matmul_nt};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Goods that move the centres.
const SAMPLE: usize = 20_000;
const ROUNDS: usize = 12;
/// Rows of one product.
const BLOCK: usize = 512;

/// Interests of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clusters {
    /// Length of a vector.
    pub dim: usize,
    /// Row-major `[k, dim]`, unit rows.
    pub centres: Vec<f32>,
    /// The interest of each item; `None` for goods without a vector.
    pub of: Vec<Option<u32>>,
}

impl Clusters {
    /// Divides row-major `[n, dim]` unit rows into at most `k` interests; rows that are not `present` have none.
    ///
    /// # Errors
    /// [`DecideError::Vectors`] if the shapes do not fit.
    pub fn fit(vectors: &[f32], dim: usize, present: &[bool], k: usize, seed: u64) -> Result<Clusters> {
        if dim == 0 || vectors.len() != present.len() * dim || k == 0 {
            let expected = format!("{} rows of {dim} numbers and at least one interest", present.len());
            return Err(DecideError::Vectors { expected, got: format!("{} numbers, {k} interests", vectors.len()) });
        }
        let mut rows: Vec<usize> = (0..present.len()).filter(|&i| present[i]).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for i in 0..rows.len().min(SAMPLE) {
            let other = rng.random_range(i..rows.len());
            rows.swap(i, other);
        }
        rows.truncate(SAMPLE);
        let sample: Vec<f32> = rows.iter().flat_map(|&i| &vectors[i * dim..(i + 1) * dim]).copied().collect();
        let mut centres = seeds(&sample, dim, k, &mut rng);
        for _ in 0..ROUNDS {
            let near = nearest(&sample, dim, &centres);
            let moved = means(&sample, dim, &near, &centres);
            if moved == centres {
                break;
            }
            centres = moved;
        }
        let near = if centres.is_empty() { Vec::new() } else { nearest(vectors, dim, &centres) };
        let of = (0..present.len()).map(|i| present[i].then(|| near.get(i).map(|n| n.0)).flatten()).collect();
        Ok(Clusters { dim, centres, of })
    }

    /// Number of interests.
    pub fn len(&self) -> usize {
        self.centres.len() / self.dim.max(1)
    }

    /// Whether the catalogue has no vectors at all.
    pub fn is_empty(&self) -> bool {
        self.centres.is_empty()
    }

    /// The centre of one interest.
    pub fn centre(&self, k: usize) -> &[f32] {
        &self.centres[k * self.dim..(k + 1) * self.dim]
    }
}

/// Unit rows of language and behaviour side by side, so that their cosine is (1 - share) language + share behaviour.
pub fn join(language: &[f32], dim: usize, behaviour: &[f32], other: usize, share: f32) -> Vec<f32> {
    let (a, b) = ((1.0 - share).sqrt(), share.sqrt());
    let rows = language.chunks_exact(dim.max(1)).zip(behaviour.chunks_exact(other.max(1)));
    rows.flat_map(|(l, r)| l.iter().map(move |x| a * x).chain(r.iter().map(move |x| b * x))).collect()
}

fn seeds(rows: &[f32], dim: usize, k: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    let n = rows.len() / dim;
    let mut centres: Vec<f32> = Vec::new();
    let mut far = vec![1.0f64; n];
    for _ in 0..k.min(n) {
        let sum: f64 = far.iter().sum();
        if sum <= 0.0 {
            break;
        }
        let mut left = rng.random::<f64>() * sum;
        let drawn = far.iter().position(|f| {
            left -= f;
            left <= 0.0 && *f > 0.0
        });
        let chosen = drawn.unwrap_or_else(|| far.iter().rposition(|f| *f > 0.0).unwrap_or(0));
        let centre = rows[chosen * dim..(chosen + 1) * dim].to_vec();
        for (row, far) in rows.chunks_exact(dim).zip(&mut far) {
            let distance = f64::from((1.0 - dot(row, &centre)).max(0.0));
            // Rounding must not make a seed of what is a seed already.
            *far = far.min(if distance < 1e-6 { 0.0 } else { distance * distance });
        }
        centres.extend(centre);
    }
    centres
}

/// Nearest centre of each row, and how near it is.
fn nearest(rows: &[f32], dim: usize, centres: &[f32]) -> Vec<(u32, f32)> {
    let k = centres.len() / dim;
    let mut products = vec![0.0; BLOCK * k];
    let mut out = Vec::with_capacity(rows.len() / dim);
    for block in rows.chunks(BLOCK * dim) {
        let n = block.len() / dim;
        matmul_nt(block, centres, &mut products[..n * k], n, k, dim);
        out.extend(products[..n * k].chunks_exact(k).map(|row| {
            let first = (0u32, row[0]);
            row.iter().enumerate().fold(first, |best, (i, &v)| if v > best.1 { (i as u32, v) } else { best })
        }));
    }
    out
}

/// The mean direction of each centre's rows; a centre that lost all stays where it is.
fn means(rows: &[f32], dim: usize, near: &[(u32, f32)], centres: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0f32; centres.len()];
    for (row, (k, _)) in rows.chunks_exact(dim).zip(near) {
        let at = *k as usize * dim;
        sums[at..at + dim].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    for (sum, old) in sums.chunks_exact_mut(dim).zip(centres.chunks_exact(dim)) {
        let norm = dot(sum, sum).sqrt();
        if norm > 1e-6 {
            sum.iter_mut().for_each(|x| *x /= norm);
        } else {
            sum.copy_from_slice(old);
        }
    }
    sums
}

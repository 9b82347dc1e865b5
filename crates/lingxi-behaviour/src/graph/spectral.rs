//! The broad waves of the graph, in closed form: GF-CF (arXiv 2108.07567), a linear filter and an ideal low pass.
//!
//! Shapes: `X [users, n]` who took what, degrees `D_U`, `D_I`; `R = D_U^-1/2 X D_I^-1/2` with the singular value
//! decomposition `R = P S V^T`, of which the leading `rank` columns `V [n, rank]` are kept.
//!
//! `score(x) = x (linear * R^T R + low_pass * D_I^-1/2 V h(S) V^T D_I^1/2)`, with `h(s) = s^(2 sharpness)`
//!
//! GF-CF is `linear = 1`, `low_pass = 0.3`, `sharpness = 0`; a larger `sharpness` lets high waves fade before they are
//! cut. `V` comes from subspace iteration on sparse products (Halko, Martinsson and Tropp, arXiv 0909.4061), which needs no
//! `n x n` matrix. The linear filter is kept as links, the `together` strongest of each item.
//!
//! Cost: `2 * pairs * (rank + 16)` multiplications for each of the iterations, twice; memory `4 (users + n) (rank + 16)` bytes.
//! A request: `rank` multiplications for each past item and each item, and one for each link of a past item.

use crate::error::{BehaviourError, Result, require};
use crate::graph::fold_in::{FoldIn, Links, Tables, Voice};
use crate::history::HistoryWeights;
use crate::pairs::Pairs;
use faer::{Mat, Side};
use lingxi_data::Events;
use lingxi_kernels::{Csr, matmul_nn, matmul_tn, spmm};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Columns beyond `rank` that the iteration carries, so that the last wanted ones converge.
const SPARE: usize = 16;

/// How the graph is filtered and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpectralConfig {
    /// Waves that pass; default 256, at most the number of items.
    pub rank: usize,
    /// Weight of the linear filter; default 1.
    pub linear: f32,
    /// Weight of the low pass; default 0.3.
    pub low_pass: f32,
    /// How early the waves that pass fade; default 0: not at all.
    pub sharpness: f32,
    /// Power of an item's degree with which it is spoken for by the low pass, and that it loses when it speaks; default 0.5.
    pub degree_power: f32,
    /// Links that the linear filter keeps of each item; default 512.
    pub together: usize,
    /// Iterations of the subspace; default 6.
    pub iterations: usize,
    /// How the history is weighed; the weights of kinds count in training too.
    pub history: HistoryWeights,
}

impl Default for SpectralConfig {
    fn default() -> Self {
        SpectralConfig {
            rank: 256,
            linear: 1.0,
            low_pass: 0.3,
            sharpness: 0.0,
            degree_power: 0.5,
            together: 512,
            iterations: 6,
            history: HistoryWeights::default(),
        }
    }
}

impl SpectralConfig {
    /// Checks the ranges of all fields.
    ///
    /// # Errors
    /// [`BehaviourError::Config`] names the field.
    pub fn validate(&self) -> Result<()> {
        require((1..=4096).contains(&self.rank), "spectral.rank", "1 to 4096", self.rank)?;
        require((1..=100).contains(&self.iterations), "spectral.iterations", "1 to 100", self.iterations)?;
        for (field, x) in [
            ("spectral.linear", self.linear),
            ("spectral.low_pass", self.low_pass),
            ("spectral.sharpness", self.sharpness),
            ("spectral.degree_power", self.degree_power),
        ] {
            require(x.is_finite() && x >= 0.0, field, "a number of at least 0", x)?;
        }
        require(self.linear + self.low_pass > 0.0, "spectral.low_pass", "a filter that lets something pass", 0)?;
        self.history.validate()
    }
}

/// Decomposes the graph of `events`. Deterministic for a seed.
///
/// # Errors
/// [`BehaviourError::Config`] for a value out of range, [`BehaviourError::Numeric`] if the small decomposition fails.
pub fn fit(config: &SpectralConfig, events: &Events<'_>, seed: u64) -> Result<FoldIn> {
    config.validate()?;
    let n = events.n_items();
    let pairs = Pairs::of(events, &config.history, 0.0);
    let (r, degrees) = normalised(&pairs);
    let back = r.transpose(n);
    let links = match config.linear {
        0.0 => Links::default(),
        linear => Links { matrix: strongest(&r, &back, config.together), powers: vec![linear] },
    };
    let tables = if config.low_pass > 0.0 && !r.indices.is_empty() {
        low_pass(config, &r, &back, &degrees, seed)?
    } else {
        Tables::default()
    };
    Ok(FoldIn::new(Voice::Spectral, &config.history, links, tables, events))
}

/// `R [users, n]` and the degrees of the items.
fn normalised(pairs: &Pairs) -> (Csr, Vec<f32>) {
    let n = pairs.by_item.len();
    let degrees: Vec<f32> = (0..n).map(|item| pairs.by_item.row(item).1.iter().sum()).collect();
    let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
    for user in 0..pairs.by_user.len() {
        let (items, weights) = pairs.by_user.row(user);
        let own: f32 = weights.iter().sum();
        indices.extend_from_slice(items);
        values.extend(items.iter().zip(weights).map(|(&item, weight)| weight / (own * degrees[item as usize]).sqrt()));
        indptr.push(indices.len());
    }
    (Csr { indptr, indices, values }, degrees)
}

/// `R^T R` with the strongest links of each item, those that either side keeps.
fn strongest(r: &Csr, back: &Csr, keep: usize) -> Csr {
    let n = back.rows();
    let kept: Vec<Vec<(u32, f32)>> = (0..n)
        .into_par_iter()
        .map_init(
            || vec![0.0f32; n],
            |sums, item| {
                sums.fill(0.0);
                let (users, values) = back.row(item);
                for (&user, value) in users.iter().zip(values) {
                    let (items, others) = r.row(user as usize);
                    items.iter().zip(others).for_each(|(&j, other)| sums[j as usize] += value * other);
                }
                lingxi_kernels::top_k(sums, keep).into_iter().filter(|(_, x)| *x > 0.0).collect()
            },
        )
        .collect();
    let mut links: Vec<(u32, u32, f32)> = Vec::new();
    for (i, row) in (0u32..).zip(&kept) {
        links.extend(row.iter().flat_map(|&(j, x)| [(i, j, x), (j, i, x)]));
    }
    links.par_sort_unstable_by_key(|(i, j, _)| (*i, *j));
    links.dedup_by_key(|(i, j, _)| (*i, *j));
    Csr::from_triplets(n, &links)
}

/// The two tables of the low pass.
fn low_pass(config: &SpectralConfig, r: &Csr, back: &Csr, degrees: &[f32], seed: u64) -> Result<Tables> {
    let n = degrees.len();
    let rank = config.rank.min(n);
    let (values, waves) = leading(r, back, rank, config.iterations, seed)?;
    let pass: Vec<f32> = values.iter().map(|s2| config.low_pass * s2.max(0.0).powf(config.sharpness)).collect();
    let mut tables = Tables { dim: rank, from: waves.clone(), to: waves };
    for (item, &degree) in degrees.iter().enumerate() {
        let own = if degree > 0.0 { degree.powf(config.degree_power) } else { 0.0 };
        let at = item * rank..(item + 1) * rank;
        tables.from[at.clone()].iter_mut().zip(&pass).for_each(|(x, h)| *x *= if own > 0.0 { h / own } else { 0.0 });
        tables.to[at].iter_mut().for_each(|x| *x *= own);
    }
    Ok(tables)
}

/// The `rank` largest eigenvalues of `R^T R`, falling, and their vectors as columns, row-major `[n, rank]`.
fn leading(r: &Csr, back: &Csr, rank: usize, iterations: usize, seed: u64) -> Result<(Vec<f32>, Vec<f32>)> {
    let n = back.rows();
    let width = (rank + SPARE).min(n);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut basis: Vec<f32> = (0..n * width).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    let mut by_user = vec![0.0f32; r.rows() * width];
    for _ in 0..iterations {
        orthonormal(&mut basis, width)?;
        spmm(r, &basis, width, &mut by_user);
        spmm(back, &by_user, width, &mut basis);
    }
    orthonormal(&mut basis, width)?;
    // Rayleigh and Ritz: the eigenvectors of the small matrix turn the basis into waves.
    spmm(r, &basis, width, &mut by_user);
    let (values, turn) = eigen(&by_user, width)?;
    let turn: Vec<f32> = turn.chunks(width).flat_map(|row| row[..rank].iter().copied()).collect();
    let mut waves = vec![0.0f32; n * rank];
    matmul_nn(&basis, &turn, &mut waves, n, rank, width);
    Ok((values[..rank].to_vec(), waves))
}

/// Makes the columns of `basis [n, width]` orthonormal: `B (B^T B)^-1/2`; columns without length vanish.
fn orthonormal(basis: &mut Vec<f32>, width: usize) -> Result<()> {
    let (values, mut turn) = eigen(basis, width)?;
    let least = values.first().copied().unwrap_or(0.0) * 1e-7;
    for row in turn.chunks_mut(width) {
        row.iter_mut().zip(&values).for_each(|(x, v)| *x *= if *v > least { v.sqrt().recip() } else { 0.0 });
    }
    let n = basis.len() / width;
    let mut out = vec![0.0f32; basis.len()];
    matmul_nn(basis, &turn, &mut out, n, width, width);
    *basis = out;
    Ok(())
}

/// Eigenvalues of `B^T B`, falling, and the vectors as columns, row-major `[width, width]`.
fn eigen(b: &[f32], width: usize) -> Result<(Vec<f32>, Vec<f32>)> {
    let mut gram = vec![0.0f32; width * width];
    matmul_tn(b, b, &mut gram, width, width, b.len() / width);
    let small = Mat::from_fn(width, width, |i, j| f64::from(gram[i * width + j]));
    let found = small.self_adjoint_eigen(Side::Lower).map_err(|_| BehaviourError::Numeric {
        operation: "spectral filter",
        what: format!("the {width} x {width} eigenvalue iteration did not converge"),
        remedy: "lower spectral.rank",
    })?;
    // Rising eigenvalues come out.
    let (values, vectors) = (found.S(), found.U());
    let falling = (0..width).map(|c| values[width - 1 - c] as f32).collect();
    let turn = (0..width * width).map(|at| vectors[(at / width, width - 1 - at % width)] as f32).collect();
    Ok((falling, turn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leading_waves_are_those_of_the_whole_matrix() {
        let (users, n, rank) = (30usize, 24usize, 5usize);
        let triplets: Vec<(u32, u32, f32)> = (0..users * 8)
            .map(|e| ((e % users) as u32, ((e * e + 3 * e) % n) as u32, 0.1 + (e % 7) as f32 / 7.0))
            .collect();
        let r = Csr::from_triplets(users, &triplets);
        let back = r.transpose(n);
        let (values, waves) = leading(&r, &back, rank, 40, 7).unwrap();
        let mut dense = vec![0.0f32; users * n];
        triplets.iter().for_each(|&(u, i, x)| dense[u as usize * n + i as usize] += x);
        let (expected, _) = eigen(&dense, n).unwrap();
        for (got, expected) in values.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-3 * expected, "eigenvalue {got}, expected {expected}");
        }
        // R^T R v = s^2 v for each wave.
        for (c, value) in values.iter().enumerate() {
            let wave: Vec<f32> = (0..n).map(|i| waves[i * rank + c]).collect();
            let (mut by_user, mut again) = (vec![0.0; users], vec![0.0; n]);
            spmm(&r, &wave, 1, &mut by_user);
            spmm(&back, &by_user, 1, &mut again);
            let off = again.iter().zip(&wave).map(|(a, v)| (a - value * v).abs()).fold(0.0, f32::max);
            assert!(off < 2e-2 * value, "wave {c} is off by {off} of {value}");
        }
    }

    #[test]
    fn a_filter_that_lets_nothing_pass_is_refused() {
        let config = SpectralConfig { linear: 0.0, low_pass: 0.0, ..Default::default() };
        assert!(config.validate().unwrap_err().to_string().contains("spectral.low_pass"));
    }
}

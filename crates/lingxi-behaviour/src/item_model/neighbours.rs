//! The item model within a neighbourhood of each item, for any number of items.
//!
//! In: `X [users, n]` and the language similarity `S`. For each item `j` the candidates `N` are the `k` items most
//! often taken together with it (by cosine of their columns) and the `k'` closest in language; its column is the same
//! closed form restricted to them (as fsSLIM restricts SLIM):
//!
//! `b_j = (G_NN + l)^-1 (G_Nj + l a S_Nj)`
//!
//! The right-hand side is a sum, so both parts, behaviour and language, are solved and stored. With `N` = all other items
//! this is the dense form. The column of an item that nobody took is `a S_Nj` times the strength for such items. `G_NN` is summed exactly from the lists of shoppers, in the cheaper of two ways (by estimate).
//!
//! Cost an item: `sum over N of its shoppers` to collect, `K^3 / 3` to solve. Memory: 12 bytes a stored entry,
//! `n (k + k')` entries (100,000 items of 96: 115 MB) beside the lists.

use super::Prior;
use super::language::Language;
use crate::error::{BehaviourError, Result};
use crate::pairs::Pairs;
use lingxi_data::ItemId;
use rayon::prelude::*;
use rustc_hash::FxHashMap;

/// Contexts scored at once: one cache line of weights an item.
pub(crate) const LANES: usize = 16;
/// Items solved between two reports of progress.
const CHUNK: usize = 2_048;

/// Ragged columns of `B`: `B_ij` for `i` in the neighbourhood of `j`, else 0. What a score needs is the sum of both parts: it
/// is kept, and the part of behaviour is what language leaves of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Neighbours {
    /// `[n + 1]`, column `j` is `offsets[j]..offsets[j + 1]`.
    pub offsets: Vec<u64>,
    /// `i`, rising within a column.
    pub from: Vec<u32>,
    /// `B_ij`.
    pub weights: Vec<f32>,
    /// The part of it that language speaks for.
    pub language: Vec<f32>,
}

/// How large the neighbourhoods are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    pub together: usize,
    pub language: usize,
    /// Columns of the language rows that neighbours are looked for in.
    pub dims: usize,
}

type Column = (Vec<u32>, Vec<f32>, Vec<f32>);

impl Neighbours {
    /// Solves every column. `progress` hears of items done and all.
    ///
    /// # Errors
    /// [`BehaviourError::Numeric`] if a neighbourhood's Gram matrix with its ridge is not positive definite.
    pub fn fit(
        pairs: &Pairs,
        language: &Language,
        prior: Prior,
        reach: Reach,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Neighbours> {
        let n = pairs.by_item.len();
        let close = language.neighbours(if prior.pull == 0.0 { 0 } else { reach.language }, reach.dims);
        let solver = Solver { pairs, language, prior };
        let mut model = Neighbours { offsets: vec![0], ..Default::default() };
        for start in (0..n).step_by(CHUNK) {
            let end = (start + CHUNK).min(n);
            let solve = |scratch: &mut Scratch, j: usize| {
                let near = solver.candidates(j, reach.together, &close[j], scratch);
                solver.column(j, near, scratch)
            };
            let scratch = || Scratch::new(pairs.by_user.len(), n);
            let columns: Vec<Result<Column>> = (start..end).into_par_iter().map_init(scratch, solve).collect();
            for column in columns {
                model.push(column?);
            }
            progress(end, n);
        }
        Ok(model)
    }

    fn push(&mut self, (from, behaviour, language): Column) {
        self.from.extend(from);
        self.weights.extend(behaviour.iter().zip(&language).map(|(b, l)| b + l));
        self.language.extend(language);
        self.offsets.push(self.from.len() as u64);
    }

    /// Number of items.
    pub fn n(&self) -> usize {
        self.offsets.len() - 1
    }

    fn range(&self, j: usize) -> std::ops::Range<usize> {
        self.offsets[j] as usize..self.offsets[j + 1] as usize
    }

    /// All `(i, j, B_ij)` that are stored, by `j` and then `i`.
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        let entry = |j, e: usize| (self.from[e] as usize, j, self.weights[e]);
        (0..self.n()).flat_map(move |j| self.range(j).map(move |e| entry(j, e)))
    }

    /// The two parts of `B_ij`: behaviour and language.
    pub fn parts(&self, i: usize, j: usize) -> (f32, f32) {
        let range = self.range(j);
        match self.from[range.clone()].binary_search(&(i as u32)) {
            Ok(at) => {
                let (weight, language) = (self.weights[range.start + at], self.language[range.start + at]);
                (weight - language, language)
            }
            Err(_) => (0.0, 0.0),
        }
    }

    /// `x B` for one shopper and some items.
    pub fn some(&self, x: &[(usize, f32)], items: &[ItemId], out: &mut [f32]) {
        // Few neighbours of an item are in a shopper's past: one bit each stays in the nearest cache, and says which are.
        let mut past = vec![0u64; self.n().div_ceil(64)];
        x.iter().for_each(|&(i, _)| past[i / 64] |= 1 << (i % 64));
        let weights: FxHashMap<u32, f32> = x.iter().map(|&(i, weight)| (i as u32, weight)).collect();
        for (at, (j, out)) in items.iter().zip(out).enumerate() {
            // The next column lies anywhere: it is fetched while this one is read.
            if let Some(next) = items.get(at + 1) {
                let range = self.range(next.index());
                lingxi_kernels::prefetch(&self.from[range.clone()]);
                lingxi_kernels::prefetch(&self.weights[range]);
            }
            let taken = |e: &usize| past[self.from[*e] as usize / 64] >> (self.from[*e] % 64) & 1 == 1;
            let entries = self.range(j.index()).filter(taken);
            *out = entries.map(|e| weights[&self.from[e]] * self.weights[e]).sum();
        }
    }

    /// `X B` for up to [`LANES`] shoppers and all items: row-major `out [xs.len(), n]`.
    pub fn rows(&self, xs: &[Vec<(usize, f32)>], out: &mut [f32]) {
        let n = self.n();
        let mut weights = vec![[0.0f32; LANES]; n];
        for (lane, x) in xs.iter().enumerate() {
            x.iter().for_each(|&(i, weight)| weights[i][lane] = weight);
        }
        for j in 0..n {
            let mut sums = [0.0f32; LANES];
            for e in self.range(j) {
                let row = &weights[self.from[e] as usize];
                sums.iter_mut().zip(row).for_each(|(sum, weight)| *sum += weight * self.weights[e]);
            }
            (0..xs.len()).for_each(|lane| out[lane * n + j] = sums[lane]);
        }
    }
}

/// Buffers of one thread.
struct Scratch {
    /// Co-occurrence sums by item `[n]`, zero between uses.
    sums: Vec<f32>,
    touched: Vec<u32>,
    /// Slot of each shopper `[users]`, `u32::MAX` between uses.
    slot: Vec<u32>,
    shoppers: Vec<u32>,
    buckets: Vec<Vec<(u32, f32)>>,
    dense: Vec<f32>,
}

impl Scratch {
    fn new(users: usize, items: usize) -> Scratch {
        Scratch {
            sums: vec![0.0; items],
            touched: Vec::new(),
            slot: vec![u32::MAX; users],
            shoppers: Vec::new(),
            buckets: Vec::new(),
            dense: Vec::new(),
        }
    }
}

struct Solver<'a> {
    pairs: &'a Pairs,
    language: &'a Language,
    prior: Prior,
}

impl Solver<'_> {
    /// The neighbourhood of `j`, rising, with `G_Nj`.
    fn candidates(&self, j: usize, k: usize, close: &[u32], scratch: &mut Scratch) -> Vec<(u32, f32)> {
        let Scratch { sums, touched, .. } = scratch;
        let (users, values) = self.pairs.by_item.row(j);
        for (&user, &value) in users.iter().zip(values) {
            let (items, others) = self.pairs.by_user.row(user as usize);
            for (&i, &other) in items.iter().zip(others) {
                if sums[i as usize] == 0.0 {
                    touched.push(i);
                }
                sums[i as usize] += value * other;
            }
        }
        // The cosine of two columns, but for the factor that all candidates share.
        let cosine = |i: u32| sums[i as usize] / (self.pairs.by_item.count(i as usize).max(1) as f32).sqrt();
        touched.retain(|&i| i as usize != j);
        let mut best: Vec<(u32, f32)> = touched.iter().map(|&i| (i, cosine(i))).collect();
        let order = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if best.len() > k {
            best.select_nth_unstable_by(k, order);
            best.truncate(k);
        }
        let mut near: Vec<u32> = best.iter().map(|(i, _)| *i).chain(close.iter().copied()).collect();
        if k + 1 >= sums.len() {
            near = (0..sums.len() as u32).filter(|&i| i as usize != j).collect();
        }
        near.sort_unstable();
        near.dedup();
        let near = near.into_iter().map(|i| (i, sums[i as usize])).collect();
        touched.iter().for_each(|&i| sums[i as usize] = 0.0);
        sums[j] = 0.0;
        touched.clear();
        near
    }

    /// Solves one column for both right-hand sides.
    fn column(&self, j: usize, near: Vec<(u32, f32)>, scratch: &mut Scratch) -> Result<Column> {
        let k = near.len();
        let ids: Vec<u32> = near.iter().map(|(i, _)| *i).collect();
        let Prior { l2, pull, untaken, .. } = self.prior;
        let similar = |strength: f32| -> Vec<f64> {
            ids.iter().map(|&i| f64::from(strength * self.language.similarity(i as usize, j))).collect()
        };
        let narrow = |x: Vec<f64>| x.into_iter().map(|x| x as f32).collect();
        if self.pairs.by_item.count(j) == 0 {
            let language = narrow(similar(untaken * pull));
            return Ok((ids, vec![0.0; k], language));
        }
        let mut gram = self.sub_gram(&ids, scratch);
        (0..k).for_each(|a| gram[a * k + a] += f64::from(self.prior.ridge(gram[a * k + a] as f32)));
        let mut behaviour: Vec<f64> = near.iter().map(|(_, g)| f64::from(*g)).collect();
        let mut language = similar(l2 * pull);
        if !factorise(&mut gram, k) {
            return Err(BehaviourError::Numeric {
                operation: "item model",
                what: format!("the Gram matrix around item {j} with ridge {l2} is not positive definite"),
                remedy: "raise item_model.l2",
            });
        }
        solve(&gram, k, &mut behaviour);
        solve(&gram, k, &mut language);
        Ok((ids, narrow(behaviour), narrow(language)))
    }

    /// `G_NN`, lower triangle in row-major `[k, k]`.
    fn sub_gram(&self, ids: &[u32], scratch: &mut Scratch) -> Vec<f64> {
        let k = ids.len();
        let lists = &self.pairs.by_item;
        scratch.shoppers.clear();
        let mut entries = 0usize;
        for &i in ids {
            for &user in lists.row(i as usize).0 {
                let slot = &mut scratch.slot[user as usize];
                if *slot == u32::MAX {
                    *slot = scratch.shoppers.len() as u32;
                    scratch.shoppers.push(user);
                }
                entries += 1;
            }
        }
        let active = scratch.shoppers.len();
        // Pairs within shoppers, were the entries spread evenly, against a product of dense rows at 16 numbers a step.
        let spread = entries + entries * entries / (2 * active.max(1));
        let dense = k * k * active / 2 / 16 + k * active / 4;
        let gram = if spread < dense { self.gram_by_shopper(ids, scratch) } else { self.gram_by_rows(ids, scratch) };
        scratch.shoppers.iter().for_each(|&user| scratch.slot[user as usize] = u32::MAX);
        gram
    }

    /// Collects each shopper's candidates, then adds up their pairs.
    fn gram_by_shopper(&self, ids: &[u32], scratch: &mut Scratch) -> Vec<f64> {
        let k = ids.len();
        let active = scratch.shoppers.len();
        if scratch.buckets.len() < active {
            scratch.buckets.resize(active, Vec::new());
        }
        for (position, &i) in ids.iter().enumerate() {
            let (users, values) = self.pairs.by_item.row(i as usize);
            for (&user, &value) in users.iter().zip(values) {
                scratch.buckets[scratch.slot[user as usize] as usize].push((position as u32, value));
            }
        }
        let mut gram = vec![0.0f64; k * k];
        for bucket in &mut scratch.buckets[..active] {
            for (at, &(a, x)) in bucket.iter().enumerate() {
                // Positions rise within a bucket, so (a, b) with b <= a is the lower triangle.
                for &(b, y) in &bucket[..=at] {
                    gram[a as usize * k + b as usize] += f64::from(x * y);
                }
            }
            bucket.clear();
        }
        gram
    }

    /// Writes the candidates as dense rows over the shoppers who took any, then multiplies rows.
    fn gram_by_rows(&self, ids: &[u32], scratch: &mut Scratch) -> Vec<f64> {
        let (k, active) = (ids.len(), scratch.shoppers.len());
        scratch.dense.clear();
        scratch.dense.resize(k * active, 0.0);
        for (position, &i) in ids.iter().enumerate() {
            let (users, values) = self.pairs.by_item.row(i as usize);
            let row = &mut scratch.dense[position * active..(position + 1) * active];
            for (&user, &value) in users.iter().zip(values) {
                row[scratch.slot[user as usize] as usize] = value;
            }
        }
        let row = |a: usize| &scratch.dense[a * active..(a + 1) * active];
        let mut gram = vec![0.0f64; k * k];
        for a in 0..k {
            (0..=a).for_each(|b| gram[a * k + b] = f64::from(lingxi_kernels::dot(row(a), row(b))));
        }
        gram
    }
}

/// Cholesky `A = L L^T` in place on the lower triangle of row-major `[k, k]`; false if a pivot is not positive.
fn factorise(a: &mut [f64], k: usize) -> bool {
    for i in 0..k {
        let (above, row) = a.split_at_mut(i * k);
        for j in 0..i {
            let other = &above[j * k..j * k + j];
            let sum: f64 = row[..j].iter().zip(other).map(|(x, y)| x * y).sum();
            row[j] = (row[j] - sum) / above[j * k + j];
        }
        let pivot = row[i] - row[..i].iter().map(|x| x * x).sum::<f64>();
        if pivot.is_nan() || pivot <= 0.0 {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

/// Solves `L L^T x = b` in place.
fn solve(l: &[f64], k: usize, b: &mut [f64]) {
    for i in 0..k {
        let sum: f64 = l[i * k..i * k + i].iter().zip(&b[..i]).map(|(l, b)| l * b).sum();
        b[i] = (b[i] - sum) / l[i * k + i];
    }
    for i in (0..k).rev() {
        b[i] /= l[i * k + i];
        let x = b[i];
        l[i * k..i * k + i].iter().zip(&mut b[..i]).for_each(|(l, b)| *b -= l * x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_solved_system_gives_its_right_hand_side_back(
            (k, x) in (1usize..9).prop_flat_map(|k| (Just(k), proptest::collection::vec(-2.0f64..2.0, k * k + k)))
        ) {
            let (m, want) = x.split_at(k * k);
            let a = |i: usize, j: usize| {
                (0..k).map(|c| m[i * k + c] * m[j * k + c]).sum::<f64>() + if i == j { 0.5 } else { 0.0 }
            };
            let mut factor: Vec<f64> = (0..k * k).map(|e| a(e / k, e % k)).collect();
            let mut b: Vec<f64> = (0..k).map(|i| (0..k).map(|j| a(i, j) * want[j]).sum()).collect();
            prop_assert!(factorise(&mut factor, k));
            solve(&factor, k, &mut b);
            for (got, want) in b.iter().zip(want) {
                prop_assert!((got - want).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_is_noticed() {
        assert!(!factorise(&mut [1.0, 0.0, 2.0, 1.0], 2));
    }
}

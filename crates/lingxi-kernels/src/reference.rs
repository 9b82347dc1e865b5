//! The laws of the kernels as plain loops, in double precision where sums are long: slow, obvious, and what the
//! property tests compare against.

use crate::{Csr, Mask};

/// `a[m,k] b[k,n]`.
pub fn matmul_nn(a: &[f32], b: &[f32], m: usize, n: usize, k: usize) -> Vec<f32> {
    product(m, n, k, |i, l| a[i * k + l], |l, j| b[l * n + j])
}

/// `a[m,k] b[n,k]^T`.
pub fn matmul_nt(a: &[f32], b: &[f32], m: usize, n: usize, k: usize) -> Vec<f32> {
    product(m, n, k, |i, l| a[i * k + l], |l, j| b[j * k + l])
}

/// `a[k,m]^T b[k,n]`.
pub fn matmul_tn(a: &[f32], b: &[f32], m: usize, n: usize, k: usize) -> Vec<f32> {
    product(m, n, k, |i, l| a[l * m + i], |l, j| b[l * n + j])
}

fn product(m: usize, n: usize, k: usize, a: impl Fn(usize, usize) -> f32, b: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    let cell = |i: usize, j: usize| (0..k).map(|l| f64::from(a(i, l)) * f64::from(b(l, j))).sum::<f64>() as f32;
    (0..m * n).map(|at| cell(at / n, at % n)).collect()
}

/// The best `k`: sort everything.
pub fn top_k(scores: &[f32], k: usize) -> Vec<(u32, f32)> {
    let mut all: Vec<(u32, f32)> = (0..).zip(scores.iter().copied()).collect();
    all.retain(|(_, s)| *s > f32::NEG_INFINITY);
    // Adding zero makes -0 equal to 0.
    all.sort_by(|a, b| (b.1 + 0.0).total_cmp(&(a.1 + 0.0)).then(a.0.cmp(&b.0)));
    all.truncate(k);
    all
}

/// Every dot product, then [`top_k`] with the excluded ones masked.
pub fn top_k_dot(queries: &[f32], items: &[f32], d: usize, k: usize, exclude: &[&[u32]]) -> Vec<Vec<(u32, f32)>> {
    let one = |(i, query): (usize, &[f32])| {
        let mut scores = matmul_nt(query, items, 1, items.len() / d, d);
        for &item in exclude.get(i).copied().unwrap_or_default() {
            if let Some(score) = scores.get_mut(item as usize) {
                *score = f32::NAN;
            }
        }
        top_k(&scores, k)
    };
    queries.chunks(d).enumerate().map(one).collect()
}

/// The sparse matrix written out and multiplied.
pub fn spmm(matrix: &Csr, dense: &[f32], d: usize) -> Vec<f32> {
    let columns = dense.len() / d;
    let mut full = vec![0f32; matrix.rows() * columns];
    for row in 0..matrix.rows() {
        let (indices, values) = matrix.row(row);
        for (&column, &value) in indices.iter().zip(values) {
            full[row * columns + column as usize] += value;
        }
    }
    matmul_nn(&full, dense, matrix.rows(), d, columns)
}

/// `e^x` over its sum.
pub fn softmax(row: &[f32]) -> Vec<f32> {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if top == f32::NEG_INFINITY {
        return vec![0.0; row.len()];
    }
    let powers: Vec<f64> = row.iter().map(|&x| f64::from(x - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|p| (p / sum) as f32).collect()
}

/// Mean 0, variance 1, then scale and shift.
pub fn layer_norm(row: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) -> Vec<f32> {
    let n = row.len() as f64;
    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / (variance + f64::from(epsilon)).sqrt();
    let cell = |x: f32, w: f32, b: f32| ((f64::from(x) - mean) * scale * f64::from(w) + f64::from(b)) as f32;
    row.iter().zip(weight).zip(bias).map(|((&x, &w), &b)| cell(x, w, b)).collect()
}

/// `x/2 * (1 + erf(x / sqrt 2))` with `erf` by its Taylor series, or its limit where the series has converged to it.
pub fn gelu(x: f32) -> f32 {
    let z = f64::from(x) / std::f64::consts::SQRT_2;
    if z.abs() > 5.0 {
        return if x > 0.0 { x } else { 0.0 };
    }
    let (mut term, mut sum) = (z, z);
    for n in 1..200 {
        term *= -z * z / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    (0.5 * f64::from(x) * (1.0 + std::f64::consts::FRAC_2_SQRT_PI * sum)) as f32
}

/// One sequence `qkv[n,3h]` with every score written out.
pub fn attention(qkv: &[f32], n: usize, heads: usize, mask: Mask) -> Vec<f32> {
    attention_with(qkv, n, heads, mask, |_, _, _| 0.0)
}

/// [`attention`] with a bias of head, looking token and seen token on each score.
pub fn attention_with(
    qkv: &[f32],
    n: usize,
    heads: usize,
    mask: Mask,
    bias: impl Fn(usize, usize, usize) -> f32,
) -> Vec<f32> {
    let h = if n == 0 { 0 } else { qkv.len() / (3 * n) };
    let d = h.checked_div(heads).unwrap_or(0);
    let at = |token: usize, which: usize, column: usize| qkv[token * 3 * h + which * h + column];
    let mut out = vec![0f32; n * h];
    for head in 0..heads {
        for i in 0..n {
            let score = |j: usize| {
                let sum: f64 =
                    (head * d..(head + 1) * d).map(|c| f64::from(at(i, 0, c)) * f64::from(at(j, 1, c))).sum();
                let seen = mask == Mask::Full || j <= i;
                if seen { (sum / (d as f64).sqrt()) as f32 + bias(head, i, j) } else { f32::NEG_INFINITY }
            };
            let p = softmax(&(0..n).map(score).collect::<Vec<_>>());
            for c in head * d..(head + 1) * d {
                out[i * h + c] = (0..n).map(|j| f64::from(p[j]) * f64::from(at(j, 2, c))).sum::<f64>() as f32;
            }
        }
    }
    out
}

/// Every logit written out: the mean loss, and its gradients for `x` and `items`.
pub fn cross_entropy(x: &[f32], items: &[f32], d: usize, labels: &[u32]) -> (f64, Vec<f32>, Vec<f32>) {
    let (rows, n) = (labels.len(), items.len() / d);
    let counted = labels.iter().filter(|label| **label != crate::IGNORED).count().max(1) as f64;
    let (mut loss, mut dx, mut d_items) = (0.0, vec![0f64; x.len()], vec![0f64; items.len()]);
    for row in (0..rows).filter(|&row| labels[row] != crate::IGNORED) {
        let x = &x[row * d..(row + 1) * d];
        let logit = |item: usize| (0..d).map(|c| f64::from(x[c]) * f64::from(items[item * d + c])).sum::<f64>();
        let logits: Vec<f64> = (0..n).map(logit).collect();
        let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let whole = top + logits.iter().map(|l| (l - top).exp()).sum::<f64>().ln();
        loss += whole - logits[labels[row] as usize];
        for item in 0..n {
            let p = (logits[item] - whole).exp() - if item == labels[row] as usize { 1.0 } else { 0.0 };
            for c in 0..d {
                dx[row * d + c] += p * f64::from(items[item * d + c]) / counted;
                d_items[item * d + c] += p * f64::from(x[c]) / counted;
            }
        }
    }
    let single = |all: Vec<f64>| all.into_iter().map(|x| x as f32).collect();
    (loss / counted, single(dx), single(d_items))
}

//! What training needs: each forward equals its reference, each way back the differences of its forward.

use crate::numbers;
use lingxi_kernels::attention_back::{Look, Weights, attend_backward, attend_keep};
use lingxi_kernels::backward::*;
use lingxi_kernels::cross_entropy::rounded::{Scratch, Shares};
use lingxi_kernels::{Layout, Mask, Part, RoundedItems, product_here, reference, rounded_cross_entropy};

/// Compares `gradient` with central differences of `sum(weigh * forward(x))` along each coordinate.
#[track_caller]
fn differences(x: &[f32], weigh: &[f32], gradient: &[f32], forward: impl Fn(&[f32]) -> Vec<f32>) {
    let value = |x: &[f32]| -> f64 { forward(x).iter().zip(weigh).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum() };
    let size = gradient.iter().fold(0f32, |t, g| t.max(g.abs()));
    for at in 0..x.len() {
        let mut moved = x.to_vec();
        let mut side = |step: f32| {
            moved[at] = x[at] + step;
            value(&moved)
        };
        let want = ((side(1e-2) - side(-1e-2)) / 2e-2) as f32;
        assert!(
            (want - gradient[at]).abs() < 0.01 * size + 1e-4,
            "at {at}: differences {want}, gradient {}",
            gradient[at]
        );
    }
}

#[test]
fn the_rounded_loss_and_its_gradients_are_those_of_the_reference_within_rounding() {
    for (rows, n, d, size) in
        [(1, 1, 1, 1.0), (5, 7, 3, 1.0), (33, 241, 17, 1.0), (200, 500, 64, 0.5), (40, 50, 8, 3.0), (300, 30, 5, 1.0)]
    {
        let (x, items) = (numbers(1, rows * d, size), numbers(2, n * d, size));
        let labels: Vec<u32> = (0..rows as u32).map(|i| i * 7 % n as u32).collect();
        let (loss, dx, d_items) = reference::cross_entropy(&x, &items, d, &labels);
        let (mut rounded, mut scratch) = (RoundedItems::default(), Scratch::default());
        rounded.fill(&items, d);
        let (mut got_x, mut got_items) = (vec![0.25; x.len()], vec![0.5; items.len()]);
        let shares = Shares { x: &mut got_x, items: &mut got_items, share: 1.0 / rows as f32 };
        let got = rounded_cross_entropy(&x, &labels, &items, &rounded, shares, &mut scratch) / rows as f64;
        assert!((got - loss).abs() < 0.01 * (1.0 + loss) * f64::from(size.max(1.0)), "loss {loss}, got {got}");
        for (name, got, want, start) in [("x", &got_x, &dx, 0.25), ("items", &got_items, &d_items, 0.5)] {
            let length = |a: &[f32]| a.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let apart: Vec<f32> = got.iter().zip(want).map(|(g, w)| g - start - w).collect();
            let (apart, whole) = (length(&apart), length(want));
            assert!(apart < 0.02 * whole * f64::from(size.max(1.0)) + 2e-3, "d {name}: {apart} off, of {whole}");
        }
    }
}

#[test]
fn rows_whose_logits_all_lie_far_below_the_bound_keep_their_loss_and_gradients() {
    // All items point away from the first row, so that every logit of it is about -200; the second is an ordinary one.
    let (d, mut x) = (8, vec![10.0f32; 16]);
    x[8..].fill(-0.01);
    let items: Vec<f32> = (0..3 * d).map(|i| -2.5 - (i / d) as f32 * 0.125).collect();
    let (loss, dx, d_items) = reference::cross_entropy(&x, &items, d, &[0, 2]);
    let mut rounded = RoundedItems::default();
    rounded.fill(&items, d);
    let (mut got_x, mut got_items) = (vec![0.0; x.len()], vec![0.0; items.len()]);
    let shares = Shares { x: &mut got_x, items: &mut got_items, share: 0.5 };
    let got = rounded_cross_entropy(&x, &[0, 2], &items, &rounded, shares, &mut Scratch::default()) / 2.0;
    assert!((got - loss).abs() < 1e-3, "{got} and {loss}");
    for (got, want) in got_x.iter().zip(&dx).chain(got_items.iter().zip(&d_items)) {
        assert!((got - want).abs() < 0.01 * (1.0 + want.abs()), "{got} and {want}");
    }
}

#[test]
fn a_product_of_parts_equals_the_product_of_copies() {
    let (m, n, k) = (5, 7, 9);
    let (a, b) = (numbers(3, 20 * 20, 1.0), numbers(4, 20 * 20, 1.0));
    let cut = |x: &[f32], rows: usize, columns: usize| -> Vec<f32> {
        x.chunks(20).take(rows).flat_map(|row| row[..columns].to_vec()).collect()
    };
    type Law = fn(&[f32], &[f32], usize, usize, usize) -> Vec<f32>;
    let forms: [(Layout, [usize; 4], Law); 3] = [
        (Layout::Nn, [m, k, k, n], reference::matmul_nn),
        (Layout::Nt, [m, k, n, k], reference::matmul_nt),
        (Layout::Tn, [k, m, k, n], reference::matmul_tn),
    ];
    for (layout, [ar, ac, br, bc], law) in forms {
        let want = law(&cut(&a, ar, ac), &cut(&b, br, bc), m, n, k);
        let mut out = vec![1.0; 20 * m];
        product_here(
            layout,
            Part { data: &a, stride: 20 },
            Part { data: &b, stride: 20 },
            &mut out,
            20,
            [m, n, k],
            true,
        );
        for (row, want) in out.chunks(20).zip(want.chunks(n)) {
            row.iter().zip(want).for_each(|(got, want)| assert!((got - want - 1.0).abs() < 1e-4, "{layout:?}"));
            assert!(row[n..].iter().all(|x| *x == 1.0), "{layout:?}: wrote beyond its columns");
        }
    }
}

#[test]
fn layer_norm_and_gelu_go_back_along_their_differences() {
    let (d, x) = (7, numbers(5, 21, 2.0));
    let (w, b, weigh) = (numbers(6, d, 1.0), numbers(7, d, 1.0), numbers(8, 21, 1.0));
    let forward = |x: &[f32], w: &[f32], b: &[f32]| {
        let (mut y, mut kept) = (x.to_vec(), Normal::default());
        layer_norm_keep(&mut y, w, b, 1e-6, &mut kept);
        (y, kept)
    };
    let (y, kept) = forward(&x, &w, &b);
    for (row, x) in y.chunks(d).zip(x.chunks(d)) {
        let want = reference::layer_norm(x, &w, &b, 1e-6);
        row.iter().zip(want).for_each(|(got, want)| assert!((got - want).abs() < 1e-4));
    }
    let (mut dx, mut dw, mut db) = (weigh.clone(), vec![0.0; d], vec![0.0; d]);
    layer_norm_backward(&mut dx, &w, &kept, &mut dw, &mut db);
    differences(&x, &weigh, &dx, |x| forward(x, &w, &b).0);
    differences(&w, &weigh, &dw, |w| forward(&x, w, &b).0);
    differences(&b, &weigh, &db, |b| forward(&x, &w, b).0);
    let mut dx = weigh.clone();
    gelu_backward(&x, &mut dx);
    differences(&x, &weigh, &dx, |x| x.iter().map(|x| reference::gelu(*x)).collect());
}

#[test]
fn attention_equals_the_reference_and_goes_back_along_its_differences() {
    let (heads, h, offsets) = (2, 6, [0, 4, 4, 5, 10]);
    let (qkv, weigh) = (numbers(9, 10 * 3 * h, 1.0), numbers(10, 10 * h, 1.0));
    for (mask, dropout) in [(Mask::Causal, 0.0), (Mask::Full, 0.0), (Mask::Causal, 0.3), (Mask::Full, 0.3)] {
        let look = Look { heads, mask, dropout, seed: 7 };
        let forward = |qkv: &[f32]| {
            let (mut out, mut weights) = (vec![f32::NAN; 10 * h], Weights::default());
            attend_keep(look, qkv, &offsets, &mut out, &mut weights);
            (out, weights)
        };
        let (out, weights) = forward(&qkv);
        for window in offsets.windows(2).filter(|_| dropout == 0.0) {
            let rows = &qkv[window[0] * 3 * h..window[1] * 3 * h];
            let want = reference::attention(rows, window[1] - window[0], heads, mask);
            out[window[0] * h..].iter().zip(want).for_each(|(got, want)| assert!((got - want).abs() < 1e-5));
        }
        let mut d = vec![f32::NAN; qkv.len()];
        attend_backward(look, &qkv, &offsets, &weights, &weigh, &mut d, &mut Vec::new());
        differences(&qkv, &weigh, &d, |qkv| forward(qkv).0);
    }
}

#[test]
fn dropout_keeps_the_mean_and_takes_the_same_places_for_the_same_seed() {
    let mut x = vec![1.0f32; 100_000];
    dropout(&mut x, 0.3, 17);
    let (mean, gone) = (x.iter().sum::<f32>() / 1e5, x.iter().filter(|x| **x == 0.0).count());
    assert!((mean - 1.0).abs() < 0.01 && (29_000..31_000).contains(&gone), "mean {mean}, {gone} gone");
    let (mut same, mut other) = (vec![2.0f32; 100_000], vec![2.0f32; 100_000]);
    dropout(&mut same, 0.3, 17);
    dropout(&mut other, 0.3, 18);
    assert!(same.iter().zip(&x).all(|(a, b)| (*a == 0.0) == (*b == 0.0)));
    let both = other.iter().zip(&x).filter(|(a, b)| **a == 0.0 && **b == 0.0).count();
    assert!((8_000..10_000).contains(&both), "two seeds agree on {both} places");
}

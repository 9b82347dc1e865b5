//! What a network that writes is made of: equal to plain loops over the rounded numbers, for odd shapes and extremes.

use crate::numbers;
use lingxi_kernels::blocks::{BLOCK, BLOCK_BYTES, to_q8};
use lingxi_kernels::*;
use proptest::prelude::*;

/// What Q8_0 makes of numbers.
fn rounded(x: &[f32]) -> Vec<f32> {
    let block = |b: &[u8]| {
        let scale = half::f16::from_le_bytes([b[0], b[1]]).to_f32();
        b[2..].iter().map(|b| f32::from(*b as i8) * scale).collect::<Vec<_>>()
    };
    to_q8(x).chunks(BLOCK_BYTES).flat_map(block).collect()
}

/// What a row of x is rounded to: as Q8_0, with a scale in f32.
fn rounded_rows(x: &[f32]) -> Vec<f32> {
    let block = |b: &[f32]| {
        let top = b.iter().fold(0f32, |top, x| top.max(x.abs()));
        b.iter()
            .map(|x| if top > 0.0 { (x * (127.0 / top)).round_ties_even() * (top / 127.0) } else { 0.0 })
            .collect::<Vec<_>>()
    };
    x.chunks(BLOCK).flat_map(block).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_with_blocks_equal_plain_loops_over_rounded_numbers(
        m in 1usize..20, n in 1usize..150, blocks in 1usize..6, cut in 0usize..150, seed in any::<u64>(),
        size in prop_oneof![Just(1f32), Just(1e-3), Just(100.0)],
    ) {
        let k = blocks * BLOCK;
        let (x, w) = (numbers(seed, m * k, size), numbers(seed ^ 1, n * k, 1.0));
        let file = to_q8(&w);
        // Two parts, as query, key and value are.
        let (first, second) = file.split_at(cut.min(n) * blocks * BLOCK_BYTES);
        let matrix = Blocks::new(&[first, second], k);
        prop_assert_eq!((matrix.n(), matrix.k()), (n, k));
        let mut rows = BlockRows::default();
        rows.fill(&vec![7.0; 3 * (k + BLOCK)], k + BLOCK);
        rows.fill(&x, k);
        let want = reference::matmul_nt(&rounded_rows(&x), &rounded(&w), m, n, k);
        let tolerance = size * k as f32 * 1e-6;
        let mut out = vec![f32::NAN; m * n];
        matrix.product(&rows, &mut out, false);
        for (got, want) in out.iter().zip(&want) {
            prop_assert!((got - want).abs() <= tolerance, "{got} {want}");
        }
        let mut sum = vec![0.5; m * n];
        matrix.product(&rows, &mut sum, true);
        for (got, want) in sum.iter().zip(&want) {
            prop_assert!((got - want - 0.5).abs() <= tolerance + 1e-6, "{got} {want}");
        }
        // A row alone is the row among others, to the bit.
        let mut alone = vec![0.0; n];
        rows.fill(&x[(m - 1) * k..], k);
        matrix.product(&rows, &mut alone, false);
        prop_assert_eq!(&alone[..], &out[(m - 1) * n..]);
        let mut row = vec![0.0; k];
        matrix.row(n - 1, &mut row);
        prop_assert_eq!(&row[..], &rounded(&w)[(n - 1) * k..]);
    }

    #[test]
    fn softmax_over_two_parts_is_softmax_over_both(past in 0usize..70, now in 1usize..70, seed in any::<u64>()) {
        let scores = numbers(seed, past + now, 20.0);
        let (mut a, mut b) = (scores[..past].to_vec(), scores[past..].to_vec());
        softmax_both(&mut a, &mut b);
        for (got, want) in a.iter().chain(&b).zip(reference::softmax(&scores)) {
            prop_assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
        let log = scores.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
        prop_assert!((f64::from(log_sum_exp(&scores)) - log).abs() < 1e-4);
    }

    #[test]
    fn norm_gate_and_rotation_equal_their_definitions(rows in 1usize..5, half in 1usize..70, seed in any::<u64>()) {
        let d = 2 * half;
        let (x, weight) = (numbers(seed, rows * d, 10.0), numbers(seed ^ 1, d, 1.0));
        let mut out = vec![0.0; rows * d];
        rms_norm(&x, &weight, 1e-5, &mut out);
        for (out, x) in out.chunks(d).zip(x.chunks(d)) {
            let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / d as f64 + 1e-5;
            for ((out, x), w) in out.iter().zip(x).zip(&weight) {
                prop_assert!((f64::from(*out) - f64::from(*x) / mean.sqrt() * f64::from(*w)).abs() < 1e-5);
            }
        }
        let mut gated = vec![0.0; rows * half];
        swiglu(&x, &mut gated);
        for (i, got) in gated.iter().enumerate() {
            let (gate, up) = (f64::from(x[i]), f64::from(x[rows * half + i]));
            prop_assert!((f64::from(*got) - gate / (1.0 + (-gate).exp()) * up).abs() < 1e-4);
        }
        let turns: Vec<[f32; 2]> = numbers(seed ^ 2, half, 3.0).iter().map(|a| [a.cos(), a.sin()]).collect();
        let mut turned = x.clone();
        rotate(&mut turned, &turns);
        for (i, (before, after)) in x.chunks(2).zip(turned.chunks(2)).enumerate() {
            let [cos, sin] = turns[i % half];
            prop_assert!((after[0] - (before[0] * cos - before[1] * sin)).abs() < 1e-5);
            prop_assert!((after[0].hypot(after[1]) - before[0].hypot(before[1])).abs() < 1e-4);
        }
    }
}

#[test]
fn blocks_of_zeros_of_extremes_and_of_bytes_that_no_writer_makes_are_borne() {
    // -128, which rounding never gives, and a scale that is no number.
    let mut file = to_q8(&[1.0; BLOCK]);
    file[2] = 128;
    let matrix = Blocks::new(&[&file], BLOCK);
    let (mut rows, mut out) = (BlockRows::default(), [0.0]);
    rows.fill(&[1.0; BLOCK], BLOCK);
    matrix.product(&rows, &mut out, false);
    assert!((out[0] - (31.0 - 128.0 / 127.0)).abs() < 0.05, "{out:?}");
    for x in [0.0, f32::MIN_POSITIVE / 4.0, f32::MAX] {
        rows.fill(&[x; BLOCK], BLOCK);
        matrix.product(&rows, &mut out, false);
        assert!(!out[0].is_nan(), "{x}: {out:?}");
    }
    let mut gated = [0.0; 2];
    swiglu(&[-1e30, 1e30, 1.0, 1.0], &mut gated);
    assert_eq!(gated, [0.0, 1e30]);
}

//! Products with packed matrices and attention over rows: equal to plain loops over the rounded numbers, in every precision,
//! for odd shapes and extremes.

use crate::numbers;
use lingxi_kernels::*;
use proptest::prelude::*;

/// What a precision makes of a row of x.
fn rounded(row: &[f32], precision: Precision) -> Vec<f32> {
    let top = row.iter().fold(0f32, |top, x| top.max(*x));
    let low = row.iter().fold(0f32, |low, x| low.max(-*x));
    let unit = 255.0 / (top + low);
    let zero = (low * unit).round_ties_even();
    let one = |x: f32| match precision {
        Precision::F32 => x,
        Precision::Bf16 => bf16(x),
        Precision::Int8 if top + low > 0.0 => {
            (x * unit).round_ties_even().clamp(-zero, 255.0 - zero) * ((top + low) / 255.0)
        }
        Precision::Int8 => 0.0,
    };
    row.iter().map(|&x| one(x)).collect()
}

/// What it makes of a row of w.
fn rounded_weights(row: &[f32], precision: Precision) -> Vec<f32> {
    let top = row.iter().fold(0f32, |top, x| top.max(x.abs()));
    match precision {
        Precision::Int8 if top > 0.0 => {
            row.iter().map(|x| (x * (127.0 / top)).round_ties_even() * (top / 127.0)).collect()
        }
        _ => rounded(row, precision),
    }
}

fn bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits(bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
}

fn rounded_rows(x: &[f32], k: usize, precision: Precision) -> Vec<f32> {
    x.chunks(k).flat_map(|row| rounded(row, precision)).collect()
}

fn rows(x: &[f32], k: usize, precision: Precision) -> Rows {
    let mut rows = Rows::default();
    // A buffer that has held something else.
    rows.fill(&vec![f32::MAX; 7 * (k + 3)], k + 3, Precision::F32);
    rows.fill(&vec![-3.5; 9 * k], k, precision);
    rows.fill(x, k, precision);
    rows
}

#[track_caller]
fn close(got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance, "at {i} of {}: got {g}, want {w}, tolerance {tolerance}", got.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packed_products_equal_plain_loops_over_rounded_numbers(
        m in 1usize..70, n in 1usize..100, k in 1usize..150, which in 0usize..3, gelu_too in any::<bool>(), biased in any::<bool>(),
        seed in any::<u64>(), size in prop_oneof![Just(1f32), Just(1e-20), Just(1e12)],
    ) {
        let precision = Precision::ALL[which];
        let x = numbers(seed, m * k, size);
        let (w, bias) = (numbers(seed ^ 1, n * k, 1.0), if biased { numbers(seed ^ 2, n, 1.0) } else { vec![] });
        let packed = Packed::new(&w, n, k, precision);
        let (given, x) = (rows(&x, k, precision), rounded_rows(&x, k, precision));
        let w: Vec<f32> = w.chunks(k).flat_map(|row| rounded_weights(row, precision)).collect();
        let mut want = reference::matmul_nt(&x, &w, m, n, k);
        // What a sum of k products can lose in f32.
        let most = x.iter().fold(0f32, |t, x| t.max(x.abs())) * w.iter().fold(0f32, |t, x| t.max(x.abs()));
        let tolerance = most * k as f32 * 1e-6 + 2e-6;
        for (i, y) in want.iter_mut().enumerate() {
            *y += if biased { bias[i % n] } else { 0.0 };
            *y = if gelu_too { reference::gelu(*y) } else { *y };
        }
        let mut out = vec![f32::NAN; m * n];
        packed.product(&given, &bias, gelu_too, Target::Store(&mut out));
        close(&out, &want, tolerance);
        let mut sum = vec![0.5; m * n];
        packed.product(&given, &bias, gelu_too, Target::Add(&mut sum));
        close(&sum, &out.iter().map(|y| y + 0.5).collect::<Vec<_>>(), tolerance * 1e-3 + 1e-6);
        // Rounding on the way out gives what rounding afterwards gives.
        for to in Precision::ALL {
            let (mut there, mut after) = (Rows::default(), Rows::default());
            packed.product(&given, &bias, gelu_too, Target::Round(&mut there, to));
            after.fill(&out, n, to);
            let one = Packed::new(&vec![1.0; n], 1, n, to);
            let (mut a, mut b) = (vec![0.0; m], vec![0.0; m]);
            one.product(&there, &[], false, Target::Store(&mut a));
            one.product(&after, &[], false, Target::Store(&mut b));
            prop_assert_eq!(a, b);
        }
    }

    #[test]
    fn a_row_of_a_product_does_not_depend_on_the_rows_beside_it(m in 2usize..40, which in 0usize..3, seed in any::<u64>()) {
        let (n, k, precision) = (45, 67, Precision::ALL[which]);
        let (x, w) = (numbers(seed, m * k, 1.0), Packed::new(&numbers(seed ^ 1, n * k, 1.0), n, k, precision));
        let mut together = vec![0.0; m * n];
        w.product(&rows(&x, k, precision), &[], false, Target::Store(&mut together));
        for (row, x) in together.chunks(n).zip(x.chunks(k)) {
            let mut alone = vec![0.0; n];
            w.product(&rows(x, k, precision), &[], false, Target::Store(&mut alone));
            prop_assert_eq!(row, &alone[..]);
        }
    }

    #[test]
    fn attention_over_rows_equals_its_definition(
        lengths in proptest::collection::vec(0usize..50, 0..5), heads in 1usize..4, half in 1usize..40, causal in any::<bool>(),
        biased in any::<bool>(), bf16 in any::<bool>(), seed in any::<u64>(),
    ) {
        let (d, precision) = (2 * half, if bf16 { Precision::Bf16 } else { Precision::F32 });
        let (mask, h, reach) = (if causal { Mask::Causal } else { Mask::Full }, heads * d, 60);
        let offsets: Vec<usize> = std::iter::once(0).chain(lengths.iter().scan(0, |sum, n| { *sum += n; Some(*sum) })).collect();
        let tokens = offsets[offsets.len() - 1];
        let qkv = rounded_rows(&numbers(seed, tokens * 3 * h, 1.0), 3 * h, precision);
        let distances = Distances { table: numbers(seed ^ 1, heads * (2 * reach + 1), 1.0), reach };
        let (mut out, mut scratch, mut plain) = (Rows::default(), Scratch::default(), Rows::default());
        attend(&rows(&qkv, 3 * h, precision), &offsets, heads, mask, biased.then_some(&distances), &mut out, &mut scratch);
        prop_assert_eq!((out.len(), out.k(), out.precision()), (tokens, h, precision));
        // The numbers of the rows, by a product with the identity.
        plain.convert(&out, Precision::F32);
        let identity: Vec<f32> = (0..h * h).map(|i| if i / h == i % h { 1.0 } else { 0.0 }).collect();
        let mut got = vec![0.0; tokens * h];
        Packed::new(&identity, h, h, Precision::F32).product(&plain, &[], false, Target::Store(&mut got));
        for w in offsets.windows(2) {
            let bias = |head: usize, i: usize, j: usize| if biased { distances.table[head * (2 * reach + 1) + reach + j - i] } else { 0.0 };
            let want = reference::attention_with(&qkv[w[0] * 3 * h..w[1] * 3 * h], w[1] - w[0], heads, mask, bias);
            // In bf16 weights and outputs are rounded: 2^-9 of the largest value each, and a little for the sum of the weights.
            close(&got[w[0] * h..w[1] * h], &want, if bf16 { 2e-2 } else { 2e-5 });
        }
    }
}

#[test]
fn extremes_go_through_a_product_as_through_plain_loops() {
    for precision in Precision::ALL {
        let k = 37;
        let w = Packed::new(&vec![1.0; 33 * k], 33, k, precision);
        let mut x = vec![0.0; 4 * k];
        (x[0], x[k], x[2 * k]) = (f32::MAX, f32::MIN_POSITIVE, -0.0);
        x[3 * k..].fill(-1.0);
        let mut out = vec![f32::NAN; 4 * 33];
        w.product(&rows(&x, k, precision), &[], false, Target::Store(&mut out));
        let near = |got: f32, want: f32| (got / want - 1.0).abs() < 0.01;
        assert!(out[..33].iter().all(|&y| y == f32::INFINITY || near(y, f32::MAX)), "{precision:?}: {out:?}");
        assert!(out[33..66].iter().all(|&y| y == 0.0 || near(y, f32::MIN_POSITIVE)), "{precision:?}: {out:?}");
        assert!(
            out[66..99].iter().all(|&y| y == 0.0) && out[99..].iter().all(|&y| near(y, -37.0)),
            "{precision:?}: {out:?}"
        );
        // What is no number does not pass for one, except that bytes have none to say it with.
        x[5] = f32::NAN;
        w.product(&rows(&x, k, precision), &[], false, Target::Store(&mut out));
        assert!(precision == Precision::Int8 || out[..33].iter().all(|y| y.is_nan()), "{precision:?}: {out:?}");
    }
}

#[test]
fn a_packed_matrix_takes_a_half_and_a_quarter_of_the_memory() {
    let bytes = Precision::ALL.map(|p| Packed::new(&vec![0.5; 384 * 384], 384, 384, p).bytes());
    assert_eq!((bytes[0], bytes[1]), (384 * 384 * 4, 384 * 384 * 2));
    assert!(bytes[2] <= 384 * 384 + 384 * 8);
}

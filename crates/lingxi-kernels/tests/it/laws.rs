//! Kernel equals reference, for any shape.

use lingxi_kernels::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn close(got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "at {i}: got {g}, want {w}");
    }
}

fn number() -> impl Strategy<Value = f32> {
    prop_oneof![6 => -2f32..2.0, 1 => Just(0.0), 1 => Just(-0.0), 1 => -100f32..100.0]
}

/// A matrix and another that fit: sizes, then both.
fn two(m: usize, n: usize, k: usize) -> impl Strategy<Value = (usize, usize, usize, Vec<f32>, Vec<f32>)> {
    (0..=m, 0..=n, 0..=k)
        .prop_flat_map(|(m, n, k)| (Just(m), Just(n), Just(k), vec(number(), m * k), vec(number(), n * k)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_equal_three_loops_and_the_accumulating_forms_add((m, n, k, a, b) in two(40, 40, 70)) {
        type Product = fn(&[f32], &[f32], &mut [f32], usize, usize, usize);
        type Reference = fn(&[f32], &[f32], usize, usize, usize) -> Vec<f32>;
        let forms: [(Product, Product, Reference); 3] = [
            (matmul_nn, matmul_nn_add, reference::matmul_nn),
            (matmul_nt, matmul_nt_add, reference::matmul_nt),
            (matmul_tn, matmul_tn_add, reference::matmul_tn),
        ];
        for (product, product_add, law) in forms {
            let want = law(&a, &b, m, n, k);
            let scale = 1e-5 * (1.0 + want.iter().fold(0f32, |t, x| t.max(x.abs())));
            let mut out = vec![f32::NAN; m * n];
            product(&a, &b, &mut out, m, n, k);
            close(&out, &want, scale);
            let mut sum = vec![1.5; m * n];
            product_add(&a, &b, &mut sum, m, n, k);
            close(&sum, &want.iter().map(|x| x + 1.5).collect::<Vec<_>>(), scale);
        }
    }

    #[test]
    fn dot_and_axpy_equal_plain_sums(pairs in vec((number(), number()), 0..100), alpha in number()) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        let want: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        let size: f64 = a.iter().zip(&b).map(|(x, y)| f64::from((x * y).abs())).sum();
        prop_assert!((f64::from(dot(&a, &b)) - want).abs() <= 1e-5 * (1.0 + size));
        let mut y = b.clone();
        axpy(alpha, &a, &mut y);
        let want: Vec<f32> = a.iter().zip(&b).map(|(x, y)| (f64::from(alpha) * f64::from(*x) + f64::from(*y)) as f32).collect();
        close(&y, &want, 1e-4);
    }

    #[test]
    fn dots_with_many_rows_are_those_with_each_row_to_the_last_bit(
        d in 0usize..100, n in 1usize..30, rows in vec(any::<u32>(), 0..80), numbers in vec(number(), 3100),
    ) {
        let (a, table) = (&numbers[..d], &numbers[100..100 + n * d]);
        let rows: Vec<u32> = rows.iter().map(|row| row % n as u32).collect();
        let mut got = vec![f32::NAN; rows.len()];
        dot_rows(a, table, &rows, &mut got);
        let want = rows.iter().map(|&row| dot(a, &table[row as usize * d..(row as usize + 1) * d]).to_bits());
        prop_assert!(got.iter().map(|x| x.to_bits()).eq(want));
    }

    #[test]
    fn top_k_equals_sorting_with_ties_nan_and_infinities(
        scores in vec(prop_oneof![4 => (-3i8..3).prop_map(f32::from), 1 => Just(f32::NAN), 1 => Just(f32::INFINITY),
            1 => Just(f32::NEG_INFINITY), 2 => -1f32..1.0], 0..400),
        k in 0usize..50,
    ) {
        prop_assert_eq!(top_k(&scores, k), reference::top_k(&scores, k));
    }

    // Small whole numbers: every dot product is exact, so that ties are real and the answer has one right order.
    #[test]
    fn top_k_dot_equals_scoring_everything(
        d in 1usize..40, q in 0usize..150, n in 0usize..300, k in 0usize..30, seed in any::<u64>(), masked in any::<bool>(),
        // A power of two keeps them exact and is beyond what is screened in bf16.
        scale in prop_oneof![Just(1.0f32), Just(16_777_216.0)],
    ) {
        let mut state = seed;
        let mut next = move || { state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (state >> 33) as u32 };
        let queries: Vec<f32> = (0..q * d).map(|_| (next() % 5) as f32 - 2.0).collect();
        let items: Vec<f32> = (0..n * d).map(|_| ((next() % 5) as f32 - 2.0) * scale).collect();
        let lists: Vec<Vec<u32>> = (0..q).map(|_| (0..n as u32 + 2).filter(|_| next() % 4 == 0).collect()).collect();
        let exclude: Vec<&[u32]> = if masked { lists.iter().map(Vec::as_slice).collect() } else { Vec::new() };
        prop_assert_eq!(top_k_dot(&queries, &items, d, k, &exclude), reference::top_k_dot(&queries, &items, d, k, &exclude));
    }

    // Numbers of all sizes: what a screen in lower precision must not lose.
    #[test]
    fn top_k_dot_finds_the_scores_that_scoring_everything_finds(
        d in 1usize..100, q in 6usize..40, n in 1usize..400, k in 1usize..20, seed in any::<u64>(),
    ) {
        let mut state = seed;
        let mut next = move || { state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (state >> 40) as f32 / (1u32 << 24) as f32 };
        let mut number = || (next() - 0.5) * 10f32.powi((next() * 6.0) as i32 - 3);
        let (queries, items): (Vec<f32>, Vec<f32>) = ((0..q * d).map(|_| number()).collect(), (0..n * d).map(|_| number()).collect());
        let (got, want) = (top_k_dot(&queries, &items, d, k, &[]), reference::top_k_dot(&queries, &items, d, k, &[]));
        let length = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
        let longest = items.chunks(d).map(length).fold(0.0, f32::max);
        for ((got, want), query) in got.iter().zip(&want).zip(queries.chunks(d)) {
            prop_assert_eq!(got.len(), want.len());
            for ((_, a), (_, b)) in got.iter().zip(want) {
                prop_assert!((a - b).abs() <= 1e-5 * length(query) * longest, "{} {}", a, b);
            }
        }
    }

    #[test]
    fn spmm_equals_the_product_written_out_and_transposing_twice_is_the_identity(
        rows in 1usize..20, columns in 1usize..20, d in prop_oneof![1usize..20, 60usize..140],
        places in vec((any::<u32>(), any::<u32>(), number()), 0..80), dense in vec(number(), 2_800),
    ) {
        let triplets: Vec<_> = places.iter().map(|&(r, c, v)| (r % rows as u32, c % columns as u32, v)).collect();
        let matrix = Csr::from_triplets(rows, &triplets);
        let dense = &dense[..columns * d];
        let mut out = vec![f32::NAN; rows * d];
        spmm(&matrix, dense, d, &mut out);
        let want = reference::spmm(&matrix, dense, d);
        close(&out, &want, 1e-5 * (1.0 + want.iter().fold(0f32, |t, x| t.max(x.abs()))));
        let turned = matrix.transpose(columns);
        prop_assert_eq!(turned.rows(), columns);
        // Twice turned, the columns of each row ascend; nothing else changes.
        prop_assert_eq!(turned.transpose(rows).transpose(columns), turned);
    }

    #[test]
    fn softmax_and_layer_norm_equal_their_definitions(d in 1usize..70, x in vec(number(), 210), e in prop_oneof![Just(1e-12f32), Just(1e-5)]) {
        let x = &x[..3 * d];
        let mut got = x.to_vec();
        softmax_rows(&mut got, d);
        let want: Vec<f32> = x.chunks(d).flat_map(reference::softmax).collect();
        close(&got, &want, 1e-6);
        let weight: Vec<f32> = (0..d).map(|i| 1.0 + i as f32 / 10.0).collect();
        let bias: Vec<f32> = (0..d).map(|i| i as f32 / 7.0 - 1.0).collect();
        // A constant row divides rounding noise by epsilon: spread it.
        let mut got: Vec<f32> = x.iter().enumerate().map(|(i, v)| v + (i % d) as f32).collect();
        let want: Vec<f32> = got.chunks(d).flat_map(|r| reference::layer_norm(r, &weight, &bias, e)).collect();
        layer_norm_rows(&mut got, &weight, &bias, e);
        close(&got, &want, 2e-5);
    }

    #[test]
    fn attention_equals_its_definition_for_sequences_of_any_length(
        lengths in vec(0usize..40, 0..6), heads in 1usize..4, d in 1usize..36, causal in any::<bool>(), seed in any::<u32>(),
    ) {
        let mask = if causal { Mask::Causal } else { Mask::Full };
        let (tokens, h) = (lengths.iter().sum::<usize>(), heads * d);
        let qkv: Vec<f32> = (0..tokens * 3 * h).map(|i| ((i as f32 + seed as f32 * 1e-6) * 0.37).sin() * 2.0).collect();
        let mut offsets = vec![0];
        lengths.iter().for_each(|n| offsets.push(offsets[offsets.len() - 1] + n));
        let mut out = vec![f32::NAN; tokens * h];
        attention(&qkv, &offsets, heads, mask, &mut out);
        for w in offsets.windows(2) {
            let want = reference::attention(&qkv[w[0] * 3 * h..w[1] * 3 * h], w[1] - w[0], heads, mask);
            close(&out[w[0] * h..w[1] * h], &want, 1e-5);
        }
    }
}

#[test]
fn gelu_is_exact_to_one_in_a_million_over_its_whole_range() {
    let xs: Vec<f32> = (-40_000..40_000)
        .map(|i| i as f32 / 4000.0)
        .chain([0.0, -0.0, 1e-20, -1e-20, 88.0, -88.0, 1e30, -1e30])
        .collect();
    let want: Vec<f32> = xs.iter().map(|&x| reference::gelu(x)).collect();
    let mut got = xs.clone();
    gelu(&mut got);
    for ((g, w), x) in got.iter().zip(&want).zip(&xs) {
        assert!((g - w).abs() <= 1e-6 * w.abs().max(1.0), "gelu({x}): got {g}, want {w}");
    }
    let mut fused: Vec<f32> = xs.iter().map(|x| x - 0.25).collect();
    bias_gelu(&mut fused, &vec![0.25; xs.len()]);
    let mut plain: Vec<f32> = xs.iter().map(|x| x - 0.25).collect();
    add_bias(&mut plain, &[0.25]);
    gelu(&mut plain);
    assert_eq!(fused, plain);
}

#[test]
fn softmax_holds_at_the_extremes() {
    let mut x = [f32::NEG_INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 0.0, f32::NEG_INFINITY];
    softmax_rows(&mut x, 2);
    assert_eq!(x, [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
}

#[test]
fn a_product_large_enough_for_all_threads_equals_the_reference() {
    let (m, n, k) = (131, 137, 139);
    let a: Vec<f32> = (0..m * k).map(|i| ((i * 7919) % 13) as f32 - 6.0).collect();
    let b: Vec<f32> = (0..n * k).map(|i| ((i * 104_729) % 11) as f32 - 5.0).collect();
    let mut out = vec![0.0; m * n];
    matmul_nt(&a, &b, &mut out, m, n, k);
    assert_eq!(out, reference::matmul_nt(&a, &b, m, n, k));
}

#[test]
#[should_panic(expected = "matmul: b is not 3 x 4")]
fn a_wrong_shape_panics_with_the_shape_that_fits() {
    matmul_nn(&[0.0; 6], &[0.0; 11], &mut [0.0; 8], 2, 4, 3);
}

/// Vectors so long that few items fit in a chunk (1,000 numbers) and in a slab (half a million).
#[test]
fn top_k_dot_equals_scoring_everything_across_chunks_and_slabs() {
    for (q, n, d) in [(25, 200, 1000), (6, 40, 1 << 19)] {
        let number = |i: usize| ((i * 7919 + i / 64) % 5) as f32 - 2.0;
        let queries: Vec<f32> = (0..q * d).map(number).collect();
        let items: Vec<f32> = (0..n * d).map(|i| number(i + 3)).collect();
        let exclude = vec![[3u32, 31, 32, 39].as_slice(); q];
        assert_eq!(top_k_dot(&queries, &items, d, 9, &exclude), reference::top_k_dot(&queries, &items, d, 9, &exclude));
    }
}

//! Tables of items: rows by number, the loss over all of them, the best of them in bytes.

use crate::numbers;
use lingxi_kernels::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn cross_entropy_and_its_gradients_equal_those_of_written_logits(
        rows in 0usize..30, n in 1usize..60, d in 1usize..40, size in prop_oneof![Just(1f32), Just(30.0)], seed in any::<u64>(),
    ) {
        let (x, items) = (numbers(seed, rows * d, size), numbers(seed ^ 1, n * d, 1.0));
        let label = |i: usize| if i % 5 == 3 { IGNORED } else { ((seed >> 7) as usize + i * 31) as u32 % n as u32 };
        let labels: Vec<u32> = (0..rows).map(label).collect();
        let (want, want_x, want_items) = reference::cross_entropy(&x, &items, d, &labels);
        let (mut dx, mut d_items) = (vec![0.25; rows * d], vec![-0.25; n * d]);
        let loss = cross_entropy(&x, &items, d, &labels, Some(Gradients { x: &mut dx, items: &mut d_items }));
        let logits = size * d as f32;
        prop_assert!((loss - want).abs() <= 1e-5 * f64::from(1.0 + logits), "{} {}", loss, want);
        prop_assert_eq!(cross_entropy(&x, &items, d, &labels, None), loss);
        for (got, want, before) in [(&dx, &want_x, 0.25), (&d_items, &want_items, -0.25)] {
            for (g, w) in got.iter().zip(want) {
                prop_assert!((g - before - w).abs() <= 1e-6 * (1.0 + logits) * size.max(1.0), "{} {}", g - before, w);
            }
        }
    }

    #[test]
    fn gathering_and_adding_back_equal_plain_loops(n in 1usize..50, d in 1usize..40, rows in proptest::collection::vec(any::<u32>(), 0..600), seed in any::<u64>()) {
        let rows: Vec<u32> = rows.iter().map(|row| row % n as u32).collect();
        let (mut table, gradients) = (numbers(seed, n * d, 1.0), numbers(seed ^ 1, rows.len() * d, 1.0));
        let mut out = vec![f32::NAN; rows.len() * d];
        gather(&table, d, &rows, &mut out);
        let mut want = table.clone();
        for (i, &row) in rows.iter().enumerate() {
            let at = row as usize * d;
            prop_assert_eq!(&out[i * d..(i + 1) * d], &table[at..at + d]);
            (0..d).for_each(|c| want[at + c] += gradients[i * d + c]);
        }
        scatter_add(&mut table, d, &rows, &gradients);
        prop_assert_eq!(table, want);
    }

    // Whole numbers, of items up to 127 and of queries from -128 to 127: bytes hold them exactly, so that there is one right answer.
    #[test]
    fn the_best_in_bytes_are_the_best_where_bytes_are_exact(
        d in 2usize..40, q in 0usize..60, n in 0usize..300, k in 0usize..20, masked in any::<bool>(), seed in any::<u64>(),
    ) {
        let whole = |seed: u64, rows: usize, second: Option<f32>| -> Vec<f32> {
            let mut all: Vec<f32> = numbers(seed, rows * d, 3.4).iter().map(|x| x.round()).collect();
            for row in all.chunks_mut(d) {
                (row[0], row[1]) = (127.0, second.unwrap_or(row[1]));
            }
            all
        };
        let (queries, items) = (whole(seed, q, Some(-128.0)), whole(seed ^ 1, n, None));
        let lists: Vec<Vec<u32>> = (0..q).map(|i| (0..n as u32).filter(|item| (item + i as u32).is_multiple_of(3)).collect()).collect();
        let exclude: Vec<&[u32]> = if masked { lists.iter().map(Vec::as_slice).collect() } else { vec![] };
        prop_assert_eq!(ByteItems::new(&items, d).top_k(&queries, k, &exclude), reference::top_k_dot(&queries, &items, d, k, &exclude));
    }
}

#[test]
fn cross_entropy_over_more_than_one_block_equals_written_logits_and_holds_at_extremes() {
    let (rows, n, d) = (300, 2500, 8);
    let (x, items) = (numbers(3, rows * d, 2.0), numbers(4, n * d, 2.0));
    let labels: Vec<u32> = (0..rows as u32).map(|i| i * 8 % n as u32).collect();
    let (want, want_x, want_items) = reference::cross_entropy(&x, &items, d, &labels);
    let (mut dx, mut d_items) = (vec![0.0; rows * d], vec![0.0; n * d]);
    let loss = cross_entropy(&x, &items, d, &labels, Some(Gradients { x: &mut dx, items: &mut d_items }));
    assert!((loss - want).abs() < 1e-5 * want);
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near(&dx, &want_x) && near(&d_items, &want_items));
    // Logits of a million: the loss is the distance to the largest, and no number overflows.
    let mut dx = [0.0];
    let loss =
        cross_entropy(&[1000.0], &[1000.0, -1000.0], 1, &[1], Some(Gradients { x: &mut dx, items: &mut [0.0; 2] }));
    assert_eq!((loss, dx), (2e6, [2000.0]));
    assert_eq!(cross_entropy(&[], &[1.0], 1, &[], None), 0.0);
    assert_eq!(cross_entropy(&[1.0], &[1.0], 1, &[IGNORED], None), 0.0);
}

#[test]
#[should_panic(expected = "cross entropy: label Some(2) of 2 items")]
fn a_label_that_is_no_item_panics_with_both() {
    cross_entropy(&[1.0], &[1.0, 2.0], 1, &[2], None);
}

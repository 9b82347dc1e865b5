//! Times the loss of choosing one item of all, with its gradients: `cargo run --release -p lingxi-kernels --example choice`.
use lingxi_kernels::cross_entropy::rounded::{Scratch, Shares};
use lingxi_kernels::{RoundedItems, rounded_cross_entropy};
use rayon::prelude::*;
use std::time::Instant;

fn main() {
    let (rows, n, d) = (6_400, 10_000, 64);
    let x: Vec<f32> = (0..rows * d).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 0.3).collect();
    let items: Vec<f32> = (0..n * d).map(|i| ((i * 53 % 97) as f32 / 48.0 - 1.0) * 0.3).collect();
    let labels: Vec<u32> = (0..rows as u32).map(|i| i * 31 % n as u32).collect();
    let (mut dx, mut d_items) = (vec![0.0; rows * d], vec![vec![0.0; n * d]; 2]);
    let mut rounded = RoundedItems::default();
    let mut scratch = [Scratch::default(), Scratch::default()];
    for _ in 0..7 {
        let start = Instant::now();
        rounded.fill(&items, d);
        let filled = start.elapsed();
        let half = rows / 2;
        let losses: Vec<f64> = dx
            .par_chunks_mut(half * d)
            .zip(&mut d_items)
            .zip(&mut scratch)
            .zip(x.par_chunks(half * d).zip(labels.par_chunks(half)))
            .map(|(((x_out, items_out), scratch), (x, labels))| {
                let shares = Shares { x: x_out, items: items_out, share: 1.0 / rows as f32 };
                rounded_cross_entropy(x, labels, &items, &rounded, shares, scratch)
            })
            .collect();
        println!(
            "loss {:.4}: {:.1} ms, rounding {:.1}",
            losses.iter().sum::<f64>() / rows as f64,
            start.elapsed().as_secs_f64() * 1e3,
            filled.as_secs_f64() * 1e3
        );
    }
}

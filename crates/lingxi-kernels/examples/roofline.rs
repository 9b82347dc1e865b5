//! How near are the kernels to what this processor can do? `cargo run --release -p lingxi-kernels --example roofline`
//!
//! First the peaks, by loops that touch nothing but registers (multiply-adds) and by a sum over a buffer that fits in no cache
//! (bytes). Then each product of the encoder at its real shape, with its operations, the least bytes that it has to
//! move, and the share of the peak that it reaches. All on one thread, then on one thread per processor of the pool.

use lingxi_kernels::{Mask, Packed, Precision, Rows, Scratch, Target, attend, cpu};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

/// Rows of a product: the tokens of one pass of the encoder.
const TOKENS: usize = 192;
/// The products of a layer of MiniLM: name, columns, numbers of a dot product.
const SHAPES: [(&str, usize, usize); 4] =
    [("query, key, value", 1152, 384), ("out", 384, 384), ("up", 1536, 384), ("down", 384, 1536)];

fn main() -> Result<(), String> {
    let level = cpu::choose()?;
    let threads = rayon::current_num_threads();
    println!(
        "level {}, bf16 {}, int8 {}, {threads} threads",
        level.name(),
        cpu::multiplies_bf16(),
        cpu::multiplies_bytes()
    );
    for pool in [1, threads] {
        println!("\n{pool} thread(s): peaks");
        let peaks = Precision::ALL.map(|precision| together(pool, || peak(precision)));
        for (precision, peak) in Precision::ALL.iter().zip(peaks) {
            println!("  {:5} {:8.1} G multiply-adds/s", precision.name(), peak / 1e9);
        }
        println!("  memory {:6.1} GB/s", together(pool, stream) / 1e9);
        println!("  {:18} {:>5} {:>10} {:>9} {:>10} {:>7}", "product", "", "Mop", "kB", "G/s", "of peak");
        for (precision, peak) in Precision::ALL.into_iter().zip(peaks) {
            for (name, n, k) in SHAPES {
                let speed = together(pool, || product(n, k, precision));
                let bytes = match precision {
                    Precision::F32 => 4,
                    Precision::Bf16 => 2,
                    Precision::Int8 => 1,
                } * (n * k + TOKENS * k)
                    + 4 * TOKENS * n;
                let (operations, share) = (TOKENS * n * k, 100.0 * speed / peak);
                println!(
                    "  {name:18} {:>5} {:10.1} {:9.0} {:10.1} {share:6.0}%",
                    precision.name(),
                    operations as f64 / 1e6,
                    bytes as f64 / 1e3,
                    speed / 1e9
                );
            }
        }
        for (precision, length) in [Precision::F32, Precision::Bf16].into_iter().flat_map(|p| [(p, 14), (p, 132)]) {
            let speed = together(pool, || attention_of(length, precision));
            println!(
                "  attention in {:4} of texts of {length:3} tokens: {:6.2} M tokens/s of one layer",
                precision.name(),
                speed / 1e6
            );
        }
    }
    Ok(())
}

/// The sum over `threads` threads of what `work` returns as its speed, all at the same time.
fn together(threads: usize, work: impl Fn() -> f64 + Sync) -> f64 {
    (0..threads).into_par_iter().with_max_len(1).map(|_| work()).sum()
}

/// Runs `work` for a third of a second and returns `each` per second.
fn rate(each: f64, mut work: impl FnMut()) -> f64 {
    work();
    let (start, mut runs) = (Instant::now(), 0);
    while start.elapsed().as_secs_f64() < 0.33 {
        work();
        runs += 1;
    }
    each * f64::from(runs) / start.elapsed().as_secs_f64()
}

fn product(n: usize, k: usize, precision: Precision) -> f64 {
    let number = |i: usize| ((i * 7919 % 101) as f32 - 50.0) / 100.0;
    let weights = Packed::new(&(0..n * k).map(number).collect::<Vec<_>>(), n, k, precision);
    let mut rows = Rows::default();
    rows.fill(&(0..TOKENS * k).map(number).collect::<Vec<_>>(), k, precision);
    let (bias, mut out) = (vec![0.1; n], vec![0.0; TOKENS * n]);
    rate((TOKENS * n * k) as f64, || weights.product(&rows, &bias, false, Target::Store(&mut out)))
}

fn attention_of(length: usize, precision: Precision) -> f64 {
    let texts = TOKENS / length;
    let qkv: Vec<f32> = (0..texts * length * 1152).map(|i| (i as f32 * 0.37).sin()).collect();
    let offsets: Vec<usize> = (0..=texts).map(|text| text * length).collect();
    let (mut rows, mut out, mut scratch) = (Rows::default(), Rows::default(), Scratch::default());
    rows.fill(&qkv, 1152, precision);
    rate((texts * length) as f64, || attend(&rows, &offsets, 12, Mask::Full, None, &mut out, &mut scratch))
}

fn stream() -> f64 {
    let numbers = vec![1f32; 1 << 26];
    rate((numbers.len() * 4) as f64, || {
        let mut sums = [0f32; 64];
        for chunk in numbers.as_chunks::<64>().0 {
            sums = std::array::from_fn(|lane| sums[lane] + chunk[lane]);
        }
        black_box(sums);
    })
}

/// Multiply-adds a second with everything in registers.
fn peak(precision: Precision) -> f64 {
    const LOOPS: usize = 100_000;
    #[cfg(target_arch = "x86_64")]
    {
        let found = match precision {
            Precision::F32 if cpu::level() >= cpu::Level::Avx512 => Some(16),
            Precision::Bf16 if cpu::multiplies_bf16() => Some(32),
            Precision::Int8 if cpu::multiplies_bytes() => Some(64),
            _ => None,
        };
        if let Some(each) = found {
            // SAFETY: the features were found on this processor just now.
            return rate((LOOPS * 24 * each) as f64, || unsafe {
                match precision {
                    Precision::F32 => registers::f32(LOOPS),
                    Precision::Bf16 => registers::bf16(LOOPS),
                    Precision::Int8 => registers::int8(LOOPS),
                }
            });
        }
        if cpu::level() == cpu::Level::Avx2 {
            // SAFETY: as above. Without instructions of their own, the others are at most as fast as f32.
            return rate((LOOPS * 12 * 8) as f64, || unsafe { registers::half(LOOPS) });
        }
    }
    let mut sums = [0f32; 32];
    rate((LOOPS * 32) as f64, || {
        for _ in 0..LOOPS {
            sums = std::array::from_fn(|lane| black_box(1.0f32).mul_add(1e-9, sums[lane]));
        }
        black_box(sums);
    })
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// `$count` sums that do not wait for each other.
    macro_rules! busy {
        ($name:ident, $features:literal, $count:literal, $register:ident, $zero:expr, $instruction:literal) => {
            #[target_feature(enable = $features)]
            pub unsafe fn $name(loops: usize) {
                let mut sums = [$zero; $count];
                let (a, b) = (black_box($zero), black_box($zero));
                for _ in 0..loops {
                    for sum in &mut sums {
                        // SAFETY: changes a vector register only.
                        unsafe { asm!($instruction, inout($register) *sum, in($register) a, in($register) b, options(pure, nomem, nostack)) };
                    }
                }
                black_box(sums);
            }
        };
    }
    busy!(f32, "avx512f", 24, zmm_reg, _mm512_setzero_ps(), "vfmadd231ps {0}, {1}, {2}");
    busy!(bf16, "avx512f,avx512bf16", 24, zmm_reg, _mm512_setzero_ps(), "vdpbf16ps {0}, {1}, {2}");
    busy!(int8, "avx512f,avx512vnni", 24, zmm_reg, _mm512_setzero_si512(), "vpdpbusd {0}, {1}, {2}");
    busy!(half, "avx2,fma", 12, ymm_reg, _mm256_setzero_ps(), "vfmadd231ps {0}, {1}, {2}");
}

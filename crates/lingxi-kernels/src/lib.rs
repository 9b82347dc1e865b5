//! The few hot loops, on plain slices.
//!
//! Row-major `f32` slices and their sizes come in, numbers go out; this crate knows no tensor, model or item. Everything
//! else in the workspace is ordinary code that is fast enough, and what is not fast enough comes here: each kernel with
//! its law in one sentence, a plain reference in [mod@reference], and a property test of one against the other.
//!
//! [`products`] multiply matrices, [`select`] keeps the best `k`, [`retrieve`] does both at once without storing the
//! scores, [`packed`] multiplies with matrices that stay, in f32, bf16 or bytes, [mod@cross_entropy] is the loss of choosing one item
//! of all without their scores, [mod@gather] reads and adds to rows of a table, [`sparse`] multiplies a graph by vectors, [`rows`] holds what a network does row by row, [mod@attention] lets
//! the tokens of each sequence look at each other without padding, [`attention_back`] is the same while it learns, [`backward`] holds what training needs besides, [`descent`] takes a step downhill, [`blocks`]
//! multiplies with the bytes of a network that writes, [`decoder`] holds what it does row by row, [`cpu`] picks the instructions at run
//! time.
//!
//! All `unsafe` of the workspace is here. Shapes are checked on entry: a wrong one is a bug of the caller and panics
//! with both sizes. Large calls use the current `rayon` pool; results do not depend on its size.

pub mod attention;
pub mod attention_back;
pub mod backward;
pub mod blocks;
pub mod cpu;
pub mod cross_entropy;
pub mod decoder;
pub mod descent;
pub mod gather;
pub mod packed;
pub mod products;
pub mod reference;
pub mod retrieve;
pub mod rows;
pub mod select;
pub mod sparse;

pub use attention::{Distances, Mask, Scratch, attend, attention};
pub use blocks::{BlockRows, Blocks};
pub use cross_entropy::rounded::{RoundedItems, rounded_cross_entropy};
pub use cross_entropy::{Gradients, IGNORED, cross_entropy};
pub use decoder::{log_sum_exp, rms_norm, rotate, softmax_both, swiglu};
pub use gather::{gather, scatter_add};
pub use packed::{Packed, Precision, Rows, Target};
pub use products::{
    Layout, Part, axpy, dot, dot_rows, matmul_nn, matmul_nn_add, matmul_nt, matmul_nt_add, matmul_tn, matmul_tn_add,
    prefetch, product_here,
};
pub use retrieve::{ByteItems, top_k_dot};
pub use rows::{add_bias, bias_gelu, gelu, layer_norm_here, layer_norm_rows, softmax_rows};
pub use select::top_k;
pub use sparse::{Csr, spmm};

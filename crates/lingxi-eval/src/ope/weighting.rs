//! Inverse propensity scores: weigh each reward by how much more often the evaluation policy would have met it.
//!
//! V_IPS = mean of min(w, clip) r (Horvitz and Thompson 1952; clipping: Strehl et al., arXiv 1003.0120). Without
//! clipping it is unbiased, at the price of its variance. V_SNIPS = sum of w r / sum of w (Swaminathan and Joachims,
//! NeurIPS 2015): slightly biased, bounded by the rewards.

use super::terms::{Columns, Terms};

/// The terms of IPS; weights above `clip` count as `clip`.
pub fn ips(columns: &Columns, clip: f64) -> Terms {
    let weighted = columns.weight.iter().zip(&columns.reward).map(|(w, r)| w.min(clip) * r);
    Terms { base: vec![0.0; columns.weight.len()], correction: weighted.collect(), norm: None }
}

/// The terms of SNIPS.
pub fn self_normalised(columns: &Columns) -> Terms {
    Terms { norm: Some(columns.weight.clone()), ..ips(columns, f64::INFINITY) }
}

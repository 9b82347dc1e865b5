//! Doubly robust: the reward model's word, corrected by weighted residuals where the log knows better.
//!
//! All are mean of q(x, p_e) + g(w) (r - q(x, a)) and differ in g:
//!
//! - DR, g(w) = min(w, clip): unbiased if either the propensities or the model are right (Dudik et al., arXiv 1103.4601,
//!   equation 1);
//! - SNDR, g(w) = w / mean(w) (Thomas and Brunskill, arXiv 1604.00923, weighted DR);
//! - Switch-DR, g(w) = w where w <= threshold, else 0, so the model alone is believed (Wang et al., arXiv 1612.01205);
//! - DRos, g(w) = lambda w / (w^2 + lambda), which minimises a bound of the mean squared error (optimistic shrinkage, Su et al.,
//!   arXiv 1907.09623): from DM at 0 to DR at infinity.

use super::terms::{Columns, Terms};

/// The terms of DR; weights above `clip` count as `clip`.
pub fn dr(columns: &Columns, clip: f64) -> Terms {
    corrected(columns, |w| w.min(clip))
}

/// The terms of SNDR.
pub fn self_normalised(columns: &Columns) -> Terms {
    Terms { norm: Some(columns.weight.clone()), ..dr(columns, f64::INFINITY) }
}

/// The terms of Switch-DR.
pub fn switch(columns: &Columns, threshold: f64) -> Terms {
    corrected(columns, |w| switched(w, threshold))
}

/// The terms of DRos.
pub fn shrunk(columns: &Columns, lambda: f64) -> Terms {
    corrected(columns, |w| shrunk_weight(w, lambda))
}

/// A weight that is dropped above `threshold`.
pub(crate) fn switched(w: f64, threshold: f64) -> f64 {
    if w <= threshold { w } else { 0.0 }
}

/// A weight under optimistic shrinkage.
pub(crate) fn shrunk_weight(w: f64, lambda: f64) -> f64 {
    if lambda.is_infinite() || w == 0.0 { w } else { lambda * w / (w * w + lambda) }
}

fn corrected(columns: &Columns, weight: impl Fn(f64) -> f64) -> Terms {
    let correction = columns.weight.iter().zip(columns.residuals()).map(|(w, residual)| weight(*w) * residual);
    Terms { base: columns.expected.clone(), correction: correction.collect(), norm: None }
}

//! The direct method: believe the reward model.
//!
//! V_DM = mean of q(x, p_e) (Beygelzimer and Langford, KDD 2009, "The offset tree for learning with partial labels";
//! Dudik et al., arXiv 1103.4601). No weights, so little variance; wrong wherever the model is.

use super::terms::{Columns, Terms};

/// The terms of DM.
pub fn terms(columns: &Columns) -> Terms {
    let n = columns.expected.len();
    Terms { base: columns.expected.clone(), correction: vec![0.0; n], norm: None }
}

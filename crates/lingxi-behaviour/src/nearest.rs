//! What lies nearest in frozen text: the plain answer for goods that nobody took, and the bar for every better one.
//!
//! Shapes: `n` items, text vectors turned to length one, `Z [n, d]`; `score(x, j) = sum_i x_i z_i . z_j`, the mean cosine to the
//! weighed history. Nothing is learned. Cost a request: `d` multiplications an item.

use crate::error::{Result, same_length};
use crate::graph::fold_in::{FoldIn, Links, Tables, Voice};
use crate::history::HistoryWeights;
use lingxi_data::{Events, ItemVectors};
use lingxi_kernels::dot;

/// Turns the vectors to length one; `events` only say what the mean best score is.
///
/// # Errors
/// [`crate::BehaviourError::Config`] for history weights out of range; [`crate::BehaviourError::Input`] if the vectors are of another
/// catalogue.
pub fn fit(history: &HistoryWeights, events: &Events<'_>, vectors: &ItemVectors) -> Result<FoldIn> {
    history.validate()?;
    same_length("nearest text: item vectors", events.n_items(), vectors.len())?;
    let dim = vectors.dim();
    let mut unit = vectors.data().to_vec();
    for row in unit.chunks_mut(dim.max(1)) {
        let length = dot(row, row).sqrt();
        row.iter_mut().for_each(|x| *x = if length > 0.0 { *x / length } else { 0.0 });
    }
    let tables = Tables { dim, from: unit.clone(), to: unit };
    Ok(FoldIn::new(Voice::Nearest, history, Links::default(), tables, events))
}

//! What the goods mean: one vector per item, with where it came from.

use crate::{DataError, ItemId, Result};
use serde::{Deserialize, Serialize};

/// Where vectors came from. Vectors of two provenances live in two spaces, so mixing them is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Model name, e.g. `all-MiniLM-L6-v2`.
    pub model: String,
    /// Fingerprint of the weights.
    pub revision: String,
    /// How token vectors became one vector, e.g. `mean`.
    pub pooling: String,
    /// Whether each vector has length 1.
    pub normalised: bool,
}

/// Row-major f32 `[items, dim]`; an item without text is absent and its row is zero.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemVectors {
    dim: usize,
    data: Vec<f32>,
    present: Vec<bool>,
    provenance: Provenance,
}

impl ItemVectors {
    /// Wraps `data` of shape `[present.len(), dim]`.
    ///
    /// # Errors
    /// [`DataError::Shape`] if the shape does not fit or a number is not finite.
    pub fn new(dim: usize, data: Vec<f32>, present: Vec<bool>, provenance: Provenance) -> Result<ItemVectors> {
        if dim == 0 || data.len() != present.len() * dim {
            return Err(DataError::Shape {
                what: "item vectors",
                expected: format!("{} x {dim} numbers", present.len()),
                got: data.len().to_string(),
            });
        }
        if let Some(at) = data.iter().position(|x| !x.is_finite()) {
            return Err(DataError::Shape {
                what: "item vectors",
                expected: "finite numbers".into(),
                got: format!("{} in row {}", data[at], at / dim),
            });
        }
        Ok(ItemVectors { dim, data, present, provenance })
    }

    /// Length of one vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// All rows, `[items, dim]`.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Which items have a vector.
    pub fn present(&self) -> &[bool] {
        &self.present
    }

    /// The vector of one item, if it has one.
    pub fn get(&self, item: ItemId) -> Option<&[f32]> {
        let i = item.index();
        self.present.get(i).filter(|p| **p).map(|_| &self.data[i * self.dim..(i + 1) * self.dim])
    }

    /// Where the vectors came from.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Checks that vectors of `other` live in the same space.
    ///
    /// # Errors
    /// [`DataError::MixedProvenance`] names both.
    pub fn same_space(&self, other: &Provenance) -> Result<()> {
        if &self.provenance == other {
            return Ok(());
        }
        Err(DataError::MixedProvenance { left: Box::new(self.provenance.clone()), right: Box::new(other.clone()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance(model: &str) -> Provenance {
        Provenance { model: model.into(), revision: "1".into(), pooling: "mean".into(), normalised: true }
    }

    #[test]
    fn vectors_of_two_models_do_not_mix() {
        let v = ItemVectors::new(2, vec![1.0, 0.0], vec![true], provenance("a")).unwrap();
        assert!(v.same_space(&provenance("a")).is_ok());
        assert!(v.same_space(&provenance("b")).unwrap_err().to_string().contains('b'));
    }

    #[test]
    fn a_number_that_is_not_finite_is_refused_with_its_row() {
        let err = ItemVectors::new(1, vec![1.0, f32::NAN], vec![true, true], provenance("a")).unwrap_err();
        assert!(err.to_string().contains("row 1"));
    }
}

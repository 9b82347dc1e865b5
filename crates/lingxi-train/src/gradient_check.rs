//! Does a hand-written backward agree with the forward? Compares a gradient with central differences.
//!
//! Each check moves the parameters along a direction `d` of length one and compares `g . d` with
//! `(f(w + e d) - f(w - e d)) / 2e`. Directions are single coordinates (they name what is wrong) and random mixtures (they
//! see every parameter, and their differences stand out from the rounding of f32).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A direction in which gradient and differences disagree.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// The coordinate, or `None` for a random mixture.
    pub coordinate: Option<usize>,
    /// What the differences say.
    pub expected: f64,
    /// What the gradient says.
    pub got: f64,
}

/// Checks `gradient` of `loss` at `parameters` along `directions` random mixtures and `directions` random coordinates, with
/// steps of length `step`. Two slopes agree if they differ by at most `tolerance` times the larger one plus
/// `tolerance / 100` times the length of the gradient.
///
/// # Errors
/// The worst [`Disagreement`].
///
/// # Panics
/// If the gradient has another length than the parameters.
pub fn gradient_check(
    parameters: &[f32],
    gradient: &[f32],
    step: f32,
    tolerance: f64,
    directions: usize,
    seed: u64,
    mut loss: impl FnMut(&[f32]) -> f64,
) -> Result<(), Disagreement> {
    assert_eq!(parameters.len(), gradient.len(), "gradient_check: gradient is not of the parameters");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let length = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
    let mut worst: Option<(f64, Disagreement)> = None;
    for check in 0..2 * directions {
        let coordinate = (check % 2 == 1).then(|| rng.random_range(0..parameters.len()));
        let direction = direction(coordinate, parameters.len(), &mut rng);
        let mut at = |sign: f32| {
            let moved: Vec<f32> = parameters.iter().zip(&direction).map(|(w, d)| w + sign * step * d).collect();
            loss(&moved)
        };
        let expected = (at(1.0) - at(-1.0)) / (2.0 * f64::from(step));
        let got: f64 = gradient.iter().zip(&direction).map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
        let allowed = tolerance * expected.abs().max(got.abs()) + tolerance / 100.0 * length;
        let excess = (expected - got).abs() / allowed.max(f64::MIN_POSITIVE);
        let excess = if excess.is_nan() { f64::INFINITY } else { excess };
        if excess > 1.0 && worst.as_ref().is_none_or(|(w, _)| excess > *w) {
            worst = Some((excess, Disagreement { coordinate, expected, got }));
        }
    }
    worst.map_or(Ok(()), |(_, disagreement)| Err(disagreement))
}

/// One coordinate, or a random mixture of all, of length one.
fn direction(coordinate: Option<usize>, n: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    if let Some(coordinate) = coordinate {
        return (0..n).map(|i| if i == coordinate { 1.0 } else { 0.0 }).collect();
    }
    let mixture: Vec<f32> = (0..n).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    let length = mixture.iter().map(|x| x * x).sum::<f32>().sqrt();
    mixture.iter().map(|x| x / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(w: &[f32]) -> f64 {
        f64::from(w[0]).powi(2) * 3.0 + f64::from(w[1]) * f64::from(w[2])
    }

    #[test]
    fn a_right_gradient_passes_and_a_wrong_coordinate_is_found() {
        let w = [0.5f32, -1.0, 2.0];
        let mut gradient = [3.0f32, 2.0, -1.0];
        assert_eq!(gradient_check(&w, &gradient, 1e-2, 1e-3, 20, 1, loss), Ok(()));
        gradient[2] = 1.0;
        let found = gradient_check(&w, &gradient, 1e-2, 1e-3, 20, 1, loss).unwrap_err();
        assert!(found.coordinate.is_none_or(|c| c == 2), "{found:?}");
        assert!(gradient_check(&w, &[f32::NAN; 3], 1e-2, 1e-3, 5, 1, loss).is_err());
    }
}

//! Numbers on one scale: z-scores of numeric columns, price buckets by quantile.

use crate::Catalog;
use crate::catalog::Attribute;
use serde::{Deserialize, Serialize};

/// A numeric column with mean 0 and variance 1 over the rows that have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standardised {
    /// Name of the column.
    pub name: String,
    /// Mean before.
    pub mean: f64,
    /// Standard deviation before (of the population).
    pub std: f64,
    /// One z-score per row; `NaN` where the source has none.
    pub z: Vec<f32>,
}

impl Standardised {
    /// Standardises `values`, `NaN` being missing; `None` if they do not vary.
    pub fn of(name: &str, values: &[f32]) -> Option<Standardised> {
        let known = || values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v));
        let n = known().count() as f64;
        let mean = known().sum::<f64>() / n;
        let std = (known().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        if !std.is_finite() || std <= 0.0 {
            return None;
        }
        let z = values.iter().map(|v| ((f64::from(*v) - mean) / std) as f32).collect();
        Some(Standardised { name: name.into(), mean, std, z })
    }

    /// Standardises an attribute whose values, as far as they are there, are all numbers.
    pub fn of_attribute(attribute: &Attribute) -> Option<Standardised> {
        let mut numbers = Vec::with_capacity(attribute.values.len());
        for value in &attribute.values {
            match value.as_str() {
                "" => numbers.push(f32::NAN),
                text => numbers.push(text.parse().ok().filter(|x: &f32| x.is_finite())?),
            }
        }
        Standardised::of(&attribute.name, &numbers)
    }
}

/// Numeric columns of the catalogue: the price and every attribute that is a number.
pub(crate) fn of_catalog(catalog: &Catalog) -> Vec<Standardised> {
    let price = Standardised::of("price", &catalog.price);
    price.into_iter().chain(catalog.attributes.iter().filter_map(Standardised::of_attribute)).collect()
}

/// Cuts known prices into `buckets` by quantile: equal prices share a bucket, so cheap goods of one price may leave
/// buckets empty.
pub(crate) fn price_buckets(prices: &[f32], buckets: u8) -> Vec<Option<u8>> {
    let mut sorted: Vec<f32> = prices.iter().copied().filter(|p| p.is_finite()).collect();
    sorted.sort_by(f32::total_cmp);
    let n = sorted.len();
    let bucket = |price: f32| (sorted.partition_point(|p| *p < price) * buckets as usize / n) as u8;
    prices.iter().map(|&p| p.is_finite().then(|| bucket(p))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_attribute_is_standardised_only_if_all_its_values_are_numbers() {
        let attribute =
            |values: &[&str]| Attribute { name: "a".into(), values: values.iter().map(|s| s.to_string()).collect() };
        let s = Standardised::of_attribute(&attribute(&["1", "", "3"])).unwrap();
        assert_eq!((s.mean, s.std), (2.0, 1.0));
        assert!(s.z[0] == -1.0 && s.z[1].is_nan() && s.z[2] == 1.0);
        assert!(Standardised::of_attribute(&attribute(&["1", "two"])).is_none());
        assert!(Standardised::of_attribute(&attribute(&["1", "1"])).is_none());
        assert!(Standardised::of_attribute(&attribute(&[])).is_none());
    }

    proptest! {
        #[test]
        fn a_dearer_item_is_never_in_a_cheaper_bucket(prices in prop::collection::vec(0f32..100.0, 1..50), k in 1u8..12) {
            let buckets = price_buckets(&prices, k);
            for (p, b) in prices.iter().zip(&buckets) {
                prop_assert!(b.unwrap() < k);
                for (q, c) in prices.iter().zip(&buckets) {
                    prop_assert!(p > q || b <= c);
                }
            }
        }
    }
}

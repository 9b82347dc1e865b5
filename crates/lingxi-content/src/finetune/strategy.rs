//! Which parameters are trained? All of them, a few, or small ones that are added while the others stay.

use serde::{Deserialize, Serialize};

/// What is trained besides the head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Strategy {
    /// Everything.
    Full,
    /// Nothing: the head alone.
    Head,
    /// The last so many layers.
    Top(usize),
    /// Products of low rank beside some matrices (Hu et al. 2021, arXiv 2106.09685).
    Lora(Lora),
    /// Two narrow layers after each half of a layer, and the layer norms (Houlsby et al. 2019, arXiv 1902.00751).
    Adapters {
        /// Numbers between the two.
        width: usize,
    },
    /// Keys and values before each text, one set a layer (Li and Liang 2021, arXiv 2101.00190).
    Prefix {
        /// How many.
        length: usize,
    },
}

/// Beside which matrices, and how wide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lora {
    /// Rank of the added product; default 8.
    pub rank: usize,
    /// The product is multiplied by `alpha / rank`; default 16.
    pub alpha: f32,
    /// Default query and value.
    pub on: Vec<Matrix>,
}

impl Default for Lora {
    fn default() -> Self {
        Lora { rank: 8, alpha: 16.0, on: vec![Matrix::Query, Matrix::Value] }
    }
}

/// A matrix of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matrix {
    /// What a token looks for.
    Query,
    /// What it is found by.
    Key,
    /// What it says.
    Value,
    /// From heads to token.
    Out,
    /// Into the feed-forward part.
    Up,
    /// Out of it.
    Down,
}

impl Strategy {
    /// The field that is out of its range for a network of `layers`, with what was expected and what came.
    pub fn wrong(&self, layers: usize, hidden: usize) -> Option<(&'static str, String, String)> {
        let range = |field, most: usize, got: usize| {
            (!(1..=most).contains(&got)).then(|| (field, format!("1 to {most}"), got.to_string()))
        };
        match self {
            Strategy::Full | Strategy::Head => None,
            Strategy::Top(n) => range("strategy.top", layers, *n),
            Strategy::Adapters { width } => range("strategy.adapters.width", hidden, *width),
            Strategy::Prefix { length } => range("strategy.prefix.length", 128, *length),
            Strategy::Lora(lora) => range("strategy.lora.rank", hidden, lora.rank).or_else(|| {
                let said = |field, expected: &str, got: String| Some((field, expected.to_owned(), got));
                match lora {
                    Lora { alpha, .. } if !(alpha.is_finite() && *alpha > 0.0) => {
                        said("strategy.lora.alpha", "a positive number", alpha.to_string())
                    }
                    Lora { on, .. } if on.is_empty() => said("strategy.lora.on", "at least one matrix", "none".into()),
                    _ => None,
                }
            }),
        }
    }

    /// As people write it.
    pub fn name(&self) -> &'static str {
        match self {
            Strategy::Full => "full",
            Strategy::Head => "head",
            Strategy::Top(_) => "top layers",
            Strategy::Lora(_) => "LoRA",
            Strategy::Adapters { .. } => "adapters",
            Strategy::Prefix { .. } => "prefix",
        }
    }

    /// Whether what is trained can be added into the matrices that the encoder has anyway.
    pub fn merges(&self) -> bool {
        !matches!(self, Strategy::Adapters { .. } | Strategy::Prefix { .. })
    }
}

//! What tells the kin of BERT apart: where positions begin, how tensors are called, what distance does.

use lingxi_kernels::Distances;
use serde::Deserialize;

/// `model_type` of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Family {
    /// BERT and what is shaped like it.
    #[serde(rename = "bert")]
    Bert,
    /// RoBERTa, CamemBERT and, with its multilingual vocabulary, XLM-R.
    #[serde(rename = "roberta", alias = "xlm-roberta", alias = "camembert")]
    Roberta,
    /// MPNet.
    #[serde(rename = "mpnet")]
    Mpnet,
}

/// Where the tensors of a layer are, below `encoder.layer.N`.
pub struct Names {
    /// Query, key, value.
    pub qkv: [&'static str; 3],
    /// From heads to token.
    pub out: &'static str,
    /// After attention.
    pub norm: &'static str,
}

impl Family {
    /// What `model_type` may be.
    pub const MODEL_TYPES: &'static str =
        "bert, roberta, xlm-roberta, camembert or mpnet (modernbert and qwen3 in a program with the feature candle)";

    /// The family of a `model_type`.
    pub fn of(model_type: &str) -> Option<Family> {
        match model_type {
            "bert" => Some(Family::Bert),
            "roberta" | "xlm-roberta" | "camembert" => Some(Family::Roberta),
            "mpnet" => Some(Family::Mpnet),
            _ => None,
        }
    }

    /// What all names begin with in a file that was saved with a head.
    pub fn prefix(self) -> &'static str {
        match self {
            Family::Bert => "bert.",
            Family::Roberta => "roberta.",
            Family::Mpnet => "mpnet.",
        }
    }

    /// Whether a token's segment has a vector.
    pub fn has_types(self) -> bool {
        self != Family::Mpnet
    }

    /// The row of the first token in the table of positions, if `padding` is the id of padding: RoBERTa counts on from it,
    /// and MPNet has it fixed at 1.
    pub fn first_position(self, padding: usize) -> usize {
        match self {
            Family::Bert => 0,
            Family::Roberta => padding + 1,
            Family::Mpnet => 2,
        }
    }

    /// Names of a layer's tensors.
    pub fn names(self) -> Names {
        match self {
            Family::Mpnet => Names {
                qkv: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
                out: "attention.attn.o",
                norm: "attention.LayerNorm",
            },
            _ => Names {
                qkv: ["attention.self.query", "attention.self.key", "attention.self.value"],
                out: "attention.output.dense",
                norm: "attention.output.LayerNorm",
            },
        }
    }

    /// The bias of each distance from that of its bucket, `buckets[n, heads]`, for texts of at most `reach + 1` tokens.
    pub fn distances(self, buckets: &[f32], heads: usize, reach: usize) -> Distances {
        let n = buckets.len() / heads;
        let all = -(reach as i64)..=reach as i64;
        let table =
            (0..heads).flat_map(|head| all.clone().map(move |d| buckets[bucket(d, n) * heads + head])).collect();
        Distances { table, reach }
    }
}

/// The buckets of T5, half of them for each direction: near distances have one each, far ones share, from 128 on all the last.
fn bucket(distance: i64, buckets: usize) -> usize {
    let half = buckets / 2;
    let (side, away) = (if distance > 0 { half } else { 0 }, distance.unsigned_abs() as usize);
    let near = half / 2;
    if away < near {
        return side + away;
    }
    let share = (away as f32 / near as f32).ln() / (128.0 / near as f32).ln();
    side + (near + (share * (half - near) as f32) as usize).min(half - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_t5() {
        // By transformers' MPNetEncoder.relative_position_bucket with 32 buckets.
        let distances = [0, -1, 1, -7, 7, -8, 8, -15, 16, -31, 32, -64, 127, -128, 500];
        let expected = [0, 1, 17, 7, 23, 8, 24, 9, 26, 11, 28, 14, 31, 15, 31];
        assert_eq!(distances.map(|d| bucket(d, 32)), expected);
    }
}

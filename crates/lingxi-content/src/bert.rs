//! BERT (Devlin et al. 2019, <https://arxiv.org/abs/1810.04805>) and its kin, post-norm, on packed sequences: RoBERTa and
//! XLM-R (Liu et al. 2019, <https://arxiv.org/abs/1907.11692>), MPNet (Song et al. 2020, <https://arxiv.org/abs/2004.09297>).
//!
//! Token ids of many texts come in one after the other, without padding; one vector per token goes out. With `T` tokens
//! in all, `h` the width, `f` the width of the feed-forward part:
//!
//! ```text
//! x [T,h] = norm(word[id] + position[p] + type[0])
//! per layer:
//!   qkv [T,3h] = x Wqkv' + b           one product instead of three
//!   x   [T,h]  = norm(x + attention(qkv) Wo' + b)
//!   up  [T,f]  = gelu(x Wup' + b)
//!   x   [T,h]  = norm(x + up Wdown' + b)
//! ```
//!
//! The kin differ in where positions begin, in the names of tensors, and MPNet in having no types but a bias for the distance of
//! two tokens. Sums, norms, softmax and the residual `x` are f32; what goes into a product is rounded to the precision that
//! was asked for, and attention is bf16 unless that is f32. A pass works on one thread.
//!
//! Written on `lingxi-kernels` and not on candle, which adds minutes to the build and, with its padding and many
//! temporary tensors, reached 0.4 of onnxruntime's speed here.

use crate::error::Result;
use crate::family::Family;
use crate::folder::{Config, OpenWeights};
use lingxi_kernels::{
    Distances, Mask, Packed as Matrix, Precision, Rows, Scratch, Target, add_bias, attend, layer_norm_here,
};

/// The network.
pub struct Bert {
    config: Config,
    precision: Precision,
    /// `[vocab,h]`
    words: Vec<f32>,
    /// `[positions,h]` from the first that a text uses, the vector of segment 0 already added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    /// What MPNet adds to scores.
    distances: Option<Distances>,
}

struct Layer {
    /// `[3h,h]`
    qkv: Linear,
    /// `[h,h]`
    out: Linear,
    norm: Norm,
    /// `[f,h]`
    up: Linear,
    /// `[h,f]`
    down: Linear,
    last_norm: Norm,
}

struct Linear {
    weight: Matrix,
    bias: Vec<f32>,
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// Texts one after the other.
#[derive(Default)]
pub struct Packed {
    /// Token ids, below the vocabulary's size.
    pub ids: Vec<u32>,
    /// Text `s` is `ids[offsets[s]..offsets[s+1]]`.
    pub offsets: Vec<usize>,
}

/// Buffers that one pass leaves to the next.
#[derive(Default)]
pub struct Buffers {
    x: Vec<f32>,
    rounded: Rows,
    qkv: Rows,
    context: Rows,
    up: Rows,
    scratch: Scratch,
}

impl Bert {
    /// Takes the weights that the configuration asks for and packs them.
    ///
    /// # Errors
    /// Names the first tensor that is missing or of another shape.
    pub fn new(config: Config, weights: &OpenWeights<'_>, precision: Precision) -> Result<Bert> {
        let (family, h) = (config.family, config.hidden_size);
        let words = weights.take("embeddings.word_embeddings.weight", &[config.vocab_size, h])?;
        let positions = weights.take("embeddings.position_embeddings.weight", &[config.max_position_embeddings, h])?;
        let mut positions = positions[config.first_position() * h..].to_vec();
        if family.has_types() {
            let types = weights.take("embeddings.token_type_embeddings.weight", &[config.type_vocab_size, h])?;
            add_bias(&mut positions, &types[..h]);
        }
        let norm = take_norm(weights, "embeddings.LayerNorm", h)?;
        let take = |layer| take_layer(weights, layer, &config, precision);
        let layers = (0..config.num_hidden_layers).map(take).collect::<Result<_>>()?;
        let distances = match family {
            Family::Mpnet => Some(family.distances(
                &weights.take(
                    "encoder.relative_attention_bias.weight",
                    &[config.relative_attention_num_buckets, config.num_attention_heads],
                )?,
                config.num_attention_heads,
                config.max_position_embeddings,
            )),
            _ => None,
        };
        Ok(Bert { config, precision, words, positions, norm, layers, distances })
    }

    /// Width of a token vector.
    pub fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// What the packed matrices take in memory.
    pub fn bytes(&self) -> usize {
        let of = |layer: &Layer| {
            [&layer.qkv, &layer.out, &layer.up, &layer.down].iter().map(|l| l.weight.bytes()).sum::<usize>()
        };
        self.layers.iter().map(of).sum()
    }

    /// One vector per token, `[tokens, h]`, inside `buffers`.
    ///
    /// # Panics
    /// If a token id or a text's length is beyond the configuration.
    pub fn forward<'b>(&self, batch: &Packed, buffers: &'b mut Buffers) -> &'b [f32] {
        let (tokens, h) = (batch.ids.len(), self.config.hidden_size);
        let (epsilon, heads) = (self.config.layer_norm_eps, self.config.num_attention_heads);
        let attention = self.attention();
        let Buffers { x, rounded, qkv, context, up, scratch } = buffers;
        x.resize(tokens * h, 0.0);
        self.embed(batch, x);
        layer_norm_here(x, &self.norm.weight, &self.norm.bias, epsilon);
        for layer in &self.layers {
            rounded.fill(x, h, self.precision);
            layer.qkv.apply(rounded, false, Target::Round(qkv, attention));
            attend(qkv, &batch.offsets, heads, Mask::Full, self.distances.as_ref(), context, scratch);
            // Attention leaves bf16 where the product takes bytes.
            let context =
                if attention == self.precision { &*context } else { rounded.convert(context, self.precision) };
            layer.out.apply(context, false, Target::Add(x));
            layer_norm_here(x, &layer.norm.weight, &layer.norm.bias, epsilon);
            rounded.fill(x, h, self.precision);
            layer.up.apply(rounded, true, Target::Round(up, self.precision));
            layer.down.apply(up, false, Target::Add(x));
            layer_norm_here(x, &layer.last_norm.weight, &layer.last_norm.bias, epsilon);
        }
        x
    }

    /// In which numbers tokens look at each other; a head of odd width has no pairs.
    fn attention(&self) -> Precision {
        let even = (self.config.hidden_size / self.config.num_attention_heads).is_multiple_of(2);
        if self.precision != Precision::F32 && even { Precision::Bf16 } else { Precision::F32 }
    }

    /// Word plus position vectors of every token into `x[tokens,h]`.
    fn embed(&self, batch: &Packed, x: &mut [f32]) {
        let h = self.config.hidden_size;
        for window in batch.offsets.windows(2) {
            for (position, token) in (window[0]..window[1]).enumerate() {
                let word = batch.ids[token] as usize;
                let word = &self.words[word * h..(word + 1) * h];
                let place = &self.positions[position * h..(position + 1) * h];
                for ((x, w), p) in x[token * h..(token + 1) * h].iter_mut().zip(word).zip(place) {
                    *x = w + p;
                }
            }
        }
    }
}

impl Linear {
    fn apply(&self, x: &Rows, gelu: bool, target: Target<'_>) {
        self.weight.product(x, &self.bias, gelu, target);
    }
}

fn take_layer(weights: &OpenWeights<'_>, layer: usize, config: &Config, precision: Precision) -> Result<Layer> {
    let (h, f) = (config.hidden_size, config.intermediate_size);
    let names = config.family.names();
    let name = |part: &str| format!("encoder.layer.{layer}.{part}");
    let linear = |part: &str, out, input| take_linear(weights, &[name(part)], out, input, precision);
    Ok(Layer {
        qkv: take_linear(weights, &names.qkv.map(name), h, h, precision)?,
        out: linear(names.out, h, h)?,
        norm: take_norm(weights, &name(names.norm), h)?,
        up: linear("intermediate.dense", f, h)?,
        down: linear("output.dense", h, f)?,
        last_norm: take_norm(weights, &name("output.LayerNorm"), h)?,
    })
}

/// One matrix of all parts, one below the other.
fn take_linear(
    weights: &OpenWeights<'_>,
    parts: &[String],
    out: usize,
    input: usize,
    precision: Precision,
) -> Result<Linear> {
    let (mut weight, mut bias) = (Vec::new(), Vec::new());
    for part in parts {
        weight.extend(weights.take(&format!("{part}.weight"), &[out, input])?);
        bias.extend(weights.take(&format!("{part}.bias"), &[out])?);
    }
    Ok(Linear { weight: Matrix::new(&weight, parts.len() * out, input, precision), bias })
}

fn take_norm(weights: &OpenWeights<'_>, name: &str, h: usize) -> Result<Norm> {
    Ok(Norm {
        weight: weights.take(&format!("{name}.weight"), &[h])?,
        bias: weights.take(&format!("{name}.bias"), &[h])?,
    })
}

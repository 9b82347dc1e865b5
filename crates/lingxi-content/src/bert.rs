//! BERT (Devlin et al. 2019, <https://arxiv.org/abs/1810.04805>), post-norm, in f32, on packed sequences.
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
//! Written on `lingxi-kernels` and not on candle, which adds minutes to the build and, with its padding and many
//! temporary tensors, reached 0.4 of onnxruntime's speed here.

use crate::error::Result;
use crate::folder::{Config, OpenWeights};
use lingxi_kernels::{Mask, add_bias, attention, bias_gelu, layer_norm_rows, matmul_nt, matmul_nt_add};

/// The network.
pub struct Bert {
    config: Config,
    /// `[vocab,h]`
    words: Vec<f32>,
    /// `[positions,h]`, the vector of segment 0 already added.
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
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
    weight: Vec<f32>,
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
    qkv: Vec<f32>,
    context: Vec<f32>,
    up: Vec<f32>,
}

impl Bert {
    /// Takes the weights that the configuration asks for.
    ///
    /// # Errors
    /// Names the first tensor that is missing or of another shape.
    pub fn new(config: Config, weights: &OpenWeights<'_>) -> Result<Bert> {
        let h = config.hidden_size;
        let words = weights.take("embeddings.word_embeddings.weight", &[config.vocab_size, h])?;
        let mut positions =
            weights.take("embeddings.position_embeddings.weight", &[config.max_position_embeddings, h])?;
        let segments = weights.take("embeddings.token_type_embeddings.weight", &[config.type_vocab_size, h])?;
        add_bias(&mut positions, &segments[..h]);
        let norm = take_norm(weights, "embeddings.LayerNorm", h)?;
        let layers = (0..config.num_hidden_layers).map(|l| take_layer(weights, l, &config)).collect::<Result<_>>()?;
        Ok(Bert { config, words, positions, norm, layers })
    }

    /// Width of a token vector.
    pub fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// One vector per token, `[tokens, h]`, inside `buffers`.
    ///
    /// # Panics
    /// If a token id or a text's length is beyond the configuration.
    pub fn forward<'b>(&self, batch: &Packed, buffers: &'b mut Buffers) -> &'b [f32] {
        let (tokens, h, f) = (batch.ids.len(), self.config.hidden_size, self.config.intermediate_size);
        let epsilon = self.config.layer_norm_eps;
        let Buffers { x, qkv, context, up } = buffers;
        x.resize(tokens * h, 0.0);
        qkv.resize(tokens * 3 * h, 0.0);
        context.resize(tokens * h, 0.0);
        up.resize(tokens * f, 0.0);
        self.embed(batch, x);
        layer_norm_rows(x, &self.norm.weight, &self.norm.bias, epsilon);
        for layer in &self.layers {
            matmul_nt(x, &layer.qkv.weight, qkv, tokens, 3 * h, h);
            add_bias(qkv, &layer.qkv.bias);
            attention(qkv, &batch.offsets, self.config.num_attention_heads, Mask::Full, context);
            matmul_nt_add(context, &layer.out.weight, x, tokens, h, h);
            add_bias(x, &layer.out.bias);
            layer_norm_rows(x, &layer.norm.weight, &layer.norm.bias, epsilon);
            matmul_nt(x, &layer.up.weight, up, tokens, f, h);
            bias_gelu(up, &layer.up.bias);
            matmul_nt_add(up, &layer.down.weight, x, tokens, h, f);
            add_bias(x, &layer.down.bias);
            layer_norm_rows(x, &layer.last_norm.weight, &layer.last_norm.bias, epsilon);
        }
        x
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

fn take_layer(weights: &OpenWeights<'_>, layer: usize, config: &Config) -> Result<Layer> {
    let (h, f) = (config.hidden_size, config.intermediate_size);
    let name = |part: &str| format!("encoder.layer.{layer}.{part}");
    let mut qkv = Linear { weight: Vec::with_capacity(3 * h * h), bias: Vec::with_capacity(3 * h) };
    for part in ["query", "key", "value"] {
        let one = take_linear(weights, &name(&format!("attention.self.{part}")), h, h)?;
        qkv.weight.extend(one.weight);
        qkv.bias.extend(one.bias);
    }
    Ok(Layer {
        qkv,
        out: take_linear(weights, &name("attention.output.dense"), h, h)?,
        norm: take_norm(weights, &name("attention.output.LayerNorm"), h)?,
        up: take_linear(weights, &name("intermediate.dense"), f, h)?,
        down: take_linear(weights, &name("output.dense"), h, f)?,
        last_norm: take_norm(weights, &name("output.LayerNorm"), h)?,
    })
}

fn take_linear(weights: &OpenWeights<'_>, name: &str, out: usize, input: usize) -> Result<Linear> {
    Ok(Linear {
        weight: weights.take(&format!("{name}.weight"), &[out, input])?,
        bias: weights.take(&format!("{name}.bias"), &[out])?,
    })
}

fn take_norm(weights: &OpenWeights<'_>, name: &str, h: usize) -> Result<Norm> {
    Ok(Norm {
        weight: weights.take(&format!("{name}.weight"), &[h])?,
        bias: weights.take(&format!("{name}.bias"), &[h])?,
    })
}

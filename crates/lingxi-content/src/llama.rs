//! Llama (Touvron et al. 2023, <https://arxiv.org/abs/2302.13971>), the network of SmolLM2: pre-norm, rotated positions, heads that
//! share keys and values, a gated feed-forward part.
//!
//! Token ids come in, one vector per token goes out, from which the next token is foretold. With `T` tokens, `h` the width, `f` that
//! of the feed-forward part, `H` heads of width `d` and `G` of keys and values:
//!
//! ```text
//! x [T,h] = word[id]
//! per layer:
//!   q [T,H,d], k, v [T,G,d] = rms(x) Wqkv'         one product instead of three; q and k rotated by position
//!   x [T,h] += attention(q, past and own k, v) Wo'
//!   x [T,h] += (silu(g) * u) Wdown'    g, u [T,f] = rms(x) Wgate,up'
//! logits [T,vocab] = rms(x) Wout'
//! ```
//!
//! Several continuations of one past are computed in one pass: each sees the past and itself. Matrices are in Q8_0, what goes into
//! a product is rounded to bytes by blocks; all else is f32.

mod attend;
mod past;

pub use past::Past;

use crate::error::{ContentError, Result};
use crate::gguf::Gguf;
use lingxi_kernels::{BlockRows, Blocks, rms_norm, rotate, swiglu};

/// Tokens that go through the network in one pass: enough for full speed of the products.
const PASS: usize = 256;

/// Sizes, as the file says.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Known tokens.
    pub vocabulary: usize,
    /// Width of a token vector.
    pub width: usize,
    /// Width inside the feed-forward part.
    pub inner: usize,
    /// Layers.
    pub layers: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Heads of keys and values, each shared by some of the others.
    pub groups: usize,
    /// Longest text.
    pub context: usize,
    /// Added to the mean square by the norms.
    pub epsilon: f32,
    /// Base of the angles of positions.
    pub base: f32,
}

/// The network.
pub struct Llama {
    sizes: Sizes,
    /// `[vocab,h]`
    words: Blocks,
    layers: Vec<Layer>,
    norm: Vec<f32>,
    /// `[vocab,h]`, if it is not that of the words.
    out: Option<Blocks>,
    /// `[d/2]`: the angle between two positions, of each pair.
    angles: Vec<f32>,
}

struct Layer {
    norm: Vec<f32>,
    /// `[(H+2G)d,h]`
    qkv: Blocks,
    /// `[h,h]`
    out: Blocks,
    inner_norm: Vec<f32>,
    /// `[2f,h]`
    gate_up: Blocks,
    /// `[h,f]`
    down: Blocks,
}

impl Sizes {
    fn of(file: &Gguf) -> Result<Sizes> {
        let wrong = |key: &str, expected: String, got: String| {
            ContentError::file(file.path(), format!("{key}: {expected}"), got)
        };
        match file.text("general.architecture")? {
            "llama" => {}
            other => return Err(wrong("general.architecture", "llama".into(), other.into())),
        }
        let size = |key: &str| file.whole(&format!("llama.{key}"), 1, 1 << 20);
        let sizes = Sizes {
            vocabulary: file.rows("token_embd.weight"),
            width: size("embedding_length")?,
            inner: size("feed_forward_length")?,
            layers: size("block_count")?,
            heads: size("attention.head_count")?,
            groups: size("attention.head_count_kv")?,
            context: size("context_length")?,
            epsilon: file.above_zero("llama.attention.layer_norm_rms_epsilon")?,
            base: file.above_zero("llama.rope.freq_base")?,
        };
        let blocks = [("embedding_length", sizes.width), ("feed_forward_length", sizes.inner)];
        if let Some((key, got)) = blocks.into_iter().find(|(_, n)| !n.is_multiple_of(lingxi_kernels::blocks::BLOCK)) {
            return Err(wrong(&format!("llama.{key}"), "a multiple of 32".into(), got.to_string()));
        }
        if !sizes.width.is_multiple_of(2 * sizes.heads) || !sizes.heads.is_multiple_of(sizes.groups) {
            let expected = format!("heads of even width out of {}, each serving as many", sizes.width);
            return Err(wrong("llama.attention.head_count", expected, format!("{} and {}", sizes.heads, sizes.groups)));
        }
        let d = sizes.width / sizes.heads;
        if file.has("llama.rope.dimension_count") {
            file.whole("llama.rope.dimension_count", d, d)?;
        }
        match ["llama.rope.scaling.type", "llama.expert_count", "llama.attention.key_length"]
            .iter()
            .find(|key| file.has(key))
        {
            Some(key) => Err(wrong(key, "no such setting: it is not implemented".into(), "one".into())),
            None => Ok(sizes),
        }
    }

    /// Width of a head.
    fn head(&self) -> usize {
        self.width / self.heads
    }
}

impl Llama {
    /// Takes the weights of a file in Q8_0 and packs them.
    ///
    /// # Errors
    /// Names the setting or tensor that is missing or does not fit.
    pub fn of(file: &Gguf) -> Result<Llama> {
        let sizes = Sizes::of(file)?;
        let (h, f, kv) = (sizes.width, sizes.inner, sizes.groups * sizes.head());
        let matrix = |parts: &[(String, usize)], k: usize| -> Result<Blocks> {
            let parts = parts.iter().map(|(name, n)| file.q8(name, &[*n, k])).collect::<Result<Vec<_>>>()?;
            Ok(Blocks::new(&parts, k))
        };
        let layer = |at: usize| {
            let name = |part: &str| format!("blk.{at}.{part}.weight");
            Ok(Layer {
                norm: file.floats(&name("attn_norm"), &[h])?,
                qkv: matrix(&[(name("attn_q"), h), (name("attn_k"), kv), (name("attn_v"), kv)], h)?,
                out: matrix(&[(name("attn_output"), h)], h)?,
                inner_norm: file.floats(&name("ffn_norm"), &[h])?,
                gate_up: matrix(&[(name("ffn_gate"), f), (name("ffn_up"), f)], h)?,
                down: matrix(&[(name("ffn_down"), h)], f)?,
            })
        };
        let apart = file.rows("output.weight") > 0;
        let d = sizes.head();
        Ok(Llama {
            words: matrix(&[("token_embd.weight".into(), sizes.vocabulary)], h)?,
            layers: (0..sizes.layers).map(layer).collect::<Result<_>>()?,
            norm: file.floats("output_norm.weight", &[h])?,
            out: apart.then(|| matrix(&[("output.weight".into(), sizes.vocabulary)], h)).transpose()?,
            angles: (0..d / 2).map(|i| sizes.base.powf(-2.0 * i as f32 / d as f32)).collect(),
            sizes,
        })
    }

    /// Sizes of the network.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// What the packed matrices take in memory.
    pub fn bytes(&self) -> usize {
        let of = |l: &Layer| [&l.qkv, &l.out, &l.gate_up, &l.down].map(Blocks::bytes).iter().sum::<usize>();
        self.layers.iter().map(of).sum::<usize>() + self.words.bytes() + self.out.as_ref().map_or(0, Blocks::bytes)
    }

    /// An empty past.
    pub fn past(&self) -> Past {
        Past::new(self.sizes.layers, self.sizes.groups, self.sizes.head())
    }

    /// Reads a text after its past, which then contains it; the vector of its last token goes out.
    ///
    /// # Panics
    /// If there is no token, one is unknown, or the past grows beyond the context.
    pub fn read(&self, past: &mut Past, tokens: &[u32]) -> Vec<f32> {
        let mut last = Vec::new();
        for part in tokens.chunks(PASS) {
            last = self.pass(past, &[part], true);
        }
        assert!(!last.is_empty(), "llama: no token to read");
        last.split_off(last.len() - self.sizes.width)
    }

    /// Reads continuations of one past beside each other; one vector per token goes out, and the past stays as it was.
    ///
    /// # Panics
    /// As [`Llama::read`] does.
    pub fn glance(&self, past: &mut Past, branches: &[&[u32]]) -> Vec<f32> {
        self.pass(past, branches, false)
    }

    /// What each vector foretells of the next token, `[_, vocab]`, before softmax.
    pub fn logits(&self, vectors: &[f32]) -> Vec<f32> {
        let mut rows = BlockRows::default();
        rows.fill(vectors, self.sizes.width);
        let mut out = vec![0.0; vectors.len() / self.sizes.width * self.sizes.vocabulary];
        self.out.as_ref().unwrap_or(&self.words).product(&rows, &mut out, false);
        out
    }

    fn pass(&self, past: &mut Past, branches: &[&[u32]], keep: bool) -> Vec<f32> {
        let Sizes { width: h, inner: f, heads, groups, epsilon, .. } = self.sizes;
        let (d, wide) = (self.sizes.head(), (heads + 2 * groups) * self.sizes.head());
        let tokens: usize = branches.iter().map(|branch| branch.len()).sum();
        let longest = branches.iter().map(|branch| branch.len()).max().unwrap_or(0);
        assert!(past.len() + longest <= self.sizes.context, "llama: a text longer than {}", self.sizes.context);
        let turns: Vec<Vec<[f32; 2]>> = (past.len()..past.len() + longest).map(|at| self.turns(at)).collect();
        let mut x = vec![0.0; tokens * h];
        let ids = branches.iter().copied().flatten();
        x.chunks_exact_mut(h).zip(ids).for_each(|(x, id)| self.words.row(*id as usize, x));
        let (mut normed, mut rows, mut qkv) = (vec![0.0; tokens * h], BlockRows::default(), vec![0.0; tokens * wide]);
        let (mut gate_up, mut gated) = (vec![0.0; tokens * 2 * f], vec![0.0; tokens * f]);
        for (at, layer) in self.layers.iter().enumerate() {
            rms_norm(&x, &layer.norm, epsilon, &mut normed);
            rows.fill(&normed, h);
            layer.qkv.product(&rows, &mut qkv, false);
            let mut token = qkv.chunks_exact_mut(wide);
            for branch in branches {
                token
                    .by_ref()
                    .take(branch.len())
                    .zip(&turns)
                    .for_each(|(qkv, turns)| rotate(&mut qkv[..(heads + groups) * d], turns));
            }
            let context = attend::attend(&qkv, branches, past.layer(at), [heads, groups, d]);
            if keep {
                past.keep(at, &qkv, heads);
            }
            rows.fill(&context, h);
            layer.out.product(&rows, &mut x, true);
            rms_norm(&x, &layer.inner_norm, epsilon, &mut normed);
            rows.fill(&normed, h);
            layer.gate_up.product(&rows, &mut gate_up, false);
            gate_up.chunks_exact(2 * f).zip(gated.chunks_exact_mut(f)).for_each(|(x, out)| swiglu(x, out));
            rows.fill(&gated, f);
            layer.down.product(&rows, &mut x, true);
        }
        if keep {
            past.grow(tokens);
        }
        rms_norm(&x, &self.norm, epsilon, &mut normed);
        normed
    }

    /// Cosine and sine by which each pair of a head is turned at a position.
    fn turns(&self, position: usize) -> Vec<[f32; 2]> {
        self.angles.iter().map(|angle| (position as f32 * angle).sin_cos()).map(|(sin, cos)| [cos, sin]).collect()
    }
}

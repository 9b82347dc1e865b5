//! Tokenizer, network, pooling and the layer behind it at one door: texts in, vectors of length 1 out.

use crate::bert::{Bert, Buffers, Packed};
#[cfg(feature = "candle")]
use crate::beyond::Beyond;
use crate::error::{ContentError, Result};
use crate::finetune::tuned::{FILE, needs_more};
#[cfg(feature = "candle")]
use crate::folder::Beside;
use crate::folder::{Folder, Pooling};
use crate::projection::Projection;
use lingxi_data::{Encode, Fingerprint, Provenance};
use lingxi_kernels::{axpy, dot};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tokenizers::Tokenizer;

/// Tokens of one pass of one thread: enough for full speed of the products, little enough to stay in its cache.
const TOKENS: usize = 192;
/// Fewer than this are not divided among threads: each reads all weights.
const FEWEST: usize = 48;
/// Tokens of one pass through candle, which divides each product among all threads.
#[cfg(feature = "candle")]
const TOGETHER: usize = 4_096;

/// In which numbers the network multiplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats: the numbers of PyTorch to the fourth digit of a cosine and beyond.
    #[default]
    F32,
    /// 16-bit floats with sums in f32: a cosine to f32 of at least 0.9995 on real texts, half the memory.
    Bf16,
    /// Bytes: a cosine to f32 of at least 0.995 on real texts, a quarter of the memory.
    Int8,
}

impl From<Precision> for lingxi_kernels::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => lingxi_kernels::Precision::F32,
            Precision::Bf16 => lingxi_kernels::Precision::Bf16,
            Precision::Int8 => lingxi_kernels::Precision::Int8,
        }
    }
}

/// A sentence encoder of the BERT family, e.g. all-MiniLM-L6-v2; with the feature `candle` also of others (ModernBERT, Qwen3).
///
/// An empty text is encoded as PyTorch does it: the vector of the two special tokens alone. Catalogues want such an item
/// absent instead, and [`crate::encode_texts`] does that.
pub struct BertEncoder {
    tokenizer: Tokenizer,
    network: Network,
    pooling: Pooling,
    projection: Option<(Projection, Vec<f32>)>,
    revision: Fingerprint,
    provenance: Provenance,
}

enum Network {
    /// On our kernels.
    Ours(Box<Bert>),
    #[cfg(feature = "candle")]
    Beyond(Box<Beyond>),
}

impl BertEncoder {
    /// Reads a Hugging Face directory. The directory's name becomes the name of the model.
    ///
    /// # Errors
    /// Names the file, setting or tensor that is missing or does not fit, and what was expected.
    pub fn load(dir: &Path, precision: Precision) -> Result<BertEncoder> {
        if let Some(strategy) = needs_more(dir)? {
            let got = format!("{}, which is beside it", strategy.name());
            return Err(ContentError::file(&dir.join(FILE), "a strategy that is part of the matrices", got));
        }
        #[cfg(feature = "candle")]
        if let Some((network, beside)) = Beyond::read(dir)? {
            let network = Network::Beyond(Box::new(network));
            let Beside { tokenizer, pooling, projection, revision, .. } = beside;
            // What candle multiplies is f32, whatever was asked for.
            return Ok(Self::of(dir, network, (tokenizer, pooling, projection), revision, Precision::F32));
        }
        let folder = Folder::read(dir)?;
        let network = Bert::new(folder.config, &folder.weights.open()?, precision.into())?;
        let parts = (folder.tokenizer, folder.pooling, folder.projection);
        Ok(Self::of(dir, Network::Ours(Box::new(network)), parts, folder.revision, precision))
    }

    fn of(
        dir: &Path,
        network: Network,
        (tokenizer, pooling, projection): (Tokenizer, Pooling, Option<(Projection, Vec<f32>)>),
        mut revision: Fingerprint,
        precision: Precision,
    ) -> BertEncoder {
        let mut model = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        // Vectors of f32 keep the name that they had before there was a choice.
        if precision != Precision::F32 {
            let numbers = lingxi_kernels::Precision::from(precision);
            model = format!("{model}, {}", numbers.name());
            revision = Fingerprint::of([revision.bytes().as_slice(), numbers.name().as_bytes()]);
        }
        let pooled = if projection.is_some() { format!("{}, dense", pooling.name()) } else { pooling.name().into() };
        let provenance = Provenance { model, revision: revision.to_string(), pooling: pooled, normalised: true };
        BertEncoder { tokenizer, network, pooling, projection, revision, provenance }
    }

    /// Model, fingerprint of its files, pooling; all vectors have length 1.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// What the packed matrices of the network take in memory; the table of words is beside them.
    pub fn matrix_bytes(&self) -> usize {
        match &self.network {
            Network::Ours(bert) => bert.bytes(),
            #[cfg(feature = "candle")]
            Network::Beyond(network) => network.bytes(),
        }
    }

    /// Width of a token vector.
    fn width(&self) -> usize {
        match &self.network {
            Network::Ours(bert) => bert.width(),
            #[cfg(feature = "candle")]
            Network::Beyond(network) => network.width(),
        }
    }

    /// Fingerprint of everything that decides what a text's vector is.
    pub fn revision(&self) -> Fingerprint {
        self.revision
    }

    /// The token ids of a text, special tokens included, cut to the model's length.
    pub fn tokens(&self, text: &str) -> Vec<u32> {
        let encoding = self.tokenizer.encode_fast(text, true);
        encoding.expect("a tokenizer with an unknown token encodes any text, checked at load").get_ids().to_vec()
    }

    /// The same, cut to `most` tokens; the last one, which marks the end, stays.
    pub fn tokens_up_to(&self, text: &str, most: usize) -> Vec<u32> {
        let mut ids = self.tokens(text);
        if let Some(last) = ids.last().copied().filter(|_| ids.len() > most) {
            ids.truncate(most - 1);
            ids.push(last);
        }
        ids
    }

    /// The same, and whether the text was cut.
    pub fn tokens_and_cut(&self, text: &str) -> (Vec<u32>, bool) {
        let encoding = self.tokenizer.encode_fast(text, true);
        let encoding = encoding.expect("a tokenizer with an unknown token encodes any text, checked at load");
        (encoding.get_ids().to_vec(), !encoding.get_overflowing().is_empty())
    }

    /// One vector per token list, row-major `[tokens.len(), dim]`.
    pub fn encode_tokens(&self, tokens: &[Vec<u32>]) -> Vec<f32> {
        // Texts of similar length together; the longest first, so that the threads end at about the same time.
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(tokens[i].len()));
        let parts = match &self.network {
            Network::Ours(bert) => self.by_ours(bert, &order, tokens),
            #[cfg(feature = "candle")]
            Network::Beyond(network) => self.by_candle(network, &order, tokens),
        };
        let dim = self.dim();
        let mut out = vec![0f32; tokens.len() * dim];
        for (&text, vector) in order.iter().zip(parts.iter().flat_map(|part| part.chunks_exact(dim))) {
            out[text * dim..(text + 1) * dim].copy_from_slice(vector);
        }
        out
    }

    /// Vectors of the texts in `order`, some after the other.
    fn by_ours(&self, bert: &Bert, order: &[usize], tokens: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let total: usize = tokens.iter().map(Vec::len).sum();
        let most = total.div_ceil(rayon::current_num_threads()).clamp(FEWEST, TOKENS);
        let batches: Vec<&[usize]> = batches(order, tokens, most).collect();
        let encode = |buffers: &mut Buffers, batch: &&[usize]| {
            let packed = pack(batch, tokens);
            let vectors = bert.forward(&packed, buffers);
            self.finish(vectors, &packed.offsets)
        };
        batches.par_iter().with_max_len(1).map_init(Buffers::default, encode).collect()
    }

    /// The same; texts of one length go together, and one without a token has a vector of zeros.
    #[cfg(feature = "candle")]
    fn by_candle(&self, network: &Beyond, order: &[usize], tokens: &[Vec<u32>]) -> Vec<Vec<f32>> {
        let alike = order.chunk_by(|a, b| tokens[*a].len() == tokens[*b].len());
        let batches = alike.flat_map(|texts| texts.chunks((TOGETHER / tokens[texts[0]].len().max(1)).max(1)));
        let encode = |batch: &[usize]| {
            let packed = pack(batch, tokens);
            let texts: Vec<&[u32]> = batch.iter().map(|text| &tokens[*text][..]).collect();
            let vectors = if packed.ids.is_empty() { Vec::new() } else { network.forward(&texts) };
            self.finish(&vectors, &packed.offsets)
        };
        batches.map(encode).collect()
    }

    /// Token vectors to one vector of length 1 a text.
    fn finish(&self, vectors: &[f32], offsets: &[usize]) -> Vec<f32> {
        let (h, dim) = (self.width(), self.dim());
        let mut out = vec![0f32; (offsets.len() - 1) * h];
        for (out, window) in out.chunks_exact_mut(h).zip(offsets.windows(2)) {
            pool(&vectors[window[0] * h..window[1] * h], self.pooling, out);
        }
        if let Some((projection, parameters)) = &self.projection {
            // A layer with a bias hears how long a vector is.
            if self.pooling == Pooling::Mean {
                let rows = out.chunks_exact_mut(h).zip(offsets.windows(2));
                rows.for_each(|(row, window)| divide(row, (window[1] - window[0]).max(1) as f32));
            }
            out = projection.forward(parameters, &out);
        }
        out.chunks_exact_mut(dim).for_each(unit);
        out
    }
}

impl Encode for BertEncoder {
    fn dim(&self) -> usize {
        self.projection.as_ref().map_or(self.width(), |(projection, _)| projection.to)
    }

    fn encode(&self, texts: &[&str]) -> Vec<f32> {
        let tokens: Vec<Vec<u32>> = texts.par_iter().map(|text| self.tokens(text)).collect();
        self.encode_tokens(&tokens)
    }
}

/// Runs of `order` of at most so many tokens, or of one text.
fn batches<'a>(order: &'a [usize], tokens: &'a [Vec<u32>], most: usize) -> impl Iterator<Item = &'a [usize]> {
    let mut rest = order;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = rest.iter().take_while(|&&i| {
            sum += tokens[i].len();
            sum <= most
        });
        let n = fits.count().max(1).min(rest.len());
        let (batch, more) = rest.split_at(n);
        rest = more;
        (n > 0).then_some(batch)
    })
}

fn pack(batch: &[usize], tokens: &[Vec<u32>]) -> Packed {
    let mut packed = Packed { ids: Vec::new(), offsets: vec![0] };
    for &text in batch {
        packed.ids.extend(&tokens[text]);
        packed.offsets.push(packed.ids.len());
    }
    packed
}

/// Token vectors `[n,h]` to one in the direction of their mean; no token at all leaves zeros.
fn pool(vectors: &[f32], pooling: Pooling, out: &mut [f32]) {
    match pooling {
        Pooling::Mean => vectors.chunks_exact(out.len()).for_each(|token| axpy(1.0, token, out)),
        Pooling::Cls => vectors.chunks_exact(out.len()).take(1).for_each(|token| out.copy_from_slice(token)),
        Pooling::Last => vectors.rchunks_exact(out.len()).take(1).for_each(|token| out.copy_from_slice(token)),
    }
}

fn unit(row: &mut [f32]) {
    let length = dot(row, row).sqrt();
    if length > 0.0 {
        divide(row, length);
    }
}

fn divide(row: &mut [f32], by: f32) {
    row.iter_mut().for_each(|x| *x /= by);
}

//! Tokenizer, network and pooling behind one door: texts in, vectors of length 1 out.

use crate::bert::{Bert, Buffers, Packed};
use crate::error::Result;
use crate::folder::{Folder, Pooling};
use lingxi_data::{Encode, Fingerprint, Provenance};
use lingxi_kernels::{axpy, dot};
use rayon::prelude::*;
use std::path::Path;
use tokenizers::Tokenizer;

/// Tokens of one pass: enough for full speed of the products, little enough to stay in the cache.
const TOKENS: usize = 2048;

/// A sentence encoder of the BERT family, e.g. all-MiniLM-L6-v2.
///
/// An empty text is encoded as PyTorch does it: the vector of the two special tokens alone. Catalogues want such an item
/// absent instead, and [`crate::encode_texts`] does that.
pub struct BertEncoder {
    tokenizer: Tokenizer,
    bert: Bert,
    pooling: Pooling,
    revision: Fingerprint,
    provenance: Provenance,
}

impl BertEncoder {
    /// Reads a Hugging Face directory. The directory's name becomes the name of the model.
    ///
    /// # Errors
    /// Names the file, setting or tensor that is missing or does not fit, and what was expected.
    pub fn load(dir: &Path) -> Result<BertEncoder> {
        let folder = Folder::read(dir)?;
        let bert = Bert::new(folder.config, &folder.weights.open()?)?;
        let provenance = Provenance {
            model: dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            revision: folder.revision.to_string(),
            pooling: folder.pooling.name().into(),
            normalised: true,
        };
        Ok(BertEncoder {
            tokenizer: folder.tokenizer,
            bert,
            pooling: folder.pooling,
            revision: folder.revision,
            provenance,
        })
    }

    /// Model, fingerprint of its files, pooling; all vectors have length 1.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
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

    /// One vector per token list, row-major `[tokens.len(), dim]`.
    pub fn encode_tokens(&self, tokens: &[Vec<u32>]) -> Vec<f32> {
        let h = self.dim();
        // Texts of similar length together, so that the threads of a pass have equal work.
        let mut order: Vec<usize> = (0..tokens.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(tokens[i].len()));
        let mut out = vec![0f32; tokens.len() * h];
        let mut buffers = Buffers::default();
        for batch in batches(&order, tokens) {
            let packed = pack(batch, tokens);
            let vectors = self.bert.forward(&packed, &mut buffers);
            for (&text, window) in batch.iter().zip(packed.offsets.windows(2)) {
                pool(&vectors[window[0] * h..window[1] * h], self.pooling, &mut out[text * h..(text + 1) * h]);
            }
        }
        out
    }
}

impl Encode for BertEncoder {
    fn dim(&self) -> usize {
        self.bert.width()
    }

    fn encode(&self, texts: &[&str]) -> Vec<f32> {
        let tokens: Vec<Vec<u32>> = texts.par_iter().map(|text| self.tokens(text)).collect();
        self.encode_tokens(&tokens)
    }
}

/// Runs of `order` of about [`TOKENS`] tokens.
fn batches<'a>(order: &'a [usize], tokens: &'a [Vec<u32>]) -> impl Iterator<Item = &'a [usize]> {
    let mut rest = order;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = rest.iter().take_while(|&&i| {
            sum += tokens[i].len();
            sum <= TOKENS
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

/// Token vectors `[n,h]` to one of length 1; no token at all leaves zeros.
fn pool(vectors: &[f32], pooling: Pooling, out: &mut [f32]) {
    match pooling {
        Pooling::Mean => vectors.chunks_exact(out.len()).for_each(|token| axpy(1.0, token, out)),
        Pooling::Cls => vectors.chunks_exact(out.len()).take(1).for_each(|token| out.copy_from_slice(token)),
    }
    let length = dot(out, out).sqrt();
    if length > 0.0 {
        out.iter_mut().for_each(|x| *x /= length);
    }
}

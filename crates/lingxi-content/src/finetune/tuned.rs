//! What comes of fine-tuning: an encoder with its head, that answers, is saved as a directory, and is read again.
//!
//! Where the strategy's parameters can be added into the matrices, the directory is an ordinary Hugging Face directory that
//! [`crate::BertEncoder`] and other programs read; adapters and prefixes lie beside it in `tuned.safetensors`, with the head.

use super::network::Network;
use super::places::{DenseAt, Places, Tensor};
use super::shrink::{copy_beside, write, write_tensors};
use super::strategy::Strategy;
use super::tutor::{Tuning, best, vectors};
use crate::encoder::Precision;
use crate::error::{ContentError, Result};
use crate::folder::{Folder, Pooling};
use lingxi_data::artefact::{Reader, Writer};
use lingxi_kernels::{Layout, Part, product_here, softmax_rows};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tokenizers::Tokenizer;

/// What is beside the encoder of a tuned directory.
pub const FILE: &str = "tuned.safetensors";
/// What a model directory has besides its weights.
pub(super) const BESIDE: [&str; 4] =
    ["config.json", "tokenizer.json", "sentence_bert_config.json", "1_Pooling/config.json"];

/// An encoder with a head.
pub struct Tuned {
    pub(super) network: Network,
    pooling: Pooling,
    tuning: Tuning,
    outputs: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    tuning: Tuning,
    outputs: usize,
    /// Names of classes, in the order of the outputs.
    names: Vec<String>,
}

impl Tuned {
    pub(crate) fn new(network: Network, pooling: Pooling, tuning: Tuning, outputs: usize) -> Tuned {
        Tuned { network, pooling, tuning, outputs }
    }

    /// How it was made.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// One vector a text, `[texts,h]`, not brought to length 1.
    pub fn vectors(&self, texts: &[Vec<u32>]) -> Vec<f32> {
        vectors(&self.network, self.pooling, texts)
    }

    /// What the head's layer says, `[texts, outputs]`.
    pub fn outputs(&self, texts: &[Vec<u32>]) -> Vec<f32> {
        let head = &self.network.theta[self.network.places.head.clone()];
        self.tuning.head.answer(&self.vectors(texts), self.network.width(), head, self.outputs)
    }

    /// Probabilities of the classes, `[texts, classes]`.
    pub fn probabilities(&self, texts: &[Vec<u32>]) -> Vec<f32> {
        let mut y = self.outputs(texts);
        softmax_rows(&mut y, self.outputs);
        y
    }

    /// The likeliest class of each text and its probability.
    pub fn classes(&self, texts: &[Vec<u32>]) -> Vec<(u32, f32)> {
        let y = self.probabilities(texts);
        y.chunks_exact(self.outputs).map(|row| (best(row) as u32, row[best(row)])).collect()
    }

    /// Writes a directory that [`Tuned::load`] reads, beside `base`'s files; `names` are those of the classes.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, base: &Path, dir: &Path, names: &[String]) -> Result<()> {
        copy_beside(base, dir)?;
        self.shorten(&dir.join("sentence_bert_config.json"))?;
        let (places, theta) = (&self.network.places, merged(&self.network.places, &self.network.theta));
        let of = |tensor: &Tensor| theta[tensor.range.clone()].iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensors: Vec<_> = places.tensors.iter().map(|t| (t.name.clone(), t.shape.clone(), of(t))).collect();
        write_tensors(&dir.join("model.safetensors"), &tensors)?;
        let added = places.tensors.last().map_or(0, |t| t.range.end)..places.head.start;
        let (added, head) = (&self.network.theta[added], &self.network.theta[places.head.clone()]);
        let header = Header { tuning: self.tuning.clone(), outputs: self.outputs, names: names.to_vec() };
        Writer::default()
            .column("added", &[added.len()], added)
            .column("head", &[head.len()], head)
            .write(&dir.join(FILE), &header)?;
        Ok(())
    }

    /// A tuned encoder reads as much of a text as it has learned from.
    fn shorten(&self, path: &Path) -> Result<()> {
        let text = std::fs::read(path).map_err(|e| ContentError::file(path, "a readable file", e))?;
        let mut file: serde_json::Value =
            serde_json::from_slice(&text).map_err(|e| ContentError::file(path, "settings", e))?;
        let most = file["max_seq_length"].as_u64().unwrap_or(u64::MAX).min(self.tuning.tokens as u64);
        file["max_seq_length"] = most.into();
        write(path, file.to_string().as_bytes())
    }

    /// Number of parameters that were trained.
    pub fn trained(&self) -> usize {
        self.network.places.trained_len()
    }

    /// What its packed matrices take in memory, one way.
    pub fn bytes(&self) -> usize {
        self.network.bytes()
    }

    /// The same network in other numbers: bytes after training, say.
    pub fn in_numbers(mut self, precision: Precision) -> Tuned {
        self.network.in_numbers(precision.into());
        self
    }

    /// Reads a directory that was saved: the model, its tokenizer, and the names of its classes.
    ///
    /// # Errors
    /// Files that are missing, damaged, or of another shape.
    pub fn load(dir: &Path) -> Result<(Tuned, Tokenizer, Vec<String>)> {
        let Folder { config, pooling, tokenizer, weights, .. } = Folder::read(dir)?;
        let path = dir.join(FILE);
        let file = Reader::open(&path)?;
        let Header { tuning, outputs, names } = file.meta()?;
        let places =
            Places::new(&config, &tuning.strategy, if outputs > 0 { outputs * (config.hidden_size + 1) } else { 0 });
        let mut theta = places.start(&weights.open()?, &mut ChaCha8Rng::seed_from_u64(0))?;
        let base = places.tensors.last().map_or(0, |t| t.range.end);
        let (added, head) = (file.column::<f32>("added")?, file.column::<f32>("head")?);
        if (added.len(), head.len()) != (places.head.start - base, places.head.len()) {
            let got = format!("{} and {}", added.len(), head.len());
            let expected = format!("{} added numbers and {} of the head", places.head.start - base, places.head.len());
            return Err(ContentError::file(&path, expected, got));
        }
        // What has been merged into the matrices must not be added once more.
        if tuning.strategy.merges() {
            theta[base..places.head.start].fill(0.0);
        } else {
            theta[base..places.head.start].copy_from_slice(&added);
        }
        theta[places.head.clone()].copy_from_slice(&head);
        let network = Network::new(config, places, theta, tuning.precision.into());
        Ok((Tuned { network, pooling, tuning, outputs }, tokenizer, names))
    }
}

/// Whether an encoder's directory needs what lies beside its weights.
pub(crate) fn needs_more(dir: &Path) -> Result<Option<Strategy>> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let header: Header = Reader::open(&path)?.meta()?;
    Ok(Some(header.tuning.strategy).filter(|strategy| !strategy.merges()))
}

/// `theta` with products of low rank added into their matrices.
fn merged(places: &Places, theta: &[f32]) -> Vec<f32> {
    let mut out = theta.to_vec();
    for dense in places.layers.iter().flat_map(|layer| layer.denses()) {
        dense.low.iter().for_each(|low| {
            let (a, b) = (&theta[low.a.clone()], &theta[low.b.clone()]);
            let scaled: Vec<f32> = b.iter().map(|x| x * low.scale).collect();
            let (b, a) = (Part { data: &scaled, stride: low.n }, Part { data: a, stride: low.rank });
            let DenseAt { k, weight, .. } = dense;
            let rows = &mut out[weight.start + low.column * k..weight.end];
            // W[column + i, j] += scale sum_r B[r,i] A[j,r].
            let mut product = vec![0.0; low.n * k];
            let turned: Vec<f32> = (0..low.rank)
                .flat_map(|r| (0..*k).map(move |j| (r, j)))
                .map(|(r, j)| a.data[j * low.rank + r])
                .collect();
            product_here(
                Layout::Tn,
                b,
                Part { data: &turned, stride: *k },
                &mut product,
                *k,
                [low.n, *k, low.rank],
                false,
            );
            rows.iter_mut().zip(product).for_each(|(w, x)| *w += x);
        });
    }
    out
}

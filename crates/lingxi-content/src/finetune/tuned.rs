//! What comes of fine-tuning: an encoder with its head, that answers, is saved as a directory, and is read again.
//!
//! Where the strategy's parameters can be added into the matrices, the directory is an ordinary Hugging Face directory that
//! [`crate::BertEncoder`] and other programs read; adapters and prefixes lie beside it in `tuned.safetensors`, with the head.

use super::network::Network;
use super::places::{DenseAt, Places, Tensor};
use super::shrink::{copy_beside, write, write_tensors};
use super::strategy::Strategy;
use super::tutor::{Tuning, behind, best, projected, vectors};
use super::whiten::identity;
use crate::encoder::Precision;
use crate::error::{ContentError, Result};
use crate::folder::{Folder, Pooling};
use crate::projection::{self, Projection};
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
    projection: Option<Projection>,
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
    pub(crate) fn new(
        network: Network,
        (pooling, projection): (Pooling, Option<Projection>),
        tuning: Tuning,
        outputs: usize,
    ) -> Tuned {
        Tuned { network, pooling, projection, tuning, outputs }
    }

    /// How it was made.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// One vector a text, `[texts,width]`, not brought to length 1.
    pub fn vectors(&self, texts: &[Vec<u32>]) -> Vec<f32> {
        self.project(self.pooled(texts))
    }

    /// What comes out of the encoder's own layers, one vector a text.
    pub fn pooled(&self, texts: &[Vec<u32>]) -> Vec<f32> {
        vectors(&self.network, self.pooling, texts)
    }

    /// What the layer behind pooling makes of such vectors.
    pub fn project(&self, pooled: Vec<f32>) -> Vec<f32> {
        projected(&self.network, self.projection, pooled)
    }

    /// Numbers of a text's vector.
    pub fn width(&self) -> usize {
        self.projection.map_or(self.network.width(), |projection| projection.to)
    }

    /// What the head's layer says, `[texts, outputs]`.
    pub fn outputs(&self, texts: &[Vec<u32>]) -> Vec<f32> {
        let head = behind(&self.network, self.projection).1;
        self.tuning.head.answer(&self.vectors(texts), self.width(), head, self.outputs)
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
        save_encoder(&self.network, base, dir)?;
        self.shorten(&dir.join("sentence_bert_config.json"))?;
        let places = &self.network.places;
        let (dense, head) = behind(&self.network, self.projection);
        projection::write(dir, self.projection.map(|shape| (shape, dense)))?;
        let added = &self.network.theta[places.added()];
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

    /// Answers `spread` times what was learned, plus `mean`: numbers that were learned at mean 0 and spread 1 in their own unit.
    pub fn answer_in(&mut self, (spread, mean): (f32, f32)) {
        let (h, own) = (self.width(), behind(&self.network, self.projection).0.len());
        let head = self.network.places.head.clone();
        let head = &mut self.network.theta[head][own..];
        head.iter_mut().for_each(|w| *w *= spread);
        head[self.outputs * h..].iter_mut().for_each(|bias| *bias += mean);
    }

    /// What a first task's head says of this encoder, which went on to learn another: `first` is what the encoder was before.
    pub fn with_head_of(&self, first: &Tuned) -> Tuned {
        let (now, head) = (&self.network, behind(&first.network, first.projection).1);
        let own = behind(now, self.projection).0.len();
        let places = Places::new(&now.config, &self.tuning.strategy, own + head.len());
        let theta = [&now.theta[..now.places.head.start + own], head].concat();
        let network = Network::new(now.config.clone(), places, theta, self.tuning.precision.into());
        let (tuning, outputs) = (first.tuning.clone(), first.outputs);
        Tuned { network, pooling: self.pooling, projection: self.projection, tuning, outputs }
    }

    /// The encoder that lies `way` from the one in `base` (0) to this one (1): weights are interpolated one by one (WiSE-FT, Wortsman et al.
    /// 2022, arXiv 2109.01903). The head stays; a layer behind pooling that the base has not is the identity there.
    ///
    /// # Errors
    /// A directory that is not that of the encoder which was tuned, a strategy that adds what the base has not.
    pub fn between(&self, base: &Path, way: f32) -> Result<Tuned> {
        if !self.tuning.strategy.merges() {
            let (field, expected) = ("strategy".into(), "one that merges into the encoder, to lie between".into());
            return Err(ContentError::Tuning { field, expected, got: self.tuning.strategy.name().into() });
        }
        let Folder { config, weights, projection: last, .. } = Folder::read(base)?;
        let (weights, old) = (weights.open()?, &self.network.places);
        let places = Places::new(&config, &self.tuning.strategy, old.head.len());
        let mut theta = merged(old, &self.network.theta);
        for tensor in &places.tensors {
            let begun = weights.take(&tensor.name, &tensor.shape)?;
            let now = &mut theta[tensor.range.clone()];
            now.iter_mut().zip(begun).for_each(|(now, begun)| *now = begun + way * (*now - begun));
        }
        theta[places.added()].fill(0.0);
        if let Some(shape) = self.projection {
            let begun = last.map_or_else(|| identity(shape.from), |(_, parameters)| parameters);
            let dense = &mut theta[places.head.start..][..begun.len()];
            dense.iter_mut().zip(begun).for_each(|(now, begun)| *now = begun + way * (*now - begun));
        }
        let network = Network::new(config, places, theta, self.tuning.precision.into());
        let (tuning, outputs) = (self.tuning.clone(), self.outputs);
        Ok(Tuned { network, pooling: self.pooling, projection: self.projection, tuning, outputs })
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
        let Folder { config, pooling, projection: last, tokenizer, weights, .. } = Folder::read(dir)?;
        let path = dir.join(FILE);
        let file = Reader::open(&path)?;
        let Header { tuning, outputs, names } = file.meta()?;
        let (projection, dense) = last.map_or((None, vec![]), |(shape, parameters)| (Some(shape), parameters));
        let width = projection.map_or(config.hidden_size, |projection| projection.to);
        let places = Places::new(&config, &tuning.strategy, dense.len() + outputs * (width + 1));
        let mut theta = places.start(&weights.open()?, &mut ChaCha8Rng::seed_from_u64(0))?;
        let head = file.column::<f32>("head")?;
        if dense.len() + head.len() != places.head.len() {
            let expected = format!("{} numbers of the head", places.head.len() - dense.len());
            return Err(ContentError::file(&path, expected, head.len()));
        }
        // What has been merged into the matrices must not be added once more.
        if tuning.strategy.merges() {
            theta[places.added()].fill(0.0);
        } else {
            added_of(dir, &places, &mut theta)?;
        }
        theta[places.head.clone()].copy_from_slice(&[dense, head].concat());
        let network = Network::new(config, places, theta, tuning.precision.into());
        Ok((Tuned { network, pooling, projection, tuning, outputs }, tokenizer, names))
    }
}

/// Reads what a tuned directory has beside its encoder into its place in `theta`.
pub(super) fn added_of(dir: &Path, places: &Places, theta: &mut [f32]) -> Result<()> {
    let (path, range) = (dir.join(FILE), places.added());
    let added = Reader::open(&path)?.column::<f32>("added")?;
    if added.len() != range.len() {
        let expected = format!("{} numbers of what is added", range.len());
        return Err(ContentError::file(&path, expected, added.len()));
    }
    theta[range].copy_from_slice(&added);
    Ok(())
}

/// Writes an encoder as a Hugging Face directory, what can be added into its matrices added.
pub(super) fn save_encoder(network: &Network, base: &Path, dir: &Path) -> Result<()> {
    copy_beside(base, dir)?;
    let theta = merged(&network.places, &network.theta);
    let of = |tensor: &Tensor| theta[tensor.range.clone()].iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensors = network.places.tensors.iter().map(|t| (t.name.clone(), t.shape.clone(), of(t)));
    write_tensors(&dir.join("model.safetensors"), &tensors.collect::<Vec<_>>())
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

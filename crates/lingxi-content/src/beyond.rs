//! Encoders beyond the kin of BERT, through candle: ModernBERT (Warner et al. 2024, arXiv 2412.13663), Qwen3 embedding (Zhang et
//! al. 2025, arXiv 2506.05176), and BERT itself where a card multiplies. Only with the cargo feature `candle`; `cuda` adds the card.
//!
//! Token ids of texts of one length come in, so that nothing is padded; token vectors `[texts, tokens, h]` go out, in f32. Qwen3 looks
//! back only, and its last token speaks for the text.

use crate::error::{ContentError, Result};
use crate::folder::{Beside, Sizes, beside, bytes, json, setting};
use candle_core::safetensors::BufferedSafetensors;
use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use candle_transformers::models::{bert, modernbert, qwen3};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// What candle asks for and ModernBERT has not: the first layer reads what was normed before.
const OPTIONAL: &str = "model.layers.0.attn_norm.weight";

/// The network.
pub struct Beyond {
    network: Network,
    device: Device,
    width: usize,
    bytes: usize,
}

enum Network {
    ModernBert(modernbert::ModernBert),
    /// It keeps what it has read, so each pass reads with a copy (of references) that has read nothing.
    Qwen3(qwen3::Model),
    Bert(bert::BertModel),
}

/// What every configuration has.
#[derive(Deserialize)]
struct Common {
    model_type: String,
    hidden_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
}

impl Beyond {
    /// Reads `dir` if its network is one of those here: always ModernBERT and Qwen3, BERT if there is a card.
    ///
    /// # Errors
    /// Names the file, setting or tensor that is missing or does not fit, and what was expected.
    pub fn read(dir: &Path) -> Result<Option<(Beyond, Beside)>> {
        let (path, text) = bytes(dir, "config.json")?;
        let raw: Value = json(&path, &text)?;
        let of_card = card();
        let known = match raw["model_type"].as_str() {
            Some("modernbert" | "qwen3") => true,
            Some("bert") => of_card.is_some(),
            _ => false,
        };
        if !known {
            return Ok(None);
        }
        let common: Common = json(&path, &text)?;
        let sizes =
            Sizes { hidden: common.hidden_size, vocab: common.vocab_size, places: common.max_position_embeddings };
        let mut beside = beside(dir, &text, sizes)?;
        let device = of_card.unwrap_or(Device::Cpu);
        let data = std::mem::take(&mut beside.weights);
        let network = Network::load(&common.model_type, &path, raw, (&beside.path, data), &device)?;
        let bytes = std::fs::metadata(&beside.path).map_or(0, |file| file.len() as usize);
        Ok(Some((Beyond { network, device, width: common.hidden_size, bytes }, beside)))
    }

    /// Width of a token vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What the weights take on disk.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// One vector per token of `texts`, which are equally long and not empty.
    ///
    /// # Panics
    /// If a token id or the length is beyond the configuration, or the card's memory does not suffice.
    pub fn forward(&self, texts: &[&[u32]]) -> Vec<f32> {
        let run = || -> candle_core::Result<Vec<f32>> {
            let (texts_of, tokens) = (texts.len(), texts.first().map_or(0, |text| text.len()));
            let ids = Tensor::from_vec(texts.concat(), (texts_of, tokens), &self.device)?;
            let vectors = match &self.network {
                Network::ModernBert(model) => model.forward(&ids, &ids.ones_like()?)?,
                Network::Qwen3(model) => model.clone().forward(&ids, 0)?,
                Network::Bert(model) => model.forward(&ids, &ids.zeros_like()?, None)?,
            };
            vectors.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
        };
        run().expect("ids and lengths are those of the tokenizer, and the memory suffices")
    }
}

/// The card, if this program was built for one and the machine has it.
fn card() -> Option<Device> {
    #[cfg(feature = "cuda")]
    return Device::new_cuda(0).ok();
    #[cfg(not(feature = "cuda"))]
    None
}

impl Network {
    fn load(kind: &str, path: &Path, raw: Value, file: (&Path, Vec<u8>), device: &Device) -> Result<Network> {
        let raw = spelt_out(path, raw)?;
        let (weights, data) = (file.0, file.1);
        let lacks = Arc::default();
        let tensors = Tensors {
            path: weights.to_path_buf(),
            file: BufferedSafetensors::new(data)
                .map_err(|why| ContentError::file(weights, "a safetensors file", why))?,
            lacks: Arc::clone(&lacks),
        };
        let vars = VarBuilder::from_backend(Box::new(tensors), DType::F32, device.clone());
        let network = match kind {
            "modernbert" => modernbert::ModernBert::load(vars, &config(path, raw)?).map(Network::ModernBert),
            "qwen3" => qwen3::Model::new(&config(path, raw)?, vars).map(Network::Qwen3),
            _ => bert::BertModel::load(vars, &config(path, raw)?).map(Network::Bert),
        };
        let mut lacks = lacks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = lacks.drain(..).next() {
            return Err(why);
        }
        network.map_err(|why| ContentError::file(path, "a configuration that candle has", why))
    }
}

fn config<T: DeserializeOwned>(path: &Path, raw: Value) -> Result<T> {
    serde_json::from_value(raw).map_err(|why| ContentError::file(path, "the settings of a sentence encoder", why))
}

/// The configuration with the keys that candle reads, where newer files have them under other names.
fn spelt_out(path: &Path, mut raw: Value) -> Result<Value> {
    let rope = raw["rope_parameters"].clone();
    let layers = raw["layer_types"].clone();
    let table = raw.as_object_mut().ok_or_else(|| ContentError::file(path, "a table of settings", "another value"))?;
    let mut fill = |key: &str, value: &Value| {
        if !value.is_null() {
            table.entry(key).or_insert_with(|| value.clone());
        }
    };
    fill("rope_theta", &rope["rope_theta"]);
    fill("global_rope_theta", &rope["full_attention"]["rope_theta"]);
    fill("local_rope_theta", &rope["sliding_attention"]["rope_theta"]);
    let norm = table.get("norm_eps").cloned().unwrap_or_default();
    if !norm.is_null() {
        table.entry("layer_norm_eps").or_insert(norm);
    }
    if let Some(layers) = layers.as_array().filter(|_| table["model_type"] == "modernbert") {
        let full = |kind: &Value| kind == "full_attention";
        let every = layers.iter().skip(1).position(full).map_or(layers.len(), |at| at + 1);
        if !layers.iter().enumerate().all(|(at, kind)| full(kind) == at.is_multiple_of(every)) {
            return Err(setting(
                path,
                "layer_types",
                "full attention in the first of every few layers",
                "another order",
            ));
        }
        table.entry("global_attn_every_n_layers").or_insert(every.into());
    }
    Ok(raw)
}

/// The tensors of a file by the names that candle asks for; what is missing or of another shape is remembered.
struct Tensors {
    path: PathBuf,
    file: BufferedSafetensors,
    lacks: Arc<Mutex<Vec<ContentError>>>,
}

impl Tensors {
    /// The name in the file: saved without a head it lacks the first part, saved with one it may have another.
    fn place(&self, name: &str) -> Option<String> {
        let short = name.strip_prefix("model.").unwrap_or(name);
        let names = [name.to_owned(), short.to_owned(), format!("bert.{name}")];
        names.into_iter().find(|name| self.file.get(name).is_ok())
    }

    fn fail(&self, name: &str, expected: Vec<usize>, got: String) -> candle_core::Error {
        let why = ContentError::Tensor { path: self.path.clone(), name: name.to_owned(), expected, got };
        let said = candle_core::Error::Msg(why.to_string());
        if name != OPTIONAL {
            self.lacks.lock().unwrap_or_else(PoisonError::into_inner).push(why);
        }
        said
    }
}

impl SimpleBackend for Tensors {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let expected = || shape.dims().to_vec();
        let Some(place) = self.place(name) else {
            return Err(self.fail(name, expected(), "no such tensor".into()));
        };
        let found = self.file.load(&place, device)?;
        if found.shape() != &shape {
            return Err(self.fail(&place, expected(), format!("{:?} {:?}", found.dtype(), found.dims())));
        }
        let found = found.to_dtype(dtype)?;
        if !found.abs()?.sum_all()?.to_dtype(DType::F32)?.to_scalar::<f32>()?.is_finite() {
            return Err(self.fail(&place, expected(), "numbers that are not finite".into()));
        }
        Ok(found)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        match self.place(name) {
            Some(place) => self.file.load(&place, device)?.to_dtype(dtype),
            None => Err(self.fail(name, Vec::new(), "no such tensor".into())),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.place(name).is_some()
    }
}

//! What a model directory does with a pooled vector: `modules.json` and the `Dense` module of sentence-transformers
//! (<https://sbert.net/docs/package_reference/sentence_transformer/models.html>).
//!
//! A pooled vector `z [from]` comes in, `bend(z W' + b) [to]` goes out, before vectors are brought to length 1. Its numbers lie in one
//! slice, `W [to, from]` and then `b [to]`, so that they can be trained beside others.

use crate::error::{ContentError, Result};
use crate::finetune::shrink::{write as write_file, write_tensors};
use crate::folder::{Weights, bytes, json, setting};
use lingxi_kernels::{axpy, matmul_nn, matmul_nt, matmul_tn_add};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Where a directory says which modules it has.
pub(crate) const MODULES: &str = "modules.json";
/// Where a directory that we write has its layer.
pub(crate) const FOLDER: &str = "2_Dense";

/// The shape of the layer behind pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Numbers of a pooled vector.
    pub from: usize,
    /// Numbers of what becomes of it.
    pub to: usize,
    /// What is done to each of them.
    pub bend: Bend,
}

/// An activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bend {
    /// None.
    Identity,
    /// Hyperbolic tangent.
    Tanh,
}

impl Projection {
    /// Numbers of its parameters.
    pub fn len(&self) -> usize {
        self.to * (self.from + 1)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `z [texts, from]` to `[texts, to]`.
    pub fn forward(&self, w: &[f32], z: &[f32]) -> Vec<f32> {
        let (matrix, bias) = w.split_at(self.to * self.from);
        let m = z.len() / self.from;
        let mut y = vec![0.0; m * self.to];
        matmul_nt(z, matrix, &mut y, m, self.to, self.from);
        y.chunks_exact_mut(self.to).for_each(|row| axpy(1.0, bias, row));
        if self.bend == Bend::Tanh {
            y.iter_mut().for_each(|y| *y = y.tanh());
        }
        y
    }

    /// From the gradient `d [texts, to]` of what [`Projection::forward`] gave, `y`, to that of `z`; adds that of the parameters to `g`.
    pub fn back(&self, w: &[f32], (z, y): (&[f32], &[f32]), mut d: Vec<f32>, g: &mut [f32]) -> Vec<f32> {
        if self.bend == Bend::Tanh {
            d.iter_mut().zip(y).for_each(|(d, y)| *d *= 1.0 - y * y);
        }
        let (m, weights) = (z.len() / self.from, self.to * self.from);
        let (matrix, bias) = g.split_at_mut(weights);
        matmul_tn_add(&d, z, matrix, self.to, self.from, m);
        d.chunks_exact(self.to).for_each(|row| axpy(1.0, row, bias));
        let mut d_z = vec![0.0; z.len()];
        matmul_nn(&d, &w[..weights], &mut d_z, m, self.from, self.to);
        d_z
    }
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

#[derive(Serialize, Deserialize)]
struct DenseFile {
    in_features: usize,
    out_features: usize,
    #[serde(default = "yes")]
    bias: bool,
    #[serde(default = "tanh")]
    activation_function: String,
}

fn yes() -> bool {
    true
}

/// What sentence-transformers takes where a directory does not say.
fn tanh() -> String {
    name_of(Bend::Tanh)
}

fn name_of(bend: Bend) -> String {
    match bend {
        Bend::Identity => "torch.nn.modules.linear.Identity".into(),
        Bend::Tanh => "torch.nn.modules.activation.Tanh".into(),
    }
}

/// A layer as it was read: its shape, its parameters, and the bytes that they came from.
pub(crate) struct Read {
    pub shape: Projection,
    pub parameters: Vec<f32>,
    pub sources: Vec<Vec<u8>>,
}

/// The layer of the directory `dir` whose pooled vectors have `h` numbers; a directory without `modules.json` has none.
pub(crate) fn read(dir: &Path, h: usize) -> Result<Option<Read>> {
    if !dir.join(MODULES).exists() {
        return Ok(None);
    }
    let (path, text) = bytes(dir, MODULES)?;
    let modules: Vec<Module> = json(&path, &text)?;
    let kinds: Vec<&str> = modules.iter().map(|m| m.kind.rsplit('.').next().unwrap_or_default()).collect();
    let ["Transformer", "Pooling", rest @ ..] = &kinds[..] else {
        return Err(setting(&path, "type", EXPECTED, format!("{kinds:?}")));
    };
    match rest {
        [] | ["Normalize"] => Ok(None),
        ["Dense"] | ["Dense", "Normalize"] => layer(&dir.join(plain(&path, &modules[2].path)?), h).map(Some),
        _ => Err(setting(&path, "type", EXPECTED, format!("{kinds:?}"))),
    }
}

const EXPECTED: &str = "Transformer, Pooling, at most one Dense, at most one Normalize, in this order";

/// Says in `dir` which modules it has, and writes the layer if there is one.
pub(crate) fn write(dir: &Path, last: Option<(Projection, &[f32])>) -> Result<()> {
    let dense = last.map(|_| ("Dense", FOLDER));
    let names = [("Transformer", ""), ("Pooling", "1_Pooling")].into_iter().chain(dense);
    let modules = names.chain([("Normalize", if dense.is_some() { "3_Normalize" } else { "2_Normalize" })]);
    let list: Vec<serde_json::Value> = modules
        .enumerate()
        .map(|(at, (kind, path))| {
            let kind = format!("sentence_transformers.models.{kind}");
            serde_json::json!({"idx": at, "name": at.to_string(), "path": path, "type": kind})
        })
        .collect();
    write_file(&dir.join(MODULES), serde_json::Value::from(list).to_string().as_bytes())?;
    let Some((Projection { from, to, bend }, parameters)) = last else { return Ok(()) };
    let dir = dir.join(FOLDER);
    std::fs::create_dir_all(&dir).map_err(|e| ContentError::file(&dir, "a place to write to", e))?;
    let file = DenseFile { in_features: from, out_features: to, bias: true, activation_function: name_of(bend) };
    write_file(&dir.join("config.json"), serde_json::json!(file).to_string().as_bytes())?;
    let (weight, bias) = parameters.split_at(to * from);
    let bytes = |of: &[f32]| of.iter().flat_map(|x| x.to_le_bytes()).collect();
    let tensors = [
        ("linear.weight".to_owned(), vec![to, from], bytes(weight)),
        ("linear.bias".to_owned(), vec![to], bytes(bias)),
    ];
    write_tensors(&dir.join("model.safetensors"), &tensors)
}

/// A directory beside the others.
fn plain<'a>(path: &Path, name: &'a str) -> Result<&'a str> {
    let good = !name.is_empty() && !name.contains(['/', '\\']) && name != "..";
    if good {
        Ok(name)
    } else {
        Err(setting(path, "path", "the name of a directory of the model", format!("{name:?}")))
    }
}

fn layer(dir: &Path, h: usize) -> Result<Read> {
    let (path, config) = bytes(dir, "config.json")?;
    let file: DenseFile = json(&path, &config)?;
    if file.in_features != h {
        return Err(setting(&path, "in_features", format!("{h}, the width of a pooled vector"), file.in_features));
    }
    if !(1..=1 << 14).contains(&file.out_features) {
        return Err(setting(&path, "out_features", "1 to 16384", file.out_features));
    }
    let known = [Bend::Identity, Bend::Tanh].into_iter().find(|bend| name_of(*bend) == file.activation_function);
    let Some(bend) = known else {
        let expected = format!("{} or {}", name_of(Bend::Identity), name_of(Bend::Tanh));
        return Err(setting(&path, "activation_function", expected, file.activation_function));
    };
    let shape = Projection { from: h, to: file.out_features, bend };
    let (path, data) = bytes(dir, "model.safetensors")?;
    let weights = Weights::of(path, data, "");
    let open = weights.open()?;
    let mut parameters = open.take("linear.weight", &[shape.to, h])?;
    match file.bias {
        true => parameters.extend(open.take("linear.bias", &[shape.to])?),
        false => parameters.resize(shape.len(), 0.0),
    }
    drop(open);
    Ok(Read { shape, parameters, sources: vec![config, weights.into_bytes()] })
}

//! Smaller models of a tuned one: fewer layers, heads that say little, weights near zero.
//!
//! A student of fewer layers begins with some of its teacher's and is taught by [`super::Teacher`]; heads and weights are set to zero
//! where they stand, so that what a model loses by them can be measured.

use super::network::Network;
use super::places::LayerAt;
use super::tuned::{BESIDE, Tuned};
use crate::error::{ContentError, Result};
use crate::folder::Folder;
use crate::projection;
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;

/// Writes to `to` the model of `from` with the layers `kept` alone; they rise.
///
/// # Errors
/// A directory that cannot be read or written, a layer that there is not.
pub fn with_layers(from: &Path, kept: &[usize], to: &Path) -> Result<()> {
    let folder = Folder::read(from)?;
    let layers = folder.config.num_hidden_layers;
    let rises = kept.windows(2).all(|two| two[0] < two[1]);
    if !rises || kept.last().is_none_or(|layer| *layer >= layers) {
        let expected = format!("rising numbers of layers from 0 to {}", layers.saturating_sub(1));
        return Err(ContentError::Tuning { field: "distil.layers".into(), expected, got: format!("{kept:?}") });
    }
    copy_beside(from, to)?;
    let path = to.join("config.json");
    let text = std::fs::read(&path).map_err(|e| ContentError::file(&path, "a readable file", e))?;
    let mut config: serde_json::Value =
        serde_json::from_slice(&text).map_err(|e| ContentError::file(&path, "settings", e))?;
    config["num_hidden_layers"] = kept.len().into();
    write(&path, config.to_string().as_bytes())?;
    let places = super::places::Places::new(&folder.config, &super::Strategy::Head, 0);
    let weights = folder.weights.open()?;
    let mut tensors = Vec::new();
    for tensor in &places.tensors {
        let name = match tensor.name.strip_prefix("encoder.layer.").and_then(|rest| rest.split_once('.')) {
            None => Some(tensor.name.clone()),
            Some((layer, part)) => {
                let at = kept.iter().position(|kept| Ok(*kept) == layer.parse());
                at.map(|at| format!("encoder.layer.{at}.{part}"))
            }
        };
        let Some(name) = name else { continue };
        let bytes: Vec<u8> =
            weights.take(&tensor.name, &tensor.shape)?.into_iter().flat_map(f32::to_le_bytes).collect();
        tensors.push((name, tensor.shape.clone(), bytes));
    }
    write_tensors(&to.join("model.safetensors"), &tensors)
}

/// What a directory has besides its weights.
pub(super) fn copy_beside(from: &Path, to: &Path) -> Result<()> {
    for name in BESIDE {
        let path = to.join(name);
        let parent = path.parent().expect("a file of a directory has a parent");
        let wrong = |e| ContentError::file(&path, "a place to write to", e);
        std::fs::create_dir_all(parent).map_err(wrong)?;
        std::fs::copy(from.join(name), &path).map_err(wrong)?;
    }
    let last = Folder::read(from)?.projection;
    projection::write(to, last.as_ref().map(|(shape, parameters)| (*shape, &parameters[..])))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|e| ContentError::file(path, "a place to write to", e))
}

pub(crate) fn write_tensors(path: &Path, tensors: &[(String, Vec<usize>, Vec<u8>)]) -> Result<()> {
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.expect("a tensor has as many numbers as its shape"))
    });
    let whole = safetensors::serialize(views, None).map_err(|e| ContentError::file(path, "tensors", e))?;
    write(path, &whole)
}

impl Tuned {
    /// Sets the smallest share of each matrix's weights to zero (Han et al. 2015, arXiv 1506.02626).
    pub fn prune_weights(&mut self, share: f32) {
        let network = &mut self.network;
        for range in network.places.layers.iter().flat_map(|layer| layer.denses().map(|dense| dense.weight.clone())) {
            let w = &mut network.theta[range];
            let mut sizes: Vec<f32> = w.iter().map(|w| w.abs()).collect();
            let cut = (share.clamp(0.0, 1.0) * sizes.len() as f32) as usize;
            if cut == 0 {
                continue;
            }
            let (_, &mut least, _) = sizes.select_nth_unstable_by(cut - 1, f32::total_cmp);
            w.iter_mut().filter(|w| w.abs() <= least).for_each(|w| *w = 0.0);
        }
        network.pack();
    }

    /// Silences in each layer the heads that say least: those whose value and output matrices have the smallest product of lengths.
    pub fn prune_heads(&mut self, each: usize) {
        let network = &mut self.network;
        let heads = network.config.num_attention_heads;
        let silenced: Vec<(usize, usize)> = (0..network.places.layers.len())
            .flat_map(|layer| {
                let mut order: Vec<usize> = (0..heads).collect();
                order.sort_by(|a, b| network.says(layer, *a).total_cmp(&network.says(layer, *b)));
                order.truncate(each.min(heads));
                order.into_iter().map(move |head| (layer, head))
            })
            .collect();
        let h = network.width();
        for (layer, head) in silenced {
            let (wide, out) = (h / heads, network.places.layers[layer].out.weight.clone());
            for row in network.theta[out].chunks_exact_mut(h) {
                row[head * wide..(head + 1) * wide].fill(0.0);
            }
        }
        network.pack();
    }
}

impl Network {
    fn says(&self, layer: usize, head: usize) -> f32 {
        let LayerAt { qkv, out, .. } = &self.places.layers[layer];
        let (h, wide) = (self.width(), self.width() / self.config.num_attention_heads);
        let value = &self.theta[qkv.weight.clone()][(2 * h + head * wide) * h..][..wide * h];
        let square = |w: &[f32]| w.iter().map(|w| w * w).sum::<f32>();
        let rows = self.theta[out.weight.clone()].chunks_exact(h);
        square(value) * rows.map(|row| square(&row[head * wide..(head + 1) * wide])).sum::<f32>()
    }
}

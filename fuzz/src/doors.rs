//! What the fuzz targets of the app do, and what its tests do with every seed: bytes become a body, a recipe, an artefact or a model, or
//! an error that says why not.

use lingxi::finetune::texts::TextFiles;
use lingxi::http::doorway;
use lingxi::recipe::Recipe;
use lingxi_content::Generator;
use lingxi_content::gguf::Gguf;
use lingxi_data::Fingerprint;
use lingxi_data::artefact::{Reader, Writer};
use lingxi_decide::HnswIndex;
use serde_json::Value;
use std::path::Path;

/// The time of every request.
const NOW: i64 = 1_700_000_000;

/// Bytes as the body of `POST /api/feedback`; whether it was taken.
pub fn read_events(bytes: &[u8]) -> bool {
    let read = doorway::events(bytes, NOW);
    assert!(read.as_ref().map_or_else(|why| !why.is_empty(), |rows| *rows <= 10_000));
    read.is_ok()
}

/// Bytes as the body of `POST /api/items`; whether it was taken.
pub fn read_items(bytes: &[u8]) -> bool {
    let read = doorway::items(bytes);
    assert!(read.as_ref().map_or_else(|why| !why.is_empty(), |_| true));
    read.is_ok()
}

/// Bytes as a recipe; whether it is one. An error names the file.
pub fn read_recipe(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let read = Recipe::parse(text, Path::new("recipe.toml"));
    if let Err(why) = &read {
        assert!(why.to_string().contains("recipe.toml"), "{why}");
    }
    read.is_ok()
}

/// Bytes as labelled texts in a table; whether classes were found. An error names the file.
pub fn read_texts(bytes: &[u8]) -> bool {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("train.tsv"), bytes).expect("a small file");
    let files: TextFiles =
        serde_json::from_value(serde_json::json!({ "train": ["train.tsv"] })).expect("a description");
    let read = files.classes(dir.path(), 1);
    match &read {
        Ok(classes) => {
            assert!(classes.train.targets.iter().flatten().all(|class| (*class as usize) < classes.names.len()))
        }
        Err(why) => assert!(why.to_string().contains("train.tsv"), "{why}"),
    }
    read.is_ok()
}

/// Bytes as an artefact, then as the header of one whose checksum is right; whether either was read.
pub fn read_artefact(bytes: &[u8]) -> bool {
    let whole = Reader::of_bytes(Path::new("a.safetensors"), bytes.to_vec());
    if let Ok(reader) = &whole {
        let _ = reader.meta::<Value>();
        for name in ["vectors", "links", "a"] {
            let _ = (reader.column::<f32>(name), reader.column::<u32>(name), reader.column::<u8>(name));
        }
    }
    whole.is_ok() | serde_json::from_slice::<Value>(bytes).is_ok_and(|header| read_header(&header))
}

fn read_header(header: &Value) -> bool {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (vectors, of_item, level, links) = ([1.0f32, 0.0, 0.0, 1.0], [0u32, 1], [0u8, 0], [u32::MAX; 64]);
    let index = Writer::default()
        .column("vectors", &[2, 2], &vectors)
        .column("node_of_item", &[2], &of_item)
        .column("level", &[2], &level)
        .column("links", &[links.len()], &links);
    index.write(&dir.path().join("hnsw.safetensors"), header).expect("a small file");
    let source = serde_json::from_value(header["source"].clone()).unwrap_or(Fingerprint::of([b"none".as_slice()]));
    let config = serde_json::from_value(header["config"].clone()).unwrap_or_default();
    let index = HnswIndex::load(dir.path(), source, &config);
    if let Ok(index) = &index {
        assert!(index.search(&vec![1.0; index.dim()], 2).len() <= 2);
    }
    index.is_ok()
}

/// Bytes as a GGUF file, and what was read requantised and as a network; whether it was read. What is written reads well.
pub fn read_gguf(bytes: &[u8]) -> bool {
    let read = Gguf::of_bytes(Path::new("model.gguf"), bytes.to_vec());
    match &read {
        Ok(file) => {
            let q8 = Gguf::of_bytes(Path::new("q8.gguf"), file.to_q8("fuzz")).expect("what we write is a GGUF file");
            let _ = Generator::of(&q8);
        }
        Err(why) => assert!(why.to_string().contains("model.gguf"), "{why}"),
    }
    read.is_ok()
}

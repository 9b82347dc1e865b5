//! A layer behind pooling: read as sentence-transformers writes it, learned, saved and read again, and refused where it does not fit.

use crate::families::python;
use crate::tiny;
use lingxi_content::finetune::{Head, Lessons, Strategy, Task, Tuned, Tuning, Tutor, Visit};
use lingxi_content::{BertEncoder, Precision};
use lingxi_data::Encode;
use lingxi_kernels::dot;
use lingxi_train::train;
use safetensors::tensor::{Dtype, TensorView};
use std::path::Path;
use std::process::Command;

const MODULES: &str = r#"[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
    {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
    {"idx":2,"name":"2","path":"2_Dense","type":"sentence_transformers.models.Dense"},
    {"idx":3,"name":"3","path":"3_Normalize","type":"sentence_transformers.models.Normalize"}]"#;
const DENSE: &str =
    r#"{"in_features":4,"out_features":3,"bias":true,"activation_function":"torch.nn.modules.activation.Tanh"}"#;

fn weight() -> Vec<f32> {
    (0..12).map(|i| (i as f32 * 0.9).sin()).collect()
}

fn bias() -> Vec<f32> {
    vec![0.3, -0.2, 0.1]
}

fn write_layer(dir: &Path, tensors: &[(&str, Vec<usize>, Vec<f32>)]) {
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|t| t.2.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|(t, b)| (t.0, TensorView::new(Dtype::F32, t.1.clone(), b).unwrap()));
    let path = dir.join("2_Dense/model.safetensors");
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A tiny model with a layer of three numbers behind pooling.
fn write(dir: &Path) {
    tiny::write(dir);
    std::fs::create_dir(dir.join("2_Dense")).unwrap();
    std::fs::write(dir.join("modules.json"), MODULES).unwrap();
    std::fs::write(dir.join("2_Dense/config.json"), DENSE).unwrap();
    write_layer(dir, &[("linear.weight", vec![3, 4], weight()), ("linear.bias", vec![3], bias())]);
}

fn texts() -> Vec<Vec<u32>> {
    vec![vec![2, 4, 3], vec![2, 5, 3], vec![2, 4, 4, 3], vec![2, 5, 5, 7, 3], vec![2, 6, 4, 3], vec![2, 6, 5, 3]]
}

fn tuning(strategy: &Strategy, dense: &str) -> Tuning {
    let training = serde_json::json!({"epochs": 40, "batch": 3, "learning_rate": 0.02, "patience": 100});
    let head =
        if *strategy == Strategy::Head { Head::Next { temperature: 0.2 } } else { Head::InfoNce { temperature: 0.2 } };
    serde_json::from_value(serde_json::json!({
        "strategy": strategy, "head": head, "dropout": 0.0, "tokens": 6, "dense": dense, "training": training}))
    .unwrap()
}

fn lessons(strategy: &Strategy) -> Lessons {
    let visit = |past: &[(u32, f32)], next| Visit { past: past.to_vec(), next };
    let pair = |left, right| lingxi_content::finetune::Pair { left, right, worse: vec![5] };
    let task = match strategy {
        Strategy::Head => Task::Visits {
            rivals: (1..6).collect(),
            visits: vec![visit(&[(1, 0.5), (2, 0.5)], 4), visit(&[(1, 1.0)], 3), visit(&[(5, 1.0)], 2)],
        },
        _ => Task::Pairs(vec![pair(0, 4), pair(1, 3), pair(2, 0)]),
    };
    Lessons { texts: texts(), task }
}

/// Learns and saves; the losses of all steps.
fn learnt(strategy: &Strategy, base: &Path, to: &Path) -> (Tuned, Vec<f64>) {
    let tuning = tuning(strategy, "whitened");
    let mut tutor = Tutor::new(base, &tuning, lessons(strategy), lessons(strategy), 1).unwrap();
    let (start, mut losses) = (tutor.parameters(), Vec::new());
    let best = train(&tuning.training, &mut tutor, start, 1, &mut |step| losses.push(step.loss));
    let tuned = tutor.tuned(&best);
    tuned.save(base, to, &[]).unwrap();
    (tuned, losses)
}

fn unit(rows: &[f32], h: usize) -> Vec<f32> {
    rows.chunks(h).flat_map(|row| row.iter().map(|x| x / dot(row, row).sqrt())).collect()
}

#[track_caller]
fn alike(a: &[f32], b: &[f32], within: f32) {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() <= within, "{a} and {b}"));
}

#[test]
fn a_directory_with_a_layer_gives_the_activation_of_its_product_at_length_one() {
    let (plain, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tiny::write(plain.path());
    write(dir.path());
    let strategy = Strategy::Top(1);
    let tutor = Tutor::new(plain.path(), &tuning(&strategy, "identity"), lessons(&strategy), lessons(&strategy), 1);
    let tutor = tutor.unwrap();
    let start = tutor.parameters();
    let pooled = tutor.tuned(&start).pooled(&texts());
    let (weight, bias) = (weight(), bias());
    let layer = |z: &[f32]| -> Vec<f32> {
        weight.chunks(4).zip(&bias).map(|(row, bias)| (dot(row, z) + bias).tanh()).collect()
    };
    let want: Vec<f32> = pooled.chunks(4).flat_map(layer).collect();
    let encoder = BertEncoder::load(dir.path(), Precision::F32).unwrap();
    assert_eq!(encoder.dim(), 3);
    alike(&encoder.encode_tokens(&texts()), &unit(&want, 3), 1e-4);
    let other = BertEncoder::load(plain.path(), Precision::F32).unwrap();
    assert!(encoder.revision() != other.revision() && encoder.provenance().pooling == "mean, dense");
}

#[test]
fn other_numbers_of_the_layer_are_another_revision() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let before = BertEncoder::load(dir.path(), Precision::F32).unwrap().revision();
    write_layer(dir.path(), &[("linear.weight", vec![3, 4], weight()), ("linear.bias", vec![3], vec![0.0; 3])]);
    assert_ne!(before, BertEncoder::load(dir.path(), Precision::F32).unwrap().revision());
}

#[test]
fn a_layer_that_does_not_fit_is_refused_by_its_file_and_what_was_expected() {
    let refused = |spoil: &dyn Fn(&Path), said: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path());
        spoil(dir.path());
        let why = BertEncoder::load(dir.path(), Precision::F32).err().expect("it is refused").to_string();
        said.iter().for_each(|said| assert!(why.contains(said), "{said} in {why}"));
    };
    let swap = |file: &'static str, from: &'static str, to: &'static str| {
        move |dir: &Path| {
            let text = std::fs::read_to_string(dir.join(file)).unwrap();
            assert!(text.contains(from));
            std::fs::write(dir.join(file), text.replace(from, to)).unwrap();
        }
    };
    let only_bias = |dir: &Path| write_layer(dir, &[("linear.bias", vec![3], bias())]);
    refused(&only_bias, &["2_Dense/model.safetensors", "linear.weight", "[3, 4]", "no such tensor"]);
    let narrow = |dir: &Path| write_layer(dir, &[("linear.weight", vec![2, 4], weight()[..8].to_vec())]);
    refused(&narrow, &["linear.weight", "[3, 4]", "[2, 4]"]);
    refused(
        &swap("2_Dense/config.json", "\"in_features\":4", "\"in_features\":5"),
        &["in_features", "4, the width", "got 5"],
    );
    refused(&swap("2_Dense/config.json", "Tanh", "ReLU"), &["activation_function", "Tanh", "ReLU"]);
    refused(&swap("2_Dense/config.json", "\"out_features\":3", "\"out_features\":0"), &["out_features", "got 0"]);
    refused(&swap("modules.json", "models.Normalize", "models.LSTM"), &["modules.json", "at most one Dense", "LSTM"]);
    refused(&swap("modules.json", "2_Dense", "../2_Dense"), &["modules.json", "the name of a directory", "../2_Dense"]);
    let gone = |dir: &Path| std::fs::remove_file(dir.join("2_Dense/model.safetensors")).unwrap();
    refused(&gone, &["2_Dense/model.safetensors", "fetch the model again"]);
}

#[test]
fn a_whitened_layer_learns_with_each_strategy_and_is_read_again_by_encoder_and_tutor() {
    let lora: Strategy = serde_json::from_str(r#"{"lora": {"rank": 2}}"#).unwrap();
    for strategy in [Strategy::Head, Strategy::Top(1), Strategy::Full, lora] {
        let (base, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        tiny::write(base.path());
        let (tuned, losses) = learnt(&strategy, base.path(), dir.path());
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(last < first, "{}: {first} became {last}", strategy.name());
        let want = unit(&tuned.vectors(&texts()), 4);
        alike(&unit(&Tuned::load(dir.path()).unwrap().0.vectors(&texts()), 4), &want, 1e-5);
        // Whitening four numbers makes the last digits of the two networks larger.
        alike(&BertEncoder::load(dir.path(), Precision::F32).unwrap().encode_tokens(&texts()), &want, 1e-3);
        // Who goes on to learn begins where the layer is, and does not whiten once more.
        let again = Tutor::new(dir.path(), &tuning(&strategy, "whitened"), lessons(&strategy), lessons(&strategy), 2);
        let again = again.unwrap();
        let start = again.parameters();
        alike(&unit(&again.tuned(&start).vectors(&texts()), 4), &want, 1e-4);
        // At one end of the way lies the encoder as it was, which has no such layer.
        let plain = BertEncoder::load(base.path(), Precision::F32).unwrap().encode_tokens(&texts());
        alike(&unit(&tuned.between(base.path(), 0.0).unwrap().vectors(&texts()), 4), &plain, 1e-4);
        alike(&unit(&tuned.between(base.path(), 1.0).unwrap().vectors(&texts()), 4), &want, 1e-4);
    }
}

#[test]
fn what_comes_next_is_learned_by_the_layer_alone() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(dir.path());
    let (head, top) = (Strategy::Head, Strategy::Top(1));
    let wrong = Tuning { strategy: top, ..tuning(&head, "whitened") };
    let why = Tutor::new(dir.path(), &wrong, lessons(&head), lessons(&head), 1).err().expect("refused").to_string();
    assert!(why.contains("strategy") && why.contains("top layers"), "{why}");
    let without = Tuning { dense: None, ..tuning(&head, "whitened") };
    let why = Tutor::new(dir.path(), &without, lessons(&head), lessons(&head), 1).err().expect("refused").to_string();
    assert!(why.contains("dense") && why.contains("whitened or identity"), "{why}");
}

#[test]
fn a_directory_that_sentence_transformers_wrote_gives_its_vectors() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = |script: &str, arguments: &[&Path]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(script);
        let out = Command::new(&python).arg(script).args(arguments).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    };
    run("make_families.py", &[dir.path()]);
    let [family, words, out] = ["bert", "texts.json", "dense"].map(|name| dir.path().join(name));
    run("make_dense.py", &[&family, &words, &out]);
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(words).unwrap()).unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let bytes = std::fs::read(out.with_extension("f32")).unwrap();
    let want: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let got = BertEncoder::load(&out, Precision::F32).unwrap().encode(&texts);
    assert_eq!(got.len(), want.len());
    let worst = got.chunks(40).zip(want.chunks(40)).map(|(a, b)| dot(a, b)).fold(f32::INFINITY, f32::min);
    println!("least cosine to sentence-transformers: {worst}");
    assert!(worst >= 0.999_99, "cosine {worst}");
    assert!(dot(&want[..40], &want[40..80]) < 0.999);
}

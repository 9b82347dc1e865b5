//! GGUF files: read, requantised, kept, and refused with the place where they are wrong.

use crate::draft::{Draft, text};
use lingxi_content::gguf::{Gguf, Kind};
use lingxi_content::{ContentError, Generator};
use proptest::prelude::*;
use std::path::Path;

fn read(bytes: Vec<u8>) -> Result<Gguf, ContentError> {
    Gguf::of_bytes(Path::new("m.gguf"), bytes)
}

/// What is said of a draft that was changed.
#[track_caller]
fn refused(change: impl FnOnce(&mut Draft), said: &[&str]) {
    let mut draft = Draft::new();
    change(&mut draft);
    let why =
        read(draft.bytes()).and_then(|file| Generator::of(&read(file.to_q8("x"))?)).map(drop).unwrap_err().to_string();
    assert!(why.contains("m.gguf") && said.iter().all(|said| why.contains(said)), "{why}");
}

#[test]
fn what_is_missing_or_does_not_fit_is_named_with_what_was_expected() {
    refused(|d| drop(d.settings.remove("llama.block_count")), &["llama.block_count", "no such setting"]);
    refused(|d| drop(d.tensors.remove("blk.1.ffn_up.weight")), &["blk.1.ffn_up.weight", "[96, 64]", "no such tensor"]);
    refused(|d| d.tensors.get_mut("blk.0.attn_k.weight").unwrap().0.swap(0, 1), &["attn_k", "[32, 64]", "[64, 32]"]);
    refused(
        |d| drop(d.settings.insert("llama.attention.head_count".into(), (4, vec![5, 0, 0, 0]))),
        &["head_count", "5 and 2"],
    );
    refused(|d| drop(d.settings.insert("general.architecture".into(), (8, text("qwen2")))), &["llama", "qwen2"]);
    refused(|d| drop(d.settings.insert("tokenizer.ggml.pre".into(), (8, text("llama-bpe")))), &["smollm", "llama-bpe"]);
    refused(
        |d| drop(d.settings.insert("llama.rope.freq_base".into(), (6, vec![0; 4]))),
        &["freq_base", "above 0", "got 0"],
    );
    refused(|d| drop(d.settings.insert("llama.rope.scaling.type".into(), (8, text("yarn")))), &["not implemented"]);
    refused(
        |d| d.tensors.get_mut("output_norm.weight").unwrap().1[3] = f32::NAN,
        &["output_norm", "finite", "NaN at 3"],
    );
    refused(|d| drop(d.settings.insert("tokenizer.ggml.eos_token_id".into(), (4, vec![0, 2, 0, 0]))), &["eos", "512"]);
}

#[test]
fn a_file_that_ends_early_or_lies_about_lengths_is_refused_without_a_panic_or_much_memory() {
    let whole = Draft::new().bytes();
    for end in [0, 3, 4, 7, 15, 24, 60, 300, 5000, whole.len() - 1] {
        let why = read(whole[..end].to_vec()).map(drop).unwrap_err().to_string();
        assert!(why.contains("m.gguf"), "{end}: {why}");
    }
    for (at, said) in [(8, "tensors"), (16, "settings"), (24, "name of a setting")] {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        let why = read(bytes).map(drop).unwrap_err().to_string();
        assert!(why.contains(said) && why.contains("18446744073709551615"), "{why}");
    }
    let mut bytes = whole.clone();
    bytes[4] = 1;
    assert!(read(bytes).map(drop).unwrap_err().to_string().contains("version 2 or 3"));
    assert!(read(b"GGML....".to_vec()).map(drop).unwrap_err().to_string().contains("the letters GGUF"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_file_with_any_byte_changed_is_read_or_refused(at in 0usize..14_000, byte in any::<u8>()) {
        let mut bytes = Draft::new().bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(file) = read(bytes)
            && let Ok(q8) = read(file.to_q8("x"))
        {
            let _ = Generator::of(&q8).map(drop);
        }
    }
}

#[test]
fn a_network_in_q8_has_the_same_settings_and_numbers_within_half_a_step() {
    let draft = Draft::new();
    let file = read(draft.bytes()).unwrap();
    let q8 = read(file.to_q8("source")).unwrap();
    assert_eq!(q8.text("lingxi.source").unwrap(), "source");
    assert_eq!(q8.whole("llama.embedding_length", 1, 100).unwrap(), 64);
    assert_eq!(q8.texts("tokenizer.ggml.tokens").unwrap(), file.texts("tokenizer.ggml.tokens").unwrap());
    for (name, (shape, numbers)) in &draft.tensors {
        let got = q8.floats(name, shape).unwrap();
        for (got, want) in got.chunks(32).zip(numbers.chunks(32)) {
            let top = want.iter().fold(0f32, |top, x| top.max(x.abs()));
            let step = if shape.len() == 1 { 0.0 } else { top / 127.0 * 0.51 + top * 0.001 };
            got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() <= step, "{name}: {g} {w}"));
        }
    }
    // Requantising what is in Q8_0 changes no bit of it.
    let again = read(q8.to_q8("source")).unwrap();
    assert_eq!(again.bytes(), q8.bytes());
}

#[test]
fn what_was_requantised_is_kept_and_made_again_if_a_bit_of_it_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (model, folder) = (dir.path().join("m.gguf"), dir.path().join("q8"));
    std::fs::write(&model, Draft::new().bytes()).unwrap();
    let first = Gguf::read_q8(&model, &folder).unwrap();
    let kept = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read(&kept).unwrap(), first.bytes());
    let made = std::fs::metadata(&kept).unwrap().modified().unwrap();
    assert_eq!(Gguf::read_q8(&model, &folder).unwrap().bytes(), first.bytes());
    assert_eq!(std::fs::metadata(&kept).unwrap().modified().unwrap(), made, "kept, not made again");
    let mut spoilt = first.bytes().to_vec();
    let end = spoilt.len() - 100;
    spoilt[end] ^= 1;
    std::fs::write(&kept, spoilt).unwrap();
    assert_eq!(Gguf::read_q8(&model, &folder).unwrap().bytes(), first.bytes());
    assert_eq!(std::fs::read(&kept).unwrap(), first.bytes());
}

/// One block of each kind by hand: scale 2, least value 3 where there is one.
#[test]
fn each_kind_of_numbers_says_what_it_is_meant_to() {
    let (two, three) = (0x4000u16.to_le_bytes(), 0x4200u16.to_le_bytes());
    // The first number 1, the 17th 2, the last 15.
    let mut nibbles = [0u8; 16];
    (nibbles[0], nibbles[15]) = (0x21, 0xf0);
    let got = |kind: Kind, bytes: &[&[u8]]| {
        let all = kind.to_f32(&bytes.concat());
        assert_eq!(all.len(), 32);
        [all[0], all[1], all[16], all[31]]
    };
    assert_eq!(got(Kind::Q4_0, &[&two, &nibbles]), [-14.0, -16.0, -12.0, 14.0]);
    assert_eq!(got(Kind::Q4_1, &[&two, &three, &nibbles]), [5.0, 3.0, 7.0, 33.0]);
    // A fifth bit on the first and the last.
    let fifths = [1, 0, 0, 128];
    assert_eq!(got(Kind::Q5_0, &[&two, &fifths, &nibbles]), [2.0, -32.0, -28.0, 30.0]);
    assert_eq!(got(Kind::Q5_1, &[&two, &three, &fifths, &nibbles]), [37.0, 3.0, 7.0, 65.0]);
    let mut bytes = [0u8; 32];
    (bytes[0], bytes[31]) = (1, 0x80);
    assert_eq!(got(Kind::Q8_0, &[&two, &bytes]), [2.0, 0.0, 0.0, -256.0]);
    assert_eq!(Kind::F16.to_f32(&two), [2.0]);
    assert_eq!(Kind::Bf16.to_f32(&0x4040u16.to_le_bytes()), [3.0]);
    assert_eq!(Kind::F32.to_f32(&1.5f32.to_le_bytes()), [1.5]);
}

//! `/v1/embeddings`, `/embed`, `/similarity` and `/rerank`, asked as other programs do.

use crate::{python, whole};
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn vectors_are_those_of_the_encoder_whichever_shape_they_are_asked_in() {
    let dir = tempfile::tempdir().unwrap();
    let Some(served) = whole::shop(dir.path()) else { return };
    let texts = ["green tea", "black tea", "a garden hose"];
    let vectors = |answer: &Value| -> Vec<Vec<f64>> { serde_json::from_value(answer.clone()).unwrap() };
    let plain = vectors(&served.post("/embed", &json!({"inputs": texts})));
    let asked = json!({"input": texts, "model": "all-MiniLM-L6-v2"});
    let openai = served.post("/v1/embeddings", &asked);
    assert_eq!(openai["data"][1]["embedding"], json!(plain[1]));
    let cosine = |a: usize, b: usize| plain[a].iter().zip(&plain[b]).map(|(x, y)| x * y).sum::<f64>();
    let asked = json!({"inputs": {"source_sentence": texts[0], "sentences": texts[1..]}});
    let near: Vec<f64> = serde_json::from_value(served.post("/similarity", &asked)).unwrap();
    assert!((near[0] - cosine(0, 1)).abs() < 1e-5 && (near[1] - cosine(0, 2)).abs() < 1e-5, "{near:?}");
    let asked = json!({"query": "watering plants", "texts": texts, "return_text": true, "raw_scores": true});
    let ranked = served.post("/rerank", &asked);
    assert_eq!((&ranked[0]["index"], &ranked[0]["text"]), (&json!(2), &json!("a garden hose")));
    assert_eq!(ranked.as_array().unwrap().len(), 3);
}

#[test]
fn what_cannot_be_encoded_is_refused_with_the_place_and_what_fits() {
    let dir = tempfile::tempdir().unwrap();
    let Some(served) = whole::shop(dir.path()) else { return };
    let refused = |path: &str, body: Value, status: u16, said: &str| {
        let request =
            ureq::post(format!("http://{}{path}", served.address())).config().http_status_as_error(false).build();
        let mut response = request.send(body.to_string()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        assert_eq!(response.status(), status, "{body}: {text}");
        assert!(text.contains(said), "{body}: {text}");
    };
    refused("/v1/embeddings", json!({"input": [], "model": "all-MiniLM-L6-v2"}), 400, "1 to 2048 texts");
    refused("/v1/embeddings", json!({"input": ["a", ""]}), 400, "input[1]");
    refused("/v1/embeddings", json!({"input": [1, 2]}), 400, "a text or a list of texts");
    refused("/v1/embeddings", json!({"input": "a", "model": "gpt-9"}), 400, "all-MiniLM-L6-v2");
    refused("/v1/embeddings", json!({"input": "a", "dimensions": 5}), 400, "384");
    refused("/v1/embeddings", json!({"input": "a", "encoding_format": "hex"}), 400, "float or base64");
    refused("/embed", json!({"inputs": "a", "normalize": false}), 400, "normalize");
    refused("/embed", json!({"inputs": "a", "pooling": "x"}), 400, "pooling");
    refused("/embed", json!({"inputs": "word ".repeat(400), "truncate": false}), 400, "256 tokens");
    refused("/embed", json!({"inputs": vec!["word ".repeat(400); 200]}), 413, "32768 tokens");
    refused("/similarity", json!({"inputs": {"source_sentence": "a", "sentences": []}}), 400, "2 to 2048");
    refused("/rerank", json!({"query": "", "texts": ["a"]}), 400, "an empty one");
    assert!(served.is_alive());
}

#[test]
fn more_than_can_wait_is_refused_with_the_time_to_come_again_and_all_others_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let Some(served) = whole::shop(dir.path()) else { return };
    let body = json!({"inputs": vec!["word ".repeat(250); 40]}).to_string();
    let ask = || {
        let request =
            ureq::post(format!("http://{}/embed", served.address())).config().http_status_as_error(false).build();
        let mut response = request.send(body.as_str()).unwrap();
        let again = response.headers().get("retry-after").is_some();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), again, text)
    };
    let answers: Vec<(u16, bool, String)> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (served_well, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(status, ..)| *status == 200);
    assert!(!served_well.is_empty() && !refused.is_empty(), "{} of 12 were answered", served_well.len());
    let whole: Vec<Vec<f32>> = serde_json::from_str(&served_well[0].2).unwrap();
    assert_eq!((whole.len(), whole[0].len()), (40, 384));
    assert!(refused.iter().any(|(status, ..)| *status == 429), "the line is bounded");
    for (status, again, text) in refused {
        // A build for tests encodes slowly: who waits may wait too long.
        let known = if *status == 408 { text.contains("timeout") } else { [429, 503].contains(status) && *again };
        assert!(known, "{status}: {text}");
    }
    assert!(served.is_alive());
}

#[test]
fn openais_and_hugging_faces_clients_work_with_this_server() {
    if !python::slow("install openai and huggingface_hub from PyPI and let them talk to a server") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let served = whole::shop(dir.path()).expect("the language model is needed: lingxi assets fetch all-MiniLM-L6-v2");
    let bin = python::with("vectors", &["openai==3.54.0", "huggingface_hub==2.4.0", "numpy==1.26.4"]);
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/vectors_client.py");
    let output = Command::new(bin.join("python")).arg(script).arg(served.address()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    assert!(output.status.success() && text.contains("statements about the answers hold"));
}

//! The server as programs of others meet it: Gorse's published Python client, and a fuzzer that reads the document of the API.

use crate::{python, whole};
use std::process::{Command, Output};

/// What a program said, if it ended well; otherwise the test fails with it.
fn said(output: &Output) -> String {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn gorses_python_client_works_with_this_server() {
    if !python::slow("install pygorse from PyPI and let it talk to a server") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let served = whole::shop(dir.path()).expect("the language model is needed: lingxi assets fetch all-MiniLM-L6-v2");
    let bin = python::with("pygorse", &["pygorse==0.5.1", "requests", "aiohttp"]);
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pygorse_client.py");
    let output = Command::new(bin.join("python")).arg(script).arg(served.address()).output().unwrap();
    let text = said(&output);
    println!("{text}");
    assert!(text.contains("statements about the answers to pygorse hold"));
}

#[test]
fn nothing_that_a_fuzzer_sends_fails_the_server_and_nothing_invalid_is_taken() {
    if !python::slow("send about 10,000 requests made by schemathesis") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let served = whole::shop(dir.path()).expect("the language model is needed: lingxi assets fetch all-MiniLM-L6-v2");
    let bin = python::with("schemathesis", &["schemathesis==4.32.5"]);
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                  response_headers_conformance,negative_data_rejection,unsupported_method";
    let output = Command::new(bin.join("schemathesis"))
        .arg("run")
        .arg(format!("http://{}/api/openapi.json", served.address()))
        .args(["--checks", checks, "--phases", "examples,coverage,fuzzing", "--mode", "all"])
        .args(["--max-examples", "160", "--generation-deterministic", "--suppress-health-check", "all", "--no-color"])
        .args(["--continue-on-failure", "--request-timeout", "60"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = said(&output);
    let summary = text.rfind("SUMMARY").map_or(text.as_str(), |at| &text[at..]);
    println!("{summary}");
    let counted = summary.split(" generated,").next();
    let sent = counted.and_then(|before| before.split_whitespace().last()?.parse::<u32>().ok());
    assert!(sent.is_some_and(|sent| sent > 5_000), "too few requests to say anything: {sent:?}");
    assert!(served.is_alive(), "the server still runs");
}

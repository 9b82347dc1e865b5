//! The view of experiments: a person starts one, watches it, sees an arm stopped by its guardrail, and stops another.

use super::{Browser, call};
use crate::shop::{NOW, Server};
use serde_json::{Value, json};

/// A picture of the page as it is, where somebody wants to look at it: `LINGXI_PICTURES` names a folder.
fn picture(browser: &Browser, name: &str) {
    let Some(folder) = std::env::var_os("LINGXI_PICTURES") else { return };
    let size = browser.eval("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]");
    let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
    let body = json!({"cmd": "Page.captureScreenshot", "params": {"captureBeyondViewport": true, "clip": clip}});
    let taken = call("POST", &format!("{}/goog/cdp/execute", browser.session), &body);
    let bytes = decoded(taken["data"].as_str().unwrap());
    std::fs::write(std::path::Path::new(&folder).join(name), bytes).unwrap();
}

/// Base64, as a browser writes it.
fn decoded(text: &str) -> Vec<u8> {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let signs = text.bytes().filter_map(|byte| SIGNS.iter().position(|sign| *sign == byte));
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for sign in signs {
        (held, bits) = (held << 6 | sign as u32, bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}

/// Shoppers come once each; those who see tea first buy it, as nine in ten would.
fn come(server: &Server, shoppers: std::ops::Range<usize>) {
    for i in shoppers {
        let user = format!("visitor-{i}");
        let slate = server.slate(&user, 5);
        let kind = if slate[0].starts_with("tea") && i % 10 > 0 { "buy" } else { "click" };
        let event = json!([{"FeedbackType": kind, "UserId": user, "ItemId": slate[0], "Timestamp": NOW}]);
        assert_eq!(server.post(event.to_string(), None).0, 200);
    }
}

fn several_arms() -> Value {
    json!({
        "name": "chance", "about": "May chance choose?", "layer": "page", "shoppers": 1000, "first": 60,
        "metrics": ["conversion", "clicks"],
        "arms": [
            {"name": "control", "share": 1},
            {"name": "same", "share": 1},
            {"name": "chance", "share": 1, "policy": {"kind": "softmax", "temperature": 1e9}},
        ],
        "guardrails": [{"metric": "conversion", "tolerated": 0.05}],
    })
}

#[test]
fn a_person_starts_an_experiment_watches_an_arm_being_stopped_and_stops_the_rest() {
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    assert_eq!(server.send("POST", "/api/experiments", &several_arms().to_string()).0, 200);
    browser.open(&format!("http://{}/#/experiments", server.address()));
    browser.wait("document.querySelector('#experiment-chance')?.innerText.includes('0')");
    // Nothing is said before there are shoppers enough.
    browser.wait("document.querySelectorAll('#experiment-chance svg.interval line:not(.rail):not(.zero):not(.bar)').length === 0");
    come(&server, 0..450);
    browser.wait("document.querySelector('#experiment-chance .stopped')?.innerText.includes('conversion')");
    browser.wait("document.querySelectorAll('#experiment-chance svg.interval').length >= 4");
    assert_eq!(browser.nameless(), [] as [String; 0]);
    picture(&browser, "experiments-wide.png");

    browser.click("#experiment-new summary");
    browser.keys("#new-name", "held-back");
    browser.keys("#new-explore", "\u{e011}"); // Home: nothing is left to chance
    browser.click("#experiment-form .primary");
    browser.wait("document.querySelector('#experiment-held-back')");
    let started = server.get("/api/experiments/held-back").2;
    assert_eq!((&started["State"], &started["Arms"][1]["Explore"]), (&json!("running"), &json!(0.0)), "{started}");
    browser.click("#experiment-form .primary");
    browser.wait("document.querySelector('#alert').innerText.includes('held-back')"); // refused: there is one already
    browser.click("#alert button");
    browser.click("#stop-chance");
    browser.wait("document.querySelector('#question[open]')");
    assert_eq!(browser.nameless(), [] as [String; 0]);
    browser.click("#question .primary");
    browser.wait("!document.querySelector('#stop-chance')");
    assert_eq!(server.get("/api/experiments/chance").2["State"], "ended");

    browser.click("#lang-toggle");
    browser.wait("document.documentElement.lang.startsWith('zh')");
    assert_eq!(browser.nameless(), [] as [String; 0]);
    let rect = json!({"width": 500, "height": 900});
    call("POST", &format!("{}/window/rect", browser.session), &rect);
    let phone = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": {
        "width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true}});
    call("POST", &format!("{}/goog/cdp/execute", browser.session), &phone);
    browser.wait("document.documentElement.scrollWidth <= document.documentElement.clientWidth");
    picture(&browser, "experiments-phone.png");
    browser.click("#lang-toggle");
    browser.wait("document.documentElement.lang.startsWith('en')");
    browser.wait("document.documentElement.scrollWidth <= document.documentElement.clientWidth");
    picture(&browser, "experiments-phone-english.png");
    let complaints = browser.complaints();
    let other = |line: &&Value| !line["message"].as_str().unwrap_or_default().contains("409");
    assert_eq!(complaints.iter().filter(other).count(), 0, "{complaints:?}");
}

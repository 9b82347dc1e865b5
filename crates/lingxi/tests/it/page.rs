//! The page in a real browser (headless Chromium through its WebDriver): what a person does changes what they see.

mod experiments;

use crate::shop::Server;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a machine that builds snapshots beside the browser.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one tab; closed when dropped.
struct Browser {
    driver: Child,
    session: String,
}

impl Browser {
    /// `None`, and a word about it, where no browser is installed.
    fn start() -> Option<Browser> {
        let driver = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut driver) = driver else {
            println!("SKIPPED: no browser; install the packages chromium and chromium-driver");
            return None;
        };
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines
            .find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse::<u16>().ok());
        let base = format!("http://127.0.0.1:{}/session", port.expect("the driver says its port"));
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--window-size=1280,1600",
            "--accept-lang=en-US",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": args}, "goog:loggingPrefs": {"browser": "ALL"}}}});
        let answer = call("POST", &base, &wanted);
        let Some(id) = answer["sessionId"].as_str() else {
            println!("SKIPPED: the browser does not start here: {answer}");
            let _ = driver.kill();
            let _ = driver.wait();
            return None;
        };
        Some(Browser { session: format!("{base}/{id}"), driver })
    }

    fn open(&self, address: &str) {
        call("POST", &format!("{}/url", self.session), &json!({ "url": address }));
    }

    /// What a script returns.
    fn eval(&self, script: &str) -> Value {
        let body = json!({"script": format!("return {script}"), "args": []});
        call("POST", &format!("{}/execute/sync", self.session), &body)
    }

    /// Waits until a script returns something true.
    fn wait(&self, script: &str) {
        let until = Instant::now() + PATIENCE;
        while self.eval(&format!("Boolean({script})")) != json!(true) {
            assert!(
                Instant::now() < until,
                "never true: {script}; the page says: {}",
                self.eval("document.body.innerText")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks for something to be done to an element until it is done: one that is still being drawn, moved or covered is
    /// tried again, as a person would.
    fn act(&self, css: &str, what: &str, body: &Value) {
        let until = Instant::now() + PATIENCE;
        loop {
            let find = json!({"using": "css selector", "value": css});
            let found = call("POST", &format!("{}/element", self.session), &find);
            let answer = match found
                .as_object()
                .and_then(|o| o.values().next()?.as_str())
                .filter(|_| found["error"].is_null())
            {
                Some(id) => call("POST", &format!("{}/element/{id}/{what}", self.session), body),
                None => found,
            };
            if answer["error"].is_null() {
                return;
            }
            assert!(Instant::now() < until, "{what} of {css}: {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn click(&self, css: &str) {
        self.act(css, "click", &json!({}));
    }

    fn keys(&self, css: &str, text: &str) {
        self.act(css, "value", &json!({ "text": text }));
    }

    /// The goods of the slate, in their order.
    fn slate(&self) -> Vec<String> {
        let ids = self.eval("[...document.querySelectorAll('#slate article')].map(a => a.dataset.item)");
        serde_json::from_value(ids).unwrap()
    }

    /// What the browser complained of.
    fn complaints(&self) -> Vec<Value> {
        let log = call("POST", &format!("{}/se/log", self.session), &json!({"type": "browser"}));
        log.as_array().unwrap().iter().filter(|line| line["level"] == "SEVERE").cloned().collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn call(method: &str, address: &str, body: &Value) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = ureq::http::Request::builder().method(method).uri(address).header("content-type", "application/json");
    let mut response = agent.run(request.body(body.to_string()).unwrap()).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    serde_json::from_str::<Value>(&text).unwrap_or_else(|e| panic!("{address}: {e}: {text}"))["value"].take()
}

#[test]
fn a_person_invents_a_shopper_searches_buys_and_sees_the_slate_change() {
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    browser.open(&format!("http://{}/", server.address()));
    browser.keys("#shopper-input", "somebody-new");
    browser.click("#shopper-go");
    browser.wait("document.querySelectorAll('#slate article').length > 3");
    let before = browser.slate();
    assert!(before.iter().all(|id| id.starts_with("tea")), "the default slate: {before:?}");
    browser.keys("#search-input", "soap\u{e007}");
    browser.wait("document.querySelector('#search-results article[data-item^=soap]')");
    browser.click("#search-results article[data-item^=soap] [data-act=buy]");
    browser.wait("document.querySelector('#slate article[data-item^=soap]')");
    browser.wait("document.querySelector('#history').innerText.includes('soap')");
    browser.wait("document.querySelector('#announce').innerText.trim()");
    assert_eq!(server.events(), 1, "one click, one event");
    assert_eq!(browser.complaints(), [] as [Value; 0]);
}

#[test]
fn every_view_opens_in_both_languages_and_for_a_narrow_screen() {
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    server.buy("shopper-1", "tea-3");
    browser.open(&format!("http://{}/", server.address()));
    browser.wait("document.querySelector('h1')?.innerText.trim()");
    for view in ["catalogue", "events", "experiments", "health", "shop"] {
        browser.click(&format!("#nav-{view}"));
        browser.wait(&format!("document.querySelector('#nav-{view}').getAttribute('aria-current')"));
        browser.wait("[...document.querySelectorAll('h1, h2')].some(h => h.offsetParent && h.innerText.trim())");
    }
    let english = browser.eval("document.querySelector('#nav-shop').innerText");
    browser.click("#lang-toggle");
    browser.wait("document.documentElement.lang.startsWith('zh')");
    assert_ne!(browser.eval("document.querySelector('#nav-shop').innerText"), english);
    let rect = json!({"width": 500, "height": 900});
    call("POST", &format!("{}/window/rect", browser.session), &rect);
    browser.wait("document.documentElement.scrollWidth <= document.documentElement.clientWidth");
    assert_eq!(browser.complaints(), [] as [Value; 0]);
}

/// What a person operates; each must say what it is to who cannot see it.
const OPERATED: [&str; 10] =
    ["button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "slider", "spinbutton", "tab"];

impl Browser {
    /// What assistive technology is told: roles that have no name.
    fn nameless(&self) -> Vec<String> {
        let body = json!({"cmd": "Accessibility.getFullAXTree", "params": {}});
        let tree = call("POST", &format!("{}/goog/cdp/execute", self.session), &body);
        let nodes = tree["nodes"].as_array().expect("the browser tells its tree");
        let operated = |node: &&Value| {
            let role = node["role"]["value"].as_str().unwrap_or_default();
            node["ignored"] == false && (OPERATED.contains(&role) || role == "image")
        };
        let operated: Vec<&Value> = nodes.iter().filter(operated).collect();
        assert!(!operated.is_empty(), "there is something to operate");
        let nameless = |node: &&&Value| node["name"]["value"].as_str().unwrap_or_default().trim().is_empty();
        operated.iter().filter(nameless).map(|node| node.to_string()).collect()
    }
}

#[test]
fn everything_that_can_be_operated_has_a_name_in_both_languages_and_can_be_reached_with_the_keyboard() {
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    server.buy("shopper-1", "tea-3");
    browser.open(&format!("http://{}/", server.address()));
    browser.wait("document.querySelector('#nav-shop')?.innerText.trim()");
    for language in ["en", "zh"] {
        for view in ["catalogue", "events", "experiments", "health", "learning", "quality", "shop"] {
            browser.click(&format!("#nav-{view}"));
            browser.wait(&format!("document.querySelector('#nav-{view}').getAttribute('aria-current')"));
            assert_eq!(browser.nameless(), [] as [String; 0], "{language} {view}");
        }
        assert!(browser.eval("document.documentElement.lang").as_str().unwrap().starts_with(language));
        browser.click("#lang-toggle");
    }
    browser.open(&format!("http://{}/docs", server.address()));
    browser.wait("document.querySelectorAll('details').length > 40");
    assert_eq!(browser.nameless(), [] as [String; 0], "docs");
    let unreachable =
        "[...document.querySelectorAll('a, button, input, select, summary')].filter(e => e.tabIndex < 0).length";
    assert_eq!(browser.eval(unreachable), json!(0));
}

#[test]
fn the_description_of_the_api_lists_every_call_and_tries_one() {
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("s"));
    browser.open(&format!("http://{}/docs", server.address()));
    browser.wait("document.querySelectorAll('details').length > 40");
    browser.keys("#docs-filter", "/health/ready");
    browser.wait("[...document.querySelectorAll('details')].filter(d => d.offsetParent).length < 5");
    browser.click("details#get_health_ready summary");
    browser.wait("document.querySelector('details#get_health_ready form.try')");
    browser.click("details#get_health_ready form.try button");
    browser.wait("document.querySelector('details#get_health_ready').innerText.includes('\"ready\"')");
    assert_eq!(browser.complaints(), [] as [Value; 0]);
}

#[test]
fn a_person_rebuilds_sees_both_snapshots_and_goes_back() {
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    crate::whole::files(dir.path());
    let served = crate::whole::Served::start(dir.path());
    let first = served.get("/health/ready")["snapshot"].clone();
    served.post("/api/feedback", &json!([{"FeedbackType": "buy", "UserId": "zoe", "ItemId": "tea-1"}]));
    browser.open(&format!("http://{}/", served.address()));
    browser.click("#nav-builds");
    browser.wait("document.querySelector('#builds-kept table') && !document.querySelector('#build-start').disabled");
    browser.click("#build-start");
    browser.wait("document.querySelector('#serve-1')");
    assert_ne!(served.get("/health/ready")["snapshot"], first, "the new one answers");
    browser.click("#serve-1");
    browser.wait("document.querySelector('#question[open]')");
    browser.click("#question .primary");
    browser.wait("document.querySelector('#serve-2')");
    assert_eq!(served.get("/health/ready")["snapshot"], first, "the first answers again");
    assert_eq!(browser.complaints(), [] as [Value; 0]);
}

#[test]
fn a_person_sees_what_the_policy_learns_and_goes_back() {
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    crate::learn::files(dir.path(), 1.0);
    let served = crate::whole::Served::start(dir.path());
    let act = |from: u32| {
        for at in from..from + 12 {
            let slate = served.get(&format!("/api/recommend/tea-lover-{at}?n=10"));
            let (user, item) = (format!("tea-lover-{at}"), &slate[at as usize % 5]);
            served.post("/api/feedback", &json!([{"FeedbackType": "buy", "UserId": user, "ItemId": item}]));
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    act(0);
    browser.open(&format!("http://{}/#/learning", served.address()));
    browser.wait("document.querySelectorAll('#learning svg.curve').length > 1");
    browser.wait("document.querySelector('#drift').innerText.includes('has not changed')");
    browser.wait("!document.querySelector('#policy-keep').disabled");
    browser.click("#policy-keep");
    browser.wait("document.querySelector('#policy-1')");
    act(12);
    browser.wait("document.querySelector('#learning').innerText.includes('240 lessons')");
    std::thread::sleep(Duration::from_secs(4));
    let first = browser.eval("[...document.querySelectorAll('[id^=policy-]')].at(-1).id");
    browser.click(&format!("#{}", first.as_str().unwrap()));
    browser.wait("document.querySelector('#question[open]')");
    browser.click("#question .primary");
    browser.wait("document.querySelector('#policies').innerText.includes('gone back to')");
    for language in ["en", "zh"] {
        assert_eq!(browser.nameless(), [] as [String; 0], "{language}");
        browser.click("#lang-toggle");
    }
    assert_eq!(browser.complaints(), [] as [Value; 0]);
}

#[test]
fn the_page_asks_for_a_key_where_the_server_does() {
    let Some(browser) = Browser::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (server, file) = (Server::start(&dir.path().join("s")), dir.path().join("keys"));
    let mut keys = lingxi::keys::Keys::default();
    let key = keys.add("page", &[lingxi::keys::Scope::Admin], None, [7; 32], 0).unwrap();
    keys.write(&file).unwrap();
    server.app.guard(lingxi::http::Gate::new(file).unwrap());
    browser.open(&format!("http://{}/", server.address()));
    browser.wait("document.querySelector('#question[open] #key-input')");
    browser.keys("#key-input", &key);
    browser.click("#question .primary");
    browser.keys("#shopper-input", "somebody-new");
    browser.click("#shopper-go");
    browser.wait("document.querySelectorAll('#slate article').length > 3");
}

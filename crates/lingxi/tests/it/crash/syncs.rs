//! `strace` looks on: between a write that comes in and its 2xx, the log of the store was written and then synced.

use super::child::{Served, Shop, agent, answer};
use super::slow;
use super::writers::Writers;
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SYSCALLS: &str = "trace=read,recvfrom,write,writev,sendto,pwrite64,fsync,fdatasync";

#[test]
fn a_write_is_acknowledged_only_after_the_log_was_synced() {
    if !slow("to trace what the server syncs") {
        return;
    }
    let shop = Shop::new();
    let reads_goods = shop.reads_goods();
    let mut served = shop.start();
    served.until_ready();
    let Some(strace) = Strace::attach(&shop, &served, SYSCALLS) else { return };
    let agent = agent(Duration::from_secs(20));
    for i in 0..200 {
        let row = json!([{"FeedbackType": "buy", "UserId": format!("u{i}"), "ItemId": "tea-1"}]).to_string();
        assert_eq!(answer(agent.post(shop.url("/api/feedback")).send(row)).unwrap().0, 200);
        let hide = json!({"IsHidden": i % 2 == 0}).to_string();
        assert_eq!(answer(agent.patch(shop.url("/api/item/tea-1")).send(hide)).unwrap().0, 200);
        if reads_goods && i % 10 == 0 {
            let item = json!({"ItemId": format!("new-{i}"), "Comment": "green tea"}).to_string();
            assert_eq!(answer(agent.post(shop.url("/api/item")).send(item)).unwrap().0, 200);
            assert_eq!(answer(agent.delete(shop.url(&format!("/api/item/new-{i}"))).call()).unwrap().0, 200);
        }
    }
    let writers = Writers::new(&shop, "syncs");
    std::thread::scope(|scope| {
        for client in 0..4 {
            let writers = &writers;
            scope.spawn(move || writers.post_events(client));
        }
        std::thread::sleep(Duration::from_secs(3));
        writers.stop();
    });
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));

    let seen = Seen::of(&strace.end());
    println!(
        "strace: {} writes acknowledged alone, each after its own write and sync of the log; {} acknowledged among others, \
         each after a sync; {} syncs of the log in all; {} answers without: {:?}",
        seen.alone,
        seen.among,
        seen.syncs,
        seen.unsynced.len(),
        seen.unsynced.first()
    );
    assert!(seen.unsynced.is_empty());
    assert!(seen.alone >= 400 && seen.among >= 20, "the trace is cut");
}

/// A look at what a server asks of the system.
pub struct Strace {
    child: Child,
    trace: PathBuf,
}

impl Strace {
    /// Looks at a server from now on; `None`, and a word about it, where there is no strace.
    pub fn attach(shop: &Shop, served: &Served, calls: &str) -> Option<Strace> {
        let trace = shop.folder().join("trace");
        let spawned = Command::new("strace")
            .args(["-f", "-y", "-s", "64", "-e", calls, "-o", trace.to_str().unwrap(), "-p", &served.pid().to_string()])
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = spawned else {
            println!("SKIPPED: strace is not installed");
            return None;
        };
        let mut strace = Strace { child, trace };
        while !strace.seen().contains("GET /health") {
            assert_eq!(strace.child.try_wait().unwrap(), None, "strace may not attach here");
            // While it attaches, a connection may be cut.
            let _ = agent(Duration::from_secs(5)).get(shop.url("/health/live")).call();
        }
        Some(strace)
    }

    fn seen(&self) -> String {
        std::fs::read_to_string(&self.trace).unwrap_or_default()
    }

    /// All that was seen until the server ended.
    pub fn end(mut self) -> String {
        self.child.wait().unwrap();
        self.seen()
    }
}

/// A write under way.
#[derive(Clone, Copy)]
struct Request {
    line: usize,
    alone: bool,
    /// The log was written since, and that was synced.
    written: bool,
    synced: bool,
}

/// What a trace shows.
#[derive(Default)]
struct Seen {
    alone: usize,
    among: usize,
    syncs: usize,
    unsynced: Vec<String>,
}

impl Seen {
    fn of(trace: &str) -> Seen {
        let mut seen = Seen::default();
        let mut under_way: HashMap<String, Request> = HashMap::new();
        // What a thread began and has not ended: its line up to there.
        let mut begun: HashMap<&str, (usize, &str)> = HashMap::new();
        for (at, line) in trace.lines().enumerate() {
            let (thread, call) = line.split_once(' ').expect("a thread and a call");
            let call = call.trim_start();
            if let Some((first, _)) = call.split_once(" <unfinished") {
                begun.insert(thread, (at, first));
                seen.answer(first, &mut under_way);
                continue;
            }
            let resumed = call.strip_prefix("<... ").and_then(|_| begun.remove(thread));
            let (started, name) = resumed.unwrap_or((at, call));
            if resumed.is_none() {
                seen.answer(call, &mut under_way);
            }
            let of_log = name.contains("-wal>");
            if (name.starts_with("recvfrom(") || name.starts_with("read(")) && name.contains("socket:") {
                if let Some(method) = call.split('"').nth(1)
                    && ["POST ", "PATCH ", "DELETE "].iter().any(|m| method.starts_with(m))
                {
                    under_way.values_mut().for_each(|other| other.alone = false);
                    let alone = under_way.is_empty();
                    under_way.insert(file(name), Request { line: at, alone, written: false, synced: false });
                }
            } else if name.starts_with("pwrite64(") && of_log {
                under_way.values_mut().for_each(|r| (r.written, r.synced) = (true, r.synced && !r.alone));
            } else if (name.starts_with("fsync(") || name.starts_with("fdatasync(")) && of_log && call.ends_with("= 0")
            {
                seen.syncs += 1;
                under_way.values_mut().filter(|r| r.written && r.line < started).for_each(|r| r.synced = true);
            }
        }
        seen
    }

    /// A 2xx that begins to be sent ends its request.
    fn answer(&mut self, call: &str, under_way: &mut HashMap<String, Request>) {
        let sends = ["write(", "writev(", "sendto("].iter().any(|name| call.starts_with(name));
        if !sends || !call.contains("\"HTTP/1.1 2") {
            return;
        }
        let Some(request) = under_way.remove(&file(call)) else { return };
        match (request.synced, request.alone) {
            (false, _) => self.unsynced.push(call.to_owned()),
            (true, true) => self.alone += 1,
            (true, false) => self.among += 1,
        }
    }
}

/// The socket of a call, such as `17<socket:[979506]>`.
fn file(call: &str) -> String {
    call.split_once('(').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(file, _)| file).to_owned()
}

#[test]
fn a_trace_in_which_an_answer_comes_before_its_sync_is_found_out() {
    let trace = |order: [&str; 4]| order.map(|call| format!("7 {call}\n")).concat();
    let request = r#"recvfrom(9<socket:[1]>, "POST /api/feedback HTTP/", 24, 0, NULL, NULL) = 24"#;
    let (write, sync) = (r#"pwrite64(5</s-wal>, "x", 24, 0) = 24"#, "fsync(5</s-wal>) = 0");
    let answer = r#"writev(9<socket:[1]>, [{iov_base="HTTP/1.1 200 OK", iov_len=1}], 1) = 1"#;
    assert_eq!(Seen::of(&trace([request, write, sync, answer])).alone, 1);
    for wrong in [[request, write, answer, sync], [sync, request, write, answer], [request, sync, write, answer]] {
        assert_eq!(Seen::of(&trace(wrong)).unsynced.len(), 1, "{wrong:?}");
    }
}

//! `strace` looks on: a snapshot is on disk with all its files before it has its place, and the choice of it before anybody
//! is told.

use super::child::{Shop, agent, answer};
use super::slow;
use super::syncs::Strace;
use serde_json::json;
use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SYSCALLS: &str = "trace=recvfrom,write,writev,sendto,fsync,fdatasync,rename,renameat,renameat2";

#[test]
fn a_snapshot_is_synced_before_it_is_kept_and_its_choice_before_it_is_acknowledged() {
    if !slow("to trace what a build and a publish sync") {
        return;
    }
    let shop = Shop::new();
    let mut served = shop.start();
    served.until_ready();
    let Some(strace) = Strace::attach(&shop, &served, SYSCALLS) else { return };
    let agent = agent(Duration::from_secs(20));
    let row = json!([{"FeedbackType": "buy", "UserId": "ann", "ItemId": "tea-1"}]).to_string();
    assert_eq!(answer(agent.post(shop.url("/api/feedback")).send(row)).unwrap().0, 200);
    assert_eq!(answer(agent.post(shop.url("/api/builds")).send("")).unwrap().0, 202);
    let told = || answer(agent.get(shop.url("/api/builds")).call()).unwrap().1;
    while !told()["Running"].is_null() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(told()["Last"]["Ok"], true);
    for id in [1, 2, 1, 2] {
        assert_eq!(answer(agent.post(shop.url(&format!("/api/builds/{id}/publish"))).send("")).unwrap().0, 200);
    }
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));
    let trace = strace.end();

    let root = std::fs::read_dir(shop.folder().join("cache/snapshots")).unwrap().next().unwrap().unwrap().path();
    let files = files_below(&root.join("2"));
    let (synced, placed) = (Synced::of(&trace), format!("{}/2\"", root.display()));
    let (unfinished, at) = synced.renamed_to(&placed);
    for file in &files {
        let before = unfinished.join(file.strip_prefix(root.join("2")).unwrap());
        assert!(synced.is_synced(&before, 0..at), "{} has its place before it is on disk", file.display());
    }
    let chosen =
        (at..trace.lines().count()).find(|line| synced.is_synced(&root, at..line + 1)).expect("the folder is synced");
    let mut answers = 0;
    let mut asked = None;
    for (line, call) in trace.lines().enumerate() {
        if call.contains("recvfrom(") && call.contains("/publish HTTP/") || call.contains("\"POST /api/builds/") {
            asked = Some(line);
        } else if call.contains("\"HTTP/1.1 200")
            && let Some(asked) = asked.take()
        {
            let (beside, renamed) = synced.renamed_after(asked, "/serving\"");
            assert!(synced.is_synced(&beside, asked..renamed) && synced.is_synced(&root, renamed..line));
            answers += 1;
        }
    }
    println!(
        "strace: {} files of a snapshot synced before it had its place at line {at} of the trace, its folder at {chosen}; \
         {answers} publishes acknowledged, each after its choice and the folder were synced",
        files.len()
    );
    assert!(answers == 4 && files.len() >= 5);
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// What was synced and renamed, by line.
struct Synced {
    synced: HashSet<(usize, PathBuf)>,
    renamed: Vec<(usize, PathBuf, String)>,
}

impl Synced {
    fn of(trace: &str) -> Synced {
        let (mut synced, mut renamed) = (HashSet::new(), Vec::new());
        for (line, call) in trace.lines().enumerate() {
            // One that was begun and not ended on its line counts as done where it began: a build is one thread.
            if (call.contains(" fsync(") || call.contains(" fdatasync("))
                && let Some((_, file)) = call.split_once('<')
            {
                synced.insert((line, PathBuf::from(file.split('>').next().unwrap())));
            } else if call.contains(" rename") {
                let names: Vec<&str> = call.split('"').collect();
                if let [_, from, _, to, ..] = names[..] {
                    renamed.push((line, PathBuf::from(from), format!("{to}\"")));
                }
            }
        }
        Synced { synced, renamed }
    }

    /// Under its own name, or under the one that it had before.
    fn is_synced(&self, file: &Path, lines: Range<usize>) -> bool {
        let name = format!("{}\"", file.display());
        let mut renamed = self.renamed.iter().filter(|(line, _, to)| lines.contains(line) && *to == name);
        lines.clone().any(|line| self.synced.contains(&(line, file.to_path_buf())))
            || renamed.any(|(line, from, _)| self.is_synced(from, lines.start..*line))
    }

    fn renamed_to(&self, to: &str) -> (PathBuf, usize) {
        let (line, from, _) = self.renamed.iter().find(|(_, _, name)| name == to).expect("it was given its place");
        (from.clone(), *line)
    }

    fn renamed_after(&self, after: usize, end: &str) -> (PathBuf, usize) {
        let renamed = self.renamed.iter().find(|(line, _, name)| *line > after && name.ends_with(end));
        renamed.map(|(line, from, _)| (from.clone(), *line)).expect("the choice was written")
    }
}

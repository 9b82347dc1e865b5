//! The disk is full, fails, or is taken away: writes are refused and say why, slates are still answered, and when the disk
//! is back the next write is taken without a restart.

use super::child::{Served, Shop, agent, answer};
use super::slow;
use serde_json::{Value, json};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A small disk of its own, in memory; unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None`, and a word about it, where this process may not mount.
    fn mount(folder: &Path, megabytes: u32) -> Option<Disk> {
        std::fs::create_dir(folder).unwrap();
        let disk = Disk(folder.to_path_buf());
        let done =
            run("mount", &["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "none", folder.to_str().unwrap()]);
        if !done {
            println!("SKIPPED: a disk of {megabytes} MB cannot be mounted here (that needs root)");
        }
        done.then_some(disk)
    }

    fn set(&self, option: &str) {
        assert!(run("mount", &["-o", &format!("remount,{option}"), self.0.to_str().unwrap()]));
    }

    /// Takes all room that is left.
    fn fill(&self) {
        use std::io::Write;
        let mut ballast = std::fs::File::create(self.0.join("ballast")).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|done| done.status.success())
}

/// A client that counts what was acknowledged and what was refused.
struct Client<'a> {
    shop: &'a Shop,
    agent: ureq::Agent,
    events: Cell<u64>,
    refused: Cell<u64>,
    /// Slates that were answered; and while writes failed, those that carried the number of a decision.
    slates: Cell<u64>,
    promised: Cell<u64>,
    hidden: Cell<bool>,
}

fn add(counter: &Cell<u64>, n: u64) {
    counter.set(counter.get() + n);
}

impl<'a> Client<'a> {
    fn new(shop: &'a Shop) -> Client<'a> {
        let [events, refused, slates, promised] = Default::default();
        Client {
            shop,
            agent: agent(Duration::from_secs(20)),
            events,
            refused,
            slates,
            promised,
            hidden: Cell::new(false),
        }
    }

    /// Posts a few events: the status, and why.
    fn post(&self) -> (u16, Value) {
        let row = |i| json!({"FeedbackType": "buy", "UserId": "ann", "ItemId": format!("tea-{i}"), "Comment": "x".repeat(900)});
        let body = json!((0..4).map(row).collect::<Vec<_>>()).to_string();
        let (status, body) = answer(self.agent.post(self.shop.url("/api/feedback")).send(body)).expect("an answer");
        match status {
            200 => add(&self.events, 4),
            _ => add(&self.refused, 1),
        }
        (status, body)
    }

    /// Posts until it is refused: with this status, this code and a remedy.
    fn post_until(&self, status: u16, code: &str) {
        let (got, body) = std::iter::repeat_with(|| self.post()).find(|(status, _)| *status != 200).unwrap();
        assert_eq!((got, &body["error"]["code"]), (status, &json!(code)), "{body}");
        assert!(body["error"]["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{body}");
    }

    /// Asks for a slate: whether it carries the number of a decision.
    fn slate(&self) -> bool {
        let answer = self.agent.get(self.shop.url("/api/recommend/tea-lover-1?n=5")).call().unwrap();
        assert_eq!(answer.status(), 200);
        add(&self.slates, 1);
        answer.headers().contains_key("lingxi-decision")
    }

    fn hide(&self, hidden: bool) -> u16 {
        let body = json!({"IsHidden": hidden}).to_string();
        let (status, _) = answer(self.agent.patch(self.shop.url("/api/item/tea-3")).send(body)).unwrap();
        if status == 200 {
            self.hidden.set(hidden);
        }
        status
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = answer(self.agent.get(self.shop.url(path)).call()).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.agent.get(self.shop.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Reads go on while writes fail with this status. A small write may still find room where a larger one did not.
    fn reads_go_on(&self, status: u16) {
        for path in
            ["/health/ready", "/health/live", "/api/feedback?n=50", "/api/items?n=5", "/api/user/ann/feedback?n=9"]
        {
            self.get(path);
        }
        add(&self.promised, (0..200).map(|_| u64::from(self.slate())).sum());
        for _ in 0..20 {
            assert!([200, status].contains(&self.post().0));
            assert!([200, status].contains(&self.hide(true)));
        }
    }

    /// Writes are taken again at once, decisions are logged, and exactly what was acknowledged is there.
    fn is_well(&self) {
        assert_eq!(self.get("/api/item/tea-3")["IsHidden"], self.hidden.get(), "only what was acknowledged holds");
        assert_eq!((self.post().0, self.hide(false)), (200, 200));
        assert!(self.slate(), "decisions are logged again");
        assert_eq!(self.post().0, 200);
        assert_eq!(self.metric("lingxi_store_failing"), 0);
        assert_eq!(self.stored("events"), self.events.get());
        let logged = self.stored("decisions") + self.metric("lingxi_decisions_lost_total");
        assert_eq!(logged, self.slates.get(), "each slate is logged or counted as lost");
    }

    fn stored(&self, table: &str) -> u64 {
        let store = rusqlite::Connection::open(&self.shop.store).unwrap();
        let count = store.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0));
        count.unwrap() as u64
    }
}

#[test]
fn a_full_disk_refuses_writes_with_507_goes_on_reading_and_recovers_without_a_restart() {
    if !slow("to fill a small disk under the server") {
        return;
    }
    let mut shop = Shop::new();
    let Some(disk) = Disk::mount(&shop.folder().join("disk"), 12) else { return };
    shop.store = disk.0.join("store.sqlite");
    let mut served = shop.start();
    served.until_ready();
    let client = Client::new(&shop);
    for round in 0..10 {
        (0..round * 20).for_each(|_| assert_eq!(client.post().0, 200));
        disk.fill();
        client.post_until(507, "disk_full");
        client.reads_go_on(507);
        disk.free();
        client.is_well();
    }
    // And now the store fills the disk by itself, log and all.
    client.post_until(507, "disk_full");
    client.reads_go_on(507);
    disk.set("size=64m");
    client.is_well();
    (0..2000).for_each(|_| assert_eq!(client.post().0, 200));
    let log = std::fs::metadata(disk.0.join("store.sqlite-wal")).unwrap().len();
    let mut served = again(&shop, served);
    served.until_ready();
    assert_eq!(client.stored("events"), client.events.get(), "also after a kill");
    println!(
        "a full disk 11 times: {} events acknowledged and stored, {} writes refused and none of them stored, 2200 slates \
         answered meanwhile, {} of them with the number of a decision; the log ends at {} KB",
        client.events.get(),
        client.refused.get(),
        client.promised.get(),
        log >> 10,
    );
    assert!(client.promised.get() < 220, "most decisions are not promised");
    assert!(log < 16 << 20, "{log}");
    disk.fill();
    served.kill();
    // It may or may not find the room to start; it must not do so silently wrong.
    let mut served = shop.start();
    std::thread::sleep(Duration::from_millis(300));
    disk.free();
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| served.until_ready())).is_err() {
        assert_eq!(served.end(), Some(2), "{}", shop.said());
        served = shop.start();
        served.until_ready();
    }
    assert_eq!(client.stored("events"), client.events.get());
}

fn again(shop: &Shop, served: Served) -> Served {
    served.kill();
    shop.start()
}

#[test]
fn a_disk_that_fails_or_is_taken_away_is_an_answer_and_the_store_takes_writes_when_it_is_back() {
    if !slow("to let the disk fail under the server") {
        return;
    }
    let shop = Shop::new();
    shop.start().until_ready(); // Builds.
    // The log of the program is past the limit below, too: it cannot be written either.
    std::fs::write(shop.folder().join("stderr"), [b'\n'; 8192]).unwrap();
    // A limit on the length of files is an I/O error that can be turned on and off from outside.
    let mut served = shop.start_under(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    served.until_ready();
    let (client, pid) = (Client::new(&shop), served.pid().to_string());
    let longest = |bytes: &str| assert!(run("prlimit", &["--pid", &pid, &format!("--fsize={bytes}:unlimited")]));
    for _ in 0..5 {
        assert_eq!(client.post().0, 200);
        longest("4096");
        client.post_until(503, "store_unavailable");
        client.reads_go_on(503);
        longest("unlimited");
        client.is_well();
        for part in ["", "-wal"] {
            let part = PathBuf::from(format!("{}{part}", shop.store.display()));
            std::fs::rename(&part, shop.folder().join("away")).unwrap();
            client.post_until(503, "store_unavailable");
            std::fs::rename(shop.folder().join("away"), &part).unwrap();
            client.is_well();
        }
    }
    let mut served = again(&shop, served);
    served.until_ready();
    assert_eq!(client.stored("events"), client.events.get());
    assert!(!shop.said().contains("panicked"), "{}", shop.said());
    println!(
        "a failing disk 5 times, a store moved away 10 times: {} events acknowledged and stored, {} writes refused",
        client.events.get(),
        client.refused.get()
    );
}

#[test]
fn a_disk_that_cannot_be_written_is_refused_at_the_start_with_a_remedy() {
    if !slow("to start on a disk that cannot be written") {
        return;
    }
    let mut shop = Shop::new();
    let Some(disk) = Disk::mount(&shop.folder().join("disk"), 12) else { return };
    shop.store = disk.0.join("store.sqlite");
    let mut served = shop.start();
    served.until_ready();
    served.kill();
    disk.set("ro");
    assert_eq!(shop.start().end(), Some(2));
    assert!(shop.said().contains("store.sqlite") && shop.said().contains("permissions"), "{}", shop.said());
    disk.set("rw");
    shop.start().until_ready();
}

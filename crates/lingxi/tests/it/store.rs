//! The store: what is acknowledged stays, once, and answers the slate that it belongs to.

use lingxi::store::{NewEvent, Shown, ShownSlot, Store, StoreError, StoreOptions, Which};
use lingxi_data::EventKind;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

const CHILD: &str = "LINGXI_TEST_STORE_CHILD";

fn event(user: &str, item: &str, at: i64) -> NewEvent {
    NewEvent {
        user: user.into(),
        item: item.into(),
        kind: EventKind::Buy,
        value: 2.5,
        at,
        comment: Some("gift".into()),
        key: None,
    }
}

fn slate(store: &Store, user: &str, at: i64, items: &[&str]) -> Shown {
    let slot = |item: &&str| ShownSlot { item: (*item).into(), score: 1.5, propensity: 0.25, explored: true };
    Shown {
        id: store.next_decision_id(),
        user: user.into(),
        at,
        policy: "epsilon-greedy(0.05)/1".into(),
        snapshot: "00ff".into(),
        seed: u64::MAX - 1,
        first: 0,
        slots: items.iter().map(slot).collect(),
        seen: Vec::new(),
    }
}

fn open(path: &Path) -> Store {
    Store::open(path, StoreOptions::default()).unwrap()
}

#[test]
fn events_survive_reopening_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er/store.sqlite");
    let events = vec![event("ann", "milk", 30), event("bob", "茶", 20), event("ann", "bread", 10)];
    let store = open(&path);
    assert_eq!(
        store.append(events.clone()).unwrap().events.iter().map(|e| &e.event).collect::<Vec<_>>(),
        events.iter().collect::<Vec<_>>()
    );
    store.close();
    assert!(matches!(store.append(events.clone()), Err(StoreError::Closed)));

    let store = open(&path);
    let mut back = Vec::new();
    store.read(|r| r.events_after(0, |e| back.push(e))).unwrap();
    assert_eq!(back.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(back.into_iter().map(|e| e.event).collect::<Vec<_>>(), events);
    let recent = store.read(|r| r.recent("ann", 5)).unwrap();
    assert_eq!(recent.iter().map(|e| e.event.item.as_str()).collect::<Vec<_>>(), ["bread", "milk"], "in time order");
}

#[test]
fn an_event_with_a_known_key_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("s"));
    let keyed = |item: &str| NewEvent { key: Some("order-7".into()), ..event("ann", item, 1) };
    assert_eq!(store.append(vec![keyed("milk"), keyed("milk"), event("ann", "tea", 2)]).unwrap().duplicates, 1);
    let again = store.append(vec![keyed("milk")]).unwrap();
    assert_eq!((again.events.len(), again.duplicates), (0, 1));
    assert_eq!(store.read(|r| r.event_count()).unwrap(), 2);
}

#[test]
fn an_event_answers_the_newest_slate_that_showed_its_item_exactly_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("s"));
    let old = slate(&store, "ann", 1_000, &["milk", "tea"]);
    let new = slate(&store, "ann", 2_000, &["bread", "milk"]);
    let other = slate(&store, "bob", 2_500, &["milk"]);
    for shown in [&old, &new, &other] {
        store.record(shown.clone()).unwrap();
    }
    let stored = store.append(vec![event("ann", "milk", 2_100), event("ann", "milk", 2_200)]).unwrap();
    assert_eq!(stored.joined, 1, "the second purchase answers nothing");
    store.append(vec![event("ann", "tea", 2_300), event("ann", "salt", 2_300)]).unwrap();
    store.append(vec![event("bob", "milk", 2_500 + 8 * 24 * 3600)]).unwrap();

    let places = |id| -> Vec<(usize, i64)> {
        let joined = store.read(|r| r.feedback_of(id)).unwrap();
        joined.into_iter().map(|j| (j.place, j.event.event.at)).collect()
    };
    assert_eq!(places(new.id), [(1, 2_100)]);
    assert_eq!(places(old.id), [(1, 2_300)], "tea was shown in the older slate only");
    assert_eq!(places(other.id), [], "eight days are past the window");
    assert_eq!(store.read(|r| r.decision(new.id)).unwrap(), Some(new));
}

#[test]
fn decision_ids_never_return_even_if_the_decision_was_lost() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let first = open(&path);
    let lost = [first.next_decision_id(), first.next_decision_id()];
    first.close();
    let next = open(&path).next_decision_id();
    assert!(!lost.contains(&next) && lost[0] != lost[1], "{lost:?} {next}");
}

#[test]
fn another_database_and_a_newer_store_are_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str, sql: &str, expected: &str| {
        let path = dir.path().join(name);
        if name == "newer" {
            open(&path).close();
            // Whoever changes a store by hand breaks its seal.
            std::fs::remove_file(path.with_file_name("newer.seal")).unwrap();
        }
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        let err = Store::open(&path, StoreOptions::default()).err().expect("refused").to_string();
        assert!(err.contains(expected) && err.contains(name), "{err}");
    };
    check("other", "CREATE TABLE t (x)", "another database");
    check("newer", "PRAGMA user_version = 9", "use the lingxi that wrote it");
    let text = dir.path().join("text");
    std::fs::write(&text, "user,item\n".repeat(100)).unwrap();
    assert!(Store::open(&text, StoreOptions::default()).is_err());
}

#[test]
fn a_second_writer_is_refused_until_the_first_has_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let first = open(&path);
    let err = Store::open(&path, StoreOptions::default()).err().expect("refused").to_string();
    assert!(err.contains("another lingxi") && err.contains("--store"), "{err}");
    first.append(vec![event("ann", "milk", 1)]).unwrap();
    first.close();
    assert_eq!(open(&path).read(|r| r.event_count()).unwrap(), 1);
}

#[test]
fn a_store_that_is_moved_away_takes_nothing_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (path, away) = (dir.path().join("s"), dir.path().join("away"));
    let store = open(&path);
    store.append(vec![event("ann", "milk", 1)]).unwrap();
    for part in ["", "-wal"] {
        let (part, away) = (dir.path().join(format!("s{part}")), &away);
        std::fs::rename(&part, away).unwrap();
        assert!(matches!(store.append(vec![event("ann", "tea", 2)]), Err(StoreError::Gone { path }) if path == part));
        assert!(!store.record(slate(&store, "ann", 3, &["tea"])).unwrap(), "nothing is promised of a decision");
        assert!(store.flush().is_err(), "the decision was tried");
        std::fs::rename(away, &part).unwrap();
        store.append(vec![event("ann", "bread", 2)]).unwrap();
        assert!(store.record(slate(&store, "ann", 3, &["tea"])).unwrap());
        store.flush().unwrap();
    }
    assert_eq!(store.read(|r| r.event_count()).unwrap(), 3, "what was refused was not stored");
    let counts = store.counts();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((count(&counts.decisions), count(&counts.decisions_lost)), (2, 2));
}

#[test]
fn another_program_that_locks_the_store_makes_it_refuse_and_not_forget_whom_to_tell() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let store = open(&path);
    let shell = rusqlite::Connection::open(&path).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.append(vec![event("ann", "milk", 1)]);
    assert!(matches!(&refused, Err(StoreError::Write(why)) if why.contains("locked")), "{refused:?}");
    shell.execute_batch("ROLLBACK").unwrap();
    store.append(vec![event("ann", "milk", 1)]).unwrap();
    assert_eq!(store.read(|r| r.event_count()).unwrap(), 1);
}

#[test]
fn readers_that_follow_each_other_without_a_gap_do_not_make_the_log_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let store = open(&path);
    let batch = || (0..400).map(|i| NewEvent { comment: Some("x".repeat(4000)), ..event("ann", "milk", i) }).collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let longest = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    store.read(|r| r.newest(&Which::default(), 100)).unwrap();
                }
            });
        }
        let log = || std::fs::metadata(dir.path().join("s-wal")).unwrap().len() >> 20;
        let longest = (0..120).map(|_| store.append(batch()).map(|_| log()).unwrap()).max();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        longest.unwrap()
    });
    println!("192 MB of events went through a log of at most {longest} MB");
    assert!(longest < 100, "{longest} MB");
}

#[test]
fn a_full_queue_refuses_and_what_it_took_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { queue: 2, group: 1, ..StoreOptions::default() };
    let store = Store::open(&dir.path().join("s"), options).unwrap();
    // The first job holds the writer in its callback until the queue has been filled behind it.
    let (release, held) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel::<()>();
    store
        .append_then(vec![event("ann", "milk", 1)], move |_| {
            entered.send(()).unwrap();
            held.recv().unwrap();
        })
        .unwrap();
    inside.recv().unwrap();
    for _ in 0..2 {
        store.append_then(vec![event("ann", "tea", 2)], |_| {}).unwrap();
    }
    assert!(matches!(store.append_then(vec![event("ann", "salt", 3)], |_| {}), Err(StoreError::Busy)));
    release.send(()).unwrap();
    store.close();
    let store = open(&dir.path().join("s"));
    assert_eq!(store.read(|r| r.event_count()).unwrap(), 3);
}

/// The child of the test below: stores batches for ever and prints each acknowledged batch.
#[test]
fn child_that_ingests_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let store = open(Path::new(&path));
    std::thread::scope(|scope| {
        for client in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for batch in 0.. {
                    let user = format!("c{client}-{batch}");
                    store.append((0..3).map(|i| event(&user, &format!("i{i}"), 1)).collect()).unwrap();
                    println!("acknowledged {user}");
                }
            });
        }
    });
}

#[test]
fn a_killed_process_loses_no_acknowledged_event_and_keeps_no_half_batch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["store::child_that_ingests_until_it_is_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    while acknowledged.len() < 200 {
        let line = lines.next().expect("the child writes until it is killed").unwrap();
        acknowledged.extend(line.split_once("acknowledged ").map(|(_, user)| user.to_string()));
    }
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        acknowledged.extend(line.split_once("acknowledged ").map(|(_, user)| user.to_string()));
    }

    let store = open(&path);
    let mut batches = std::collections::HashMap::<String, usize>::new();
    store.read(|r| r.events_after(0, |e| *batches.entry(e.event.user).or_default() += 1)).unwrap();
    // The last line may have been cut by the kill: then it names no whole user and was not acknowledged to anybody.
    let lost: Vec<_> = acknowledged.iter().filter(|user| !batches.contains_key(*user)).collect();
    assert!(lost.len() <= 1 && lost.iter().all(|u| Some(*u) == acknowledged.last()), "lost: {lost:?}");
    assert!(batches.values().all(|n| *n == 3), "a batch is stored whole or not at all");
}

#[test]
fn batches_that_wait_share_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("s"));
    let (release, held) = mpsc::channel::<()>();
    store.append_then(vec![event("ann", "milk", 1)], move |_| held.recv().unwrap()).unwrap();
    let (tell, told) = mpsc::channel();
    for at in 0..500 {
        let tell = tell.clone();
        store
            .append_then(vec![event("bob", "tea", at)], move |result| {
                tell.send(result.unwrap().events[0].event.at).unwrap()
            })
            .unwrap();
    }
    release.send(()).unwrap();
    assert_eq!(told.iter().take(500).collect::<Vec<_>>(), (0..500).collect::<Vec<_>>(), "acknowledged in their order");
    let commits = store.counts().commits.load(std::sync::atomic::Ordering::Relaxed);
    assert!(commits <= 3, "501 batches took {commits} commits");
}

#[test]
fn a_decision_waits_for_a_place_in_the_queue() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { queue: 1, group: 1, ..StoreOptions::default() };
    let store = Store::open(&dir.path().join("s"), options).unwrap();
    std::thread::scope(|scope| {
        for user in ["ann", "bob", "zoe"] {
            let store = &store;
            scope.spawn(move || {
                (0..20).for_each(|at| assert!(store.record(slate(store, user, at, &["milk"])).unwrap()))
            });
        }
    });
    while store.flush().is_err() {}
    assert_eq!(store.counts().decisions.load(std::sync::atomic::Ordering::Relaxed), 60);
    store.close();
    assert!(matches!(store.record(slate(&store, "ann", 1, &[])), Err(StoreError::Closed)));
}

#[test]
fn a_store_of_the_version_before_is_brought_up_with_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let shown = slate(&open(&path), "ann", 1, &["milk", "tea \"green\""]);
    let store = open(&path);
    store.record(shown.clone()).unwrap();
    store.append(vec![event("ann", "milk", 1)]).unwrap();
    store.close();
    let older = rusqlite::Connection::open(&path).unwrap();
    older
        .execute_batch(
            "CREATE TABLE slots (
                decision INTEGER NOT NULL REFERENCES decisions (id), place INTEGER NOT NULL, item TEXT NOT NULL,
                score REAL NOT NULL, propensity REAL NOT NULL, explored INTEGER NOT NULL,
                PRIMARY KEY (decision, place)) STRICT, WITHOUT ROWID;
             INSERT INTO slots SELECT decisions.id, first + key, value ->> 0, value ->> 1, value ->> 2, value ->> 3
                FROM decisions, json_each(slots);
             ALTER TABLE decisions DROP COLUMN first; ALTER TABLE decisions DROP COLUMN slots;
             ALTER TABLE decisions DROP COLUMN seen; DROP TABLE closings; DROP TABLE policies;
             DROP TABLE met; DROP TABLE arm_totals; DROP TABLE arms; DROP TABLE experiments;
             DROP TABLE users; DROP TABLE erased; DROP TABLE spent_keys;
             DROP INDEX events_of_item; DROP INDEX events_of_kind; PRAGMA user_version = 2;",
        )
        .unwrap();
    drop(older);
    // The version before left no seal.
    std::fs::remove_file(dir.path().join("s.seal")).unwrap();
    let store = open(&path);
    assert_eq!(store.read(|r| r.event_count()).unwrap(), 1);
    assert_eq!(store.append(vec![event("ann", "tea", 2)]).unwrap().events[0].seq, 2);
    assert_eq!(store.read(|r| r.decision(shown.id)).unwrap().unwrap(), shown);
    assert_eq!(store.read(|r| r.feedback_of(shown.id)).unwrap().len(), 1);
    assert_eq!(store.read(|r| r.experiments()).unwrap(), []);
    assert!(store.read(|r| r.erased()).unwrap().is_empty() && store.read(|r| r.profile("ann")).unwrap().is_none());
}

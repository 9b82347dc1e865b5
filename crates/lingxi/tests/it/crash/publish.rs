//! A hundred kills while snapshots are built, kept and put in place: the one that answers is always an old one or the new
//! one, whole.

use super::child::{Served, Shop, agent, answer};
use super::{READY_WITHIN, draw, slow};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SEED: &str = "kills during publish";
const KILLS: u64 = 100;

/// Shoppers of the files; nothing that they do is posted, so that their slates are the snapshot's alone.
const FIXED: [&str; 3] = ["tea-lover-1", "soap-lover-2", "nobody"];

#[test]
fn a_hundred_kills_during_publish_leave_the_old_or_the_new_snapshot_whole() {
    if !slow("to kill the server a hundred times while it publishes snapshots") {
        return;
    }
    let begun = Instant::now();
    let shop = Shop::new();
    let witness = Witness { shop: &shop, known: Mutex::default(), agent: agent(Duration::from_secs(5)) };
    let mut tally = Tally::default();
    let mut served = first_build(&shop, &mut tally);
    witness.meet();
    tally.build = witness.build(KILLS);
    for kill in 0..KILLS {
        if kill % 2 == 0 {
            during_a_build(&witness, served, kill, &mut tally);
        } else {
            during_the_way_back(&witness, served, kill, &mut tally);
        }
        served = shop.start();
        tally.slowest = tally.slowest.max(served.until_ready());
        let now = witness.meet();
        assert!(tally.may_serve.contains(&now), "{now} serves, and should be one of {:?}", tally.may_serve);
        tally.new += usize::from(tally.may_serve.first() != Some(&now));
    }
    witness.build(KILLS + 1);
    let snapshots = std::fs::read_dir(shop.folder().join("cache/snapshots")).unwrap().next().unwrap().unwrap().path();
    let left = std::fs::read_dir(snapshots).unwrap().map(|entry| entry.unwrap().path());
    let left: Vec<_> = left.filter(|path| path.extension().is_some()).collect();
    assert!(left.is_empty(), "killed builds left {left:?}");
    let known = witness.known.lock().unwrap().len();
    println!(
        "{KILLS} kills during publish and {} during the first build in {:.0} s: {known} snapshots, {} times the new one \
         answered and {} times the old one, {} slates seen meanwhile and each of one whole snapshot; ready after at most {} ms",
        tally.first,
        begun.elapsed().as_secs_f64(),
        tally.new,
        KILLS as usize - tally.new,
        tally.slates,
        tally.slowest.as_millis(),
    );
    assert!(tally.slowest < READY_WITHIN, "{:?}", tally.slowest);
    assert!(known >= 5 && tally.new >= 5 && tally.new < KILLS as usize, "the kills did not hit the moment: {tally:?}");
    assert!(!shop.said().contains("panicked"), "{}", shop.said());
}

#[derive(Debug, Default)]
struct Tally {
    /// How long a build takes that is left alone.
    build: Duration,
    /// Kills during the first build.
    first: u64,
    /// Fingerprints that may answer after the kill, the old one first.
    may_serve: Vec<String>,
    new: usize,
    slates: usize,
    slowest: Duration,
}

/// What each snapshot answers, from when it was first met.
struct Witness<'a> {
    shop: &'a Shop,
    known: Mutex<HashMap<String, Value>>,
    agent: ureq::Agent,
}

impl Witness<'_> {
    fn get(&self, path: &str) -> Result<Value, ureq::Error> {
        answer(self.agent.get(self.shop.url(path)).call()).map(|(_, body)| body)
    }

    /// The fingerprint that answers; its slates, reasons, neighbours and figures are those that it always had.
    fn meet(&self) -> String {
        let name = self.get("/health/ready").unwrap()["snapshot"].as_str().unwrap().to_owned();
        let slates = FIXED.map(|user| self.get(&format!("/api/recommend/{user}?n=20&explain=true")).unwrap());
        let near = self.get("/api/item-to-item/similar/soap-4?n=20").unwrap();
        let all = json!([slates, near, self.get("/api/dashboard/evaluation").unwrap()]);
        let mut known = self.known.lock().unwrap();
        assert_eq!(known.entry(name.clone()).or_insert_with(|| all.clone()), &all, "{name} answers differently");
        name
    }

    /// Puts each in place and looks at it.
    fn meet_all(&self, kept: &[(u64, String)]) {
        for (id, name) in kept {
            assert_eq!(self.post(&format!("/api/builds/{id}/publish"), &json!({})).unwrap(), 200);
            assert_eq!(&self.meet(), name);
        }
    }

    /// Looks at slates without a pause: what was seen, how often.
    fn watch(&self, stop: &AtomicBool) -> HashMap<String, usize> {
        let mut seen = HashMap::new();
        while !stop.load(Ordering::Relaxed) {
            // The last one may be cut off by the kill.
            if let Ok(slate) = self.get(&format!("/api/recommend/{}?n=20&explain=true", FIXED[0])) {
                *seen.entry(slate.to_string()).or_default() += 1;
            }
        }
        seen
    }

    fn check_seen(&self, seen: HashMap<String, usize>, tally: &mut Tally) {
        let known: Vec<String> = self.known.lock().unwrap().values().map(|all| all[0][0].to_string()).collect();
        for (slate, times) in seen {
            assert!(known.contains(&slate), "a slate of no whole snapshot: {slate}");
            tally.slates += times;
        }
    }

    /// Begins a build with something to learn.
    fn begin(&self, number: u64) {
        let row = |i| {
            let user = format!("new-{number}-{i}");
            json!({"FeedbackType": "buy", "UserId": user, "ItemId": format!("bolt-{}", i % 20)})
        };
        assert_eq!(self.post("/api/feedback", &json!((0..20).map(row).collect::<Vec<_>>())).unwrap(), 200);
        assert_eq!(self.post("/api/builds", &json!({})).unwrap(), 202);
    }

    /// A build that is left alone: how long it took until its snapshot answers.
    fn build(&self, number: u64) -> Duration {
        let begun = Instant::now();
        self.begin(number);
        loop {
            let told = self.get("/api/builds").unwrap();
            if told["Running"].is_null() {
                assert_eq!(told["Last"]["Ok"], true, "{told}");
                self.meet();
                return begun.elapsed();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn post(&self, path: &str, body: &Value) -> Result<u16, ureq::Error> {
        answer(self.agent.post(self.shop.url(path)).send(body.to_string())).map(|(status, _)| status)
    }

    /// Ids and fingerprints of the kept snapshots, newest first.
    fn kept(&self) -> Vec<(u64, String)> {
        let told = self.get("/api/builds").unwrap();
        let one = |kept: &Value| (kept["Id"].as_u64().unwrap(), kept["Snapshot"].as_str().unwrap().to_owned());
        told["Kept"].as_array().unwrap().iter().map(one).collect()
    }
}

/// Kills a start that has nothing to serve yet, until one is left alone.
fn first_build(shop: &Shop, tally: &mut Tally) -> Served {
    for kill in 0..10 {
        let served = shop.start();
        std::thread::sleep(Duration::from_millis(draw(SEED, 1000 + kill, 400)));
        served.kill();
        tally.first += 1;
    }
    let mut served = shop.start();
    served.until_ready();
    served
}

/// New events, a build, and a kill somewhere in it or just after it.
fn during_a_build(witness: &Witness<'_>, served: Served, kill: u64, tally: &mut Tally) {
    let before = witness.meet();
    let kept = witness.kept();
    witness.begin(kill);
    let latest = tally.build.as_millis() as u64 * 3 / 2;
    let (stop, length) = (AtomicBool::new(false), Duration::from_millis(draw(SEED, kill, latest)));
    let seen = std::thread::scope(|scope| {
        let watching = scope.spawn(|| witness.watch(&stop));
        std::thread::sleep(length);
        served.kill();
        stop.store(true, Ordering::Relaxed);
        watching.join().unwrap()
    });
    let mut served = witness.shop.start();
    tally.slowest = tally.slowest.max(served.until_ready());
    let now = witness.meet();
    let kept_now = witness.kept();
    let newest = kept_now.iter().find(|(id, _)| *id > kept[0].0).map(|(_, name)| name);
    assert!(now == before || Some(&now) == newest, "{now} is neither {before} nor {newest:?}");
    // It may have been put in place and seen, but not chosen yet when the kill came.
    witness.meet_all(&kept_now[..1]);
    let id = kept_now.iter().find(|(_, name)| *name == now).expect("what serves is kept").0;
    assert_eq!(witness.post(&format!("/api/builds/{id}/publish"), &json!({})).unwrap(), 200);
    served.kill();
    tally.may_serve = vec![now.clone()];
    tally.new += usize::from(now != before);
    witness.check_seen(seen, tally);
}

/// Kept snapshots are put in place in turns, and a kill comes in between: the last acknowledged one answers, or the one that
/// was asked for since.
fn during_the_way_back(witness: &Witness<'_>, served: Served, kill: u64, tally: &mut Tally) {
    let before = witness.meet();
    let mut kept = witness.kept();
    kept.truncate(3);
    witness.meet_all(&kept);
    let before = kept.last().map_or(before, |(_, name)| name.clone());
    let (stop, length) = (AtomicBool::new(false), Duration::from_millis(draw(SEED, kill, 500)));
    let (seen, allowed) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| witness.watch(&stop));
        let turning = scope.spawn(|| {
            let mut allowed = vec![before];
            for (id, name) in kept.iter().cycle() {
                allowed.push(name.clone());
                match witness.post(&format!("/api/builds/{id}/publish"), &json!({})) {
                    Ok(200) => drop(allowed.drain(..allowed.len() - 1)),
                    Ok(status) => panic!("{status}"),
                    Err(_) => return allowed,
                }
            }
            unreachable!("the kill ends it")
        });
        std::thread::sleep(length);
        served.kill();
        stop.store(true, Ordering::Relaxed);
        (watching.join().unwrap(), turning.join().unwrap())
    });
    witness.check_seen(seen, tally);
    tally.may_serve = allowed;
}

//! The server is killed again and again while shoppers act on their slates: the policy that comes back is the one that reading
//! the store from its first lesson gives, to the last bit.

use super::child::{Shop, agent, answer};
use super::{draw, slow};
use crate::learn;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

const SEED: &str = "learn";
const KILLS: u64 = 50;
const CLIENTS: u64 = 4;

/// Shoppers ask for slates and act on what they are shown, some acts are sent twice, until told to stop.
fn shoppers(shop: &Shop, client: u64, stop: &AtomicBool, acts: &AtomicU64) {
    let agent = agent(Duration::from_secs(2));
    let mut n = client << 40;
    while !stop.load(Relaxed) {
        n += 1;
        let user = format!("{}-lover-{}", ["tea", "soap", "bolt"][draw(SEED, n, 3) as usize], draw(SEED, n + 1, 30));
        let Ok((200, slate)) = answer(agent.get(shop.url(&format!("/api/recommend/{user}?n=8"))).call()) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        let item = slate[draw(SEED, n + 2, 8) as usize].clone();
        let kind = ["click", "buy", "cart"][draw(SEED, n + 3, 3) as usize];
        let row = json!([{"FeedbackType": kind, "UserId": user, "ItemId": item, "Key": format!("{n}")}]).to_string();
        for _ in 0..1 + draw(SEED, n + 4, 2) {
            if matches!(answer(agent.post(shop.url("/api/feedback")).send(row.clone())), Ok((200, _))) {
                acts.fetch_add(1, Relaxed);
            }
        }
    }
}

fn policy(shop: &Shop) -> Value {
    answer(agent(Duration::from_secs(10)).get(shop.url("/api/policy")).call()).expect("the server answers").1
}

/// Compares what the server knows with what its store gives, at a moment when both speak of the same lessons.
fn compare(shop: &Shop) -> u64 {
    let began = Instant::now();
    loop {
        let told = policy(shop);
        let (lessons, fingerprint) = learn::replayed(shop.folder(), &shop.store, &told);
        if (told["Lessons"].as_u64(), told["Fingerprint"].as_str()) == (Some(lessons), Some(fingerprint.as_str())) {
            return lessons;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{lessons} lessons, {fingerprint} from the store; {told}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_policy_killed_fifty_times_while_it_learns_is_the_one_that_its_store_gives() {
    if !slow("to kill a learning server 50 times") {
        return;
    }
    let shop = Shop::new();
    learn::files(shop.folder(), 1.0);
    let (stop, acts) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut lessons, mut restored, mut ready) = (0, 0, Duration::ZERO);
    std::thread::scope(|scope| {
        let (shop, stop, acts) = (&shop, &stop, &acts);
        (0..CLIENTS).for_each(|client| drop(scope.spawn(move || shoppers(shop, client, stop, acts))));
        for kill in 0..KILLS {
            let mut served = shop.start();
            ready = ready.max(served.until_ready());
            let told = policy(shop);
            assert!(told["Lessons"].as_u64().unwrap() + 20_000 > lessons, "it goes on near where it was");
            restored += u64::from(told["Lessons"].as_u64().unwrap() > 0);
            if kill % 10 == 5 {
                compare(shop);
            }
            std::thread::sleep(Duration::from_millis(300 + draw(SEED, kill, 1500)));
            lessons = policy(shop)["Lessons"].as_u64().unwrap();
            served.kill();
            if kill % 10 == 9 {
                println!("{} kills, {} acts, {lessons} lessons", kill + 1, acts.load(Relaxed));
            }
        }
        stop.store(true, Relaxed);
    });
    let mut served = shop.start();
    served.until_ready();
    std::thread::sleep(Duration::from_secs(3));
    let all = compare(&shop);
    assert!(all >= lessons && restored > KILLS / 2, "{all} lessons after {lessons}, {restored} went on");
    served.signal("TERM");
    assert_eq!(served.end(), Some(0));
    let mut served = shop.start();
    served.until_ready();
    assert!(compare(&shop) >= all);
    println!("{KILLS} kills, {} acts, {all} lessons; ready after {ready:?} at most", acts.load(Relaxed));
    served.kill();
}

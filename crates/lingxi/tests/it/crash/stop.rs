//! Asked to stop, the server says that it is not ready, answers what is under way and keeps what it acknowledged; and a
//! second one on the same store never begins.

use super::check::Check;
use super::child::{Shop, agent, answer};
use super::slow;
use super::writers::Writers;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const SEED: &str = "stop";

/// Sends the head of a request and a body that never comes to its end, or comes late.
fn slow_request(shop: &Shop, user: &str, rest_after: Option<Duration>) -> Option<String> {
    let body = format!(r#"[{{"FeedbackType":"buy","UserId":"{user}","ItemId":"tea-1"}}]"#);
    let mut socket = TcpStream::connect(shop.url("").strip_prefix("http://").unwrap()).unwrap();
    write!(socket, "POST /api/feedback HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
    let (first, rest) = body.split_at(20);
    socket.write_all(first.as_bytes()).unwrap();
    if let Some(wait) = rest_after {
        std::thread::sleep(wait);
        socket.write_all(rest.as_bytes()).ok()?;
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn asked_to_stop_it_says_so_first_answers_what_is_under_way_and_ends_within_ten_seconds() {
    if !slow("to stop the server with slow requests under way") {
        return;
    }
    let shop = Shop::new();
    let mut served = shop.start();
    served.until_ready();
    let writers = Writers::new(&shop, SEED);
    let ready = || answer(agent(Duration::from_secs(1)).get(shop.url("/health/ready")).call());
    let (_served, meanwhile) = std::thread::scope(|scope| {
        let late = scope.spawn(|| slow_request(&shop, "late", Some(Duration::from_secs(4))));
        let never = scope.spawn(|| slow_request(&shop, "never", None));
        let idle = TcpStream::connect(shop.url("").strip_prefix("http://").unwrap()).unwrap();
        scope.spawn(|| writers.post_events(0));
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(ready().expect("ready").0, 200);
        let before = writers.acknowledged().batches.len();

        let asked = Instant::now();
        served.signal("TERM");
        let first = std::iter::repeat_with(ready).find(|answer| !matches!(answer, Ok((200, _))));
        let noticed = asked.elapsed();
        assert_eq!(first.unwrap().expect("it says so before it hangs up").0, 503);
        std::thread::sleep(Duration::from_millis(500));
        let meanwhile = writers.acknowledged().batches.len();
        assert_eq!(ready().expect("still there, half a second later").0, 503);
        writers.stop();
        assert_eq!(served.end(), Some(0));
        let took = asked.elapsed();
        println!(
            "asked to stop: not ready after {noticed:?}, {} batches still taken, ended after {took:?}",
            meanwhile - before
        );
        assert!(took < Duration::from_secs(10), "{took:?}");
        let late = late.join().unwrap().expect("answered");
        assert!(late.starts_with("HTTP/1.1 200"), "a slow request is waited for: {late}");
        assert!(!never.join().unwrap().is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
        drop(idle);
        // The clients want their last answer.
        let mut served = shop.start();
        served.until_ready();
        (served, meanwhile)
    });
    let acknowledged = writers.acknowledged();
    let mut check = Check::new(SEED);
    check.others.push("late".into());
    check.run(&shop, &acknowledged);
    println!("{} batches acknowledged, {meanwhile} of them before the end: none lost", acknowledged.batches.len());
}

#[test]
fn a_second_server_on_the_same_store_is_refused_and_does_not_disturb_the_first() {
    let shop = Shop::new();
    let mut served = shop.start();
    served.until_ready();
    let post = || {
        let row = r#"[{"FeedbackType":"buy","UserId":"ann","ItemId":"tea-1"}]"#;
        answer(agent(Duration::from_secs(5)).post(shop.url("/api/feedback")).send(row)).expect("an answer").0
    };
    assert_eq!(post(), 200);
    let second = shop.start_at(super::child::free_port());
    assert_eq!(second.end(), Some(2));
    let said = shop.said();
    assert!(said.contains("another lingxi writes to it") && said.contains("--store"), "{said}");
    assert_eq!(post(), 200);
    served.kill();
    shop.start().until_ready();
}

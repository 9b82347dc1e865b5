//! How much does a server take, and how long do its callers wait?
//!
//! In: an address, a file of requests (`METHOD PATH [BODY]` a line, sent in turn) and a rate. Out: one line of JSON with what
//! was offered, the answers by status, and the waiting times of the accepted.
//!
//! With `--rate` the load is open: requests are due at random moments (exponential gaps, seeded) whatever the server does,
//! and a waiting time counts from the moment that a request was due, also if it first had to wait for a connection. Without
//! it the load is closed: every connection sends its next request when it has its answer, which finds the capacity. One
//! thread, any number of connections, kept alive; it spins rather than sleeps, so give it a core of its own.

use clap::Parser;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest wait for the last answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures a server under load.
#[derive(Parser)]
struct Args {
    /// Where the server listens
    at: SocketAddr,
    /// A file with one request a line: METHOD PATH [BODY]
    requests: PathBuf,
    /// Requests a second; absent: as many as the connections carry
    #[arg(long)]
    rate: Option<f64>,
    /// How long requests are sent
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Connections held open
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Sent as Authorization: Bearer
    #[arg(long)]
    key: Option<String>,
    /// Seed of the moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let requests = read_requests(&args)?;
    let mut load = Load::start(args.at, args.connections.max(1), requests)?;
    load.run(args.rate, Duration::from_secs_f64(args.seconds), args.seed)?;
    println!("{}", load.report(args.rate));
    Ok(())
}

/// The requests as bytes on the wire.
fn read_requests(args: &Args) -> io::Result<Vec<Vec<u8>>> {
    let text = std::fs::read_to_string(&args.requests)?;
    let key = args.key.as_ref().map_or(String::new(), |key| format!("authorization: Bearer {key}\r\n"));
    let request = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let (method, path) = (words.next().unwrap_or("GET"), words.next().unwrap_or("/"));
        let body = words.next().unwrap_or("");
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{key}", args.at);
        let length = if body.is_empty() && method == "GET" {
            String::new()
        } else {
            format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len())
        };
        format!("{head}{length}\r\n{body}").into_bytes()
    };
    let requests: Vec<Vec<u8>> = text.lines().filter(|line| !line.is_empty()).map(request).collect();
    if requests.is_empty() {
        let why = format!("{}: expected one request a line, got an empty file", args.requests.display());
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    }
    Ok(requests)
}

/// One connection and the request that it carries.
struct Connection {
    stream: TcpStream,
    busy: bool,
    due: Instant,
    request: usize,
    written: usize,
    answer: Vec<u8>,
}

/// A run.
struct Load {
    at: SocketAddr,
    poll: Poll,
    connections: Vec<Connection>,
    idle: Vec<usize>,
    requests: Vec<Vec<u8>>,
    next: usize,
    offered: usize,
    broken: usize,
    took: Duration,
    /// Waiting times by status.
    waits: BTreeMap<u16, Vec<Duration>>,
}

impl Load {
    fn start(at: SocketAddr, connections: usize, requests: Vec<Vec<u8>>) -> io::Result<Load> {
        let poll = Poll::new()?;
        let opened: io::Result<Vec<Connection>> = (0..connections).map(|i| open(&poll, at, i)).collect();
        Ok(Load {
            at,
            poll,
            connections: opened?,
            idle: (0..connections).rev().collect(),
            requests,
            next: 0,
            offered: 0,
            broken: 0,
            took: Duration::ZERO,
            waits: BTreeMap::new(),
        })
    }

    /// Sends until `length` is over, then waits for what is under way.
    fn run(&mut self, rate: Option<f64>, length: Duration, seed: u64) -> io::Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut gap = |rate: f64| Duration::from_secs_f64(-(1.0 - rng.random::<f64>()).ln() / rate);
        let started = Instant::now();
        let end = started + length;
        let mut due = started;
        let mut waiting: VecDeque<Instant> = VecDeque::new();
        let mut events = Events::with_capacity(1024);
        loop {
            let now = Instant::now();
            match rate {
                Some(rate) => {
                    while due <= now.min(end) {
                        waiting.push_back(due);
                        due += gap(rate);
                    }
                }
                None if now < end => waiting.resize(self.idle.len(), now),
                None => {}
            }
            while !waiting.is_empty()
                && let Some(connection) = self.idle.pop()
            {
                let due = waiting.pop_front().expect("not empty");
                self.send(connection, due)?;
            }
            let under_way = self.connections.len() - self.idle.len();
            if now >= end && ((waiting.is_empty() && under_way == 0) || now > end + PATIENCE) {
                self.took = now - started;
                self.offered += waiting.len();
                self.broken += waiting.len() + under_way;
                return Ok(());
            }
            self.poll.poll(&mut events, Some(Duration::ZERO))?;
            if events.is_empty() {
                // A few microseconds in which a core that shares its units with the server's leaves them alone.
                (0..256).for_each(|_| std::hint::spin_loop());
            }
            for event in &events {
                self.go_on(event.token().0)?;
            }
        }
    }

    fn send(&mut self, at: usize, due: Instant) -> io::Result<()> {
        let connection = &mut self.connections[at];
        (connection.busy, connection.due, connection.request, connection.written) = (true, due, self.next, 0);
        connection.answer.clear();
        self.next = (self.next + 1) % self.requests.len();
        self.offered += 1;
        self.go_on(at)
    }

    /// Writes and reads what can be written and read now.
    fn go_on(&mut self, at: usize) -> io::Result<()> {
        let connection = &mut self.connections[at];
        if !connection.busy {
            return Ok(());
        }
        match connection.advance(&self.requests[connection.request]) {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.waits.entry(status).or_default().push(connection.due.elapsed());
                connection.busy = false;
                self.idle.push(at);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::NotConnected => Ok(()),
            Err(_) => {
                self.broken += 1;
                self.poll.registry().deregister(&mut self.connections[at].stream)?;
                self.connections[at] = open(&self.poll, self.at, at)?;
                self.idle.push(at);
                Ok(())
            }
        }
    }

    fn report(mut self, rate: Option<f64>) -> serde_json::Value {
        let answered: BTreeMap<String, usize> = self.waits.iter().map(|(s, w)| (s.to_string(), w.len())).collect();
        let mut of = |accepted: bool| {
            let kind = self.waits.iter_mut().filter(|(status, _)| (200..300).contains(*status) == accepted);
            let mut all: Vec<Duration> = kind.flat_map(|(_, waits)| waits.drain(..)).collect();
            all.sort_unstable();
            all
        };
        let (good, refused) = (of(true), of(false));
        let ms = |waits: &[Duration], q: f64| {
            waits
                .get(((waits.len() as f64 * q) as usize).min(waits.len().saturating_sub(1)))
                .map(|w| w.as_secs_f64() * 1e3)
        };
        json!({
            "rate": rate,
            "offered": self.offered,
            "seconds": self.took.as_secs_f64(),
            "answered": answered,
            "broken": self.broken,
            "goodput": good.len() as f64 / self.took.as_secs_f64(),
            "p50_ms": ms(&good, 0.5),
            "p99_ms": ms(&good, 0.99),
            "max_ms": ms(&good, 1.0),
            "refused_p50_ms": ms(&refused, 0.5),
            "refused_p99_ms": ms(&refused, 0.99),
        })
    }
}

fn open(poll: &Poll, at: SocketAddr, token: usize) -> io::Result<Connection> {
    let mut stream = TcpStream::connect(at)?;
    poll.registry().register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
    Ok(Connection { stream, busy: false, due: Instant::now(), request: 0, written: 0, answer: Vec::new() })
}

impl Connection {
    /// The status, once the whole answer is here.
    fn advance(&mut self, request: &[u8]) -> io::Result<Option<u16>> {
        while self.written < request.len() {
            match self.stream.write(&request[self.written..]) {
                Ok(n) => {
                    self.written += n;
                    let _ = self.stream.set_nodelay(true);
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(e) => return Err(e),
            }
        }
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.answer.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(e) => return Err(e),
            }
            if let Some(status) = whole_answer(&self.answer)? {
                return Ok(Some(status));
            }
        }
    }
}

/// The status of an answer that is here to its last byte.
fn whole_answer(bytes: &[u8]) -> io::Result<Option<u16>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let wrong = |why: String| io::Error::new(ErrorKind::InvalidData, why);
    let httparse::Status::Complete(start) = head.parse(bytes).map_err(|e| wrong(e.to_string()))? else {
        return Ok(None);
    };
    let length = head.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|h| std::str::from_utf8(h.value).ok()?.parse::<usize>().ok());
    let length = length.ok_or_else(|| wrong("an answer without content-length".into()))?;
    Ok(head.code.filter(|_| bytes.len() >= start + length))
}

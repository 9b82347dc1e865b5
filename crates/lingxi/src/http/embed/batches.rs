//! Token lists of many requests, encoded together.
//!
//! Parts of requests come in and wait in line; one thread takes as many as fit into a budget of tokens, encodes them at once on all
//! cores, and answers each. What comes while it works waits for the next turn, so that a turn is as large as the load makes it and
//! nobody waits for company. The line is bounded: past it a request is refused at once. Who hung up is passed over.

use crate::http::error::{Answer, Refusal};
use lingxi_content::BertEncoder;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot::{self, Receiver, Sender};

/// Tokens of one turn: enough for full speed, little enough that others wait a few hundredths of a second.
pub(super) const TURN: usize = 4096;
/// Tokens that may wait: about four seconds of work on two cores.
const WAITING: usize = 65_536;

/// What makes vectors of tokens.
pub trait Vectors: Send + Sync + 'static {
    /// One vector per list, one after the other.
    fn vectors(&self, tokens: &[Vec<u32>]) -> Vec<f32>;
}

impl Vectors for BertEncoder {
    fn vectors(&self, tokens: &[Vec<u32>]) -> Vec<f32> {
        self.encode_tokens(tokens)
    }
}

/// The line, and the thread that works it off. The thread ends when this is dropped.
pub struct Batches<V: Vectors> {
    line: Arc<Line<V>>,
}

struct Line<V> {
    state: Mutex<State<V>>,
    bell: Condvar,
}

struct State<V> {
    parts: VecDeque<Part<V>>,
    tokens: usize,
    over: bool,
    /// Whether the thread was started: a shop that nobody asks for vectors has none.
    started: bool,
}

/// Part of a request, of at most [`TURN`] tokens or of one text.
struct Part<V> {
    encoder: Arc<V>,
    lists: Vec<Vec<u32>>,
    tokens: usize,
    reply: Sender<Vec<f32>>,
}

impl<V: Vectors> Default for Batches<V> {
    fn default() -> Self {
        let state = State { parts: VecDeque::new(), tokens: 0, over: false, started: false };
        Batches { line: Arc::new(Line { state: Mutex::new(state), bell: Condvar::new() }) }
    }
}

impl<V: Vectors> Batches<V> {
    /// Puts the lists of a request in line. Their vectors come in the order of the lists, part by part.
    ///
    /// # Errors
    /// A refusal if so many do not fit behind those that wait.
    pub(super) fn submit(&self, encoder: &Arc<V>, lists: Vec<Vec<u32>>) -> Answer<Vec<Receiver<Vec<f32>>>> {
        let all: usize = lists.iter().map(Vec::len).sum();
        let mut state = self.line.lock();
        if !state.parts.is_empty() && state.tokens + all > WAITING {
            let message = "more texts than this server can encode are waiting already";
            return Err(Refusal::too_many("line_full", message).remedy("send the request again after Retry-After"));
        }
        let mut answers = Vec::new();
        for lists in parts(lists) {
            let (reply, answer) = oneshot::channel();
            let tokens = lists.iter().map(Vec::len).sum();
            state.tokens += tokens;
            state.parts.push_back(Part { encoder: encoder.clone(), lists, tokens, reply });
            answers.push(answer);
        }
        if !std::mem::replace(&mut state.started, true) {
            let line = self.line.clone();
            std::thread::spawn(move || line.work());
        }
        drop(state);
        self.line.bell.notify_one();
        Ok(answers)
    }
}

impl<V: Vectors> Drop for Batches<V> {
    fn drop(&mut self) {
        self.line.lock().over = true;
        self.line.bell.notify_one();
    }
}

impl<V: Vectors> Line<V> {
    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(turn) = self.turn() {
            let Some(encoder) = turn.first().map(|part| part.encoder.clone()) else { continue };
            let (lists, replies): (Vec<_>, Vec<_>) = turn.into_iter().map(|part| (part.lists, part.reply)).unzip();
            let counts: Vec<usize> = lists.iter().map(Vec::len).collect();
            let vectors = encoder.vectors(&lists.concat());
            let wide = vectors.len() / counts.iter().sum::<usize>().max(1);
            let mut rest = vectors.as_slice();
            for (count, reply) in counts.into_iter().zip(replies) {
                let (own, others) = rest.split_at(count * wide);
                rest = others;
                // Who hung up in the meantime does not want it.
                let _ = reply.send(own.to_vec());
            }
        }
    }

    /// The parts of the next turn; waits for the first. `None` at the end.
    fn turn(&self) -> Option<Vec<Part<V>>> {
        let mut state = self.lock();
        while state.parts.is_empty() && !state.over {
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.over {
            return None;
        }
        let (mut turn, mut sum): (Vec<Part<V>>, usize) = (Vec::new(), 0);
        while let Some(next) = state.parts.front() {
            let wanted = !next.reply.is_closed();
            // Another snapshot may have another model.
            let joins = turn
                .first()
                .is_none_or(|first| Arc::ptr_eq(&first.encoder, &next.encoder) && sum + next.tokens <= TURN);
            if wanted && !joins {
                break;
            }
            let Some(next) = state.parts.pop_front() else { break };
            state.tokens -= next.tokens;
            if wanted {
                sum += next.tokens;
                turn.push(next);
            }
        }
        Some(turn)
    }
}

/// Runs of lists of at most [`TURN`] tokens, or of one list.
fn parts(lists: Vec<Vec<u32>>) -> Vec<Vec<Vec<u32>>> {
    let (mut parts, mut sum): (Vec<Vec<Vec<u32>>>, usize) = (Vec::new(), 0);
    for list in lists {
        sum += list.len();
        match parts.last_mut() {
            Some(part) if sum <= TURN => part.push(list),
            _ => {
                sum = list.len();
                parts.push(vec![list]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Waits for a sign before each turn and tells what was in it; a vector is the first token and the length.
    struct Slow {
        sign: Mutex<mpsc::Receiver<()>>,
        turns: Mutex<Vec<usize>>,
    }

    impl Vectors for Slow {
        fn vectors(&self, tokens: &[Vec<u32>]) -> Vec<f32> {
            self.sign.lock().unwrap().recv().unwrap();
            self.turns.lock().unwrap().push(tokens.len());
            tokens.iter().flat_map(|list| [list[0] as f32, list.len() as f32]).collect()
        }
    }

    fn slow() -> (mpsc::Sender<()>, Arc<Slow>) {
        let (go, sign) = mpsc::channel();
        (go, Arc::new(Slow { sign: Mutex::new(sign), turns: Mutex::default() }))
    }

    fn list(first: u32, length: usize) -> Vec<u32> {
        vec![first; length]
    }

    #[test]
    fn what_waits_is_encoded_together_and_each_request_gets_its_own() {
        let ((go, encoder), batches) = (slow(), Batches::default());
        let first = batches.submit(&encoder, vec![list(1, 5)]).unwrap();
        // The first is being worked on, or will be alone with whatever came by then; the others meet in later turns.
        let others: Vec<_> =
            (2..6).map(|i| batches.submit(&encoder, vec![list(i, 10), list(i, 20)]).unwrap()).collect();
        (0..6).for_each(|_| go.send(()).unwrap());
        let got = |mut answers: Vec<Receiver<Vec<f32>>>| answers.remove(0).blocking_recv().unwrap();
        assert_eq!(got(first), [1.0, 5.0]);
        for (i, answers) in (2..6).zip(others) {
            assert_eq!(got(answers), [i as f32, 10.0, i as f32, 20.0]);
        }
        assert!(encoder.turns.lock().unwrap().len() <= 2, "{:?}", encoder.turns);
    }

    #[test]
    fn a_long_request_is_divided_and_a_full_line_refuses_the_next_until_it_is_shorter() {
        let ((go, encoder), batches) = (slow(), Batches::default());
        let answers = batches.submit(&encoder, (0..200).map(|i| list(i, 400)).collect()).unwrap();
        assert_eq!(answers.len(), 20, "ten lists of 400 tokens are a turn");
        assert!(batches.submit(&encoder, vec![list(1, 1)]).is_err(), "the line is full");
        (0..20).for_each(|_| go.send(()).unwrap());
        for (part, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.blocking_recv().unwrap()[0], 10.0 * part as f32);
        }
        assert!(batches.submit(&encoder, vec![list(1, 1)]).is_ok());
        go.send(()).unwrap();
    }

    #[test]
    fn who_hung_up_is_passed_over() {
        let ((go, encoder), batches) = (slow(), Batches::default());
        let held = batches.submit(&encoder, vec![list(1, TURN)]).unwrap();
        drop(batches.submit(&encoder, vec![list(2, TURN)]).unwrap());
        let last = batches.submit(&encoder, vec![list(3, TURN)]).unwrap();
        (0..2).for_each(|_| go.send(()).unwrap());
        for (first, answers) in [(1.0, held), (3.0, last)] {
            assert_eq!(answers.into_iter().next().unwrap().blocking_recv().unwrap()[0], first);
        }
        assert_eq!(encoder.turns.lock().unwrap().len(), 2, "two turns for three requests");
    }
}

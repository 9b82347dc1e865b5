//! Which sequences are learned from? Events come in; windows of what each shopper did, with what came next after each event,
//! go out, and beside them a seeded share of shoppers whose last event is held out to watch.

use super::SequenceConfig;
use lingxi_data::{EventKind, Events, Rows};
use lingxi_kernels::IGNORED;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Rows of the table of marks: kinds of events, then times between events by powers of two seconds.
pub(crate) const MARKS: usize = EventKind::ALL.len() + GAPS;
const GAPS: usize = 32;
/// Largest number of held-out sequences.
const HELD_OUT_AT_MOST: usize = 4_096;

/// Packed sequences.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lessons {
    /// Items by the model's own numbers.
    pub items: Vec<u32>,
    /// The kind and the time since the event before, as rows of the table of marks.
    pub marks: Vec<[u16; 2]>,
    /// What came next, [`IGNORED`] where it does not count.
    pub labels: Vec<u32>,
    /// Where each sequence begins; one more at the end.
    pub offsets: Vec<usize>,
}

/// One event of a known item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub item: u32,
    marks: [u16; 2],
    counts: bool,
}

impl Known {
    /// What was done.
    pub fn kind(&self) -> EventKind {
        EventKind::ALL[usize::from(self.marks[0])]
    }
}

/// The events whose items `number` knows; `counts` says whether a kind is worth predicting.
pub(crate) fn known(
    rows: &Rows<'_>,
    number: impl Fn(u32) -> Option<u32>,
    counts: impl Fn(EventKind) -> bool,
) -> Vec<Known> {
    let one = |row: usize| {
        let item = number(rows.items[row].0)?;
        let gap = if row == 0 { 0 } else { rows.at[row].saturating_sub(rows.at[row - 1]).max(0) };
        let bucket = (64 - gap.leading_zeros() as usize).min(GAPS - 1);
        let marks = [rows.kinds[row] as u16, (EventKind::ALL.len() + bucket) as u16];
        Some(Known { item, marks, counts: counts(rows.kinds[row]) })
    };
    (0..rows.len()).filter_map(one).collect()
}

impl Lessons {
    /// Number of sequences.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// Numbers of one sequence.
    pub fn range(&self, sequence: u32) -> std::ops::Range<usize> {
        self.offsets[sequence as usize]..self.offsets[sequence as usize + 1]
    }

    /// At most `n` of the sequences, spread evenly.
    pub fn some(&self, n: usize) -> Lessons {
        let mut some = Lessons { offsets: vec![0], ..Lessons::default() };
        for sequence in (0..self.len()).step_by(self.len().div_ceil(n).max(1)) {
            let range = self.range(sequence as u32);
            some.items.extend(&self.items[range.clone()]);
            some.marks.extend(&self.marks[range.clone()]);
            some.labels.extend(&self.labels[range]);
            some.offsets.push(some.items.len());
        }
        some
    }

    /// Adds a sequence; `label` says what came after each of its events.
    pub fn add(&mut self, inputs: &[Known], label: impl Fn(usize) -> u32) {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.items.extend(inputs.iter().map(|event| event.item));
        self.marks.extend(inputs.iter().map(|event| event.marks));
        self.labels.extend((0..inputs.len()).map(label));
        self.offsets.push(self.items.len());
    }

    /// The lessons of `events`, and the held-out ones, whose last label alone counts. `number` renames items.
    pub fn of(config: &SequenceConfig, events: &Events<'_>, number: &[u32], seed: u64) -> (Lessons, Lessons) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let renamed = |item: u32| number.get(item as usize).copied().filter(|at| *at != u32::MAX);
        let counts = |kind: EventKind| config.targets.is_empty() || config.targets.contains(&kind);
        let (mut lessons, mut held) = (Lessons::default(), Lessons::default());
        for (_, rows) in events.users() {
            let mut all = &known(&rows, renamed, counts)[..];
            let watched = rng.random_bool(config.held_out) && held.len() < HELD_OUT_AT_MOST;
            if let ([inputs @ .., last], true) = (all, watched && all.len() >= 3) {
                if last.counts {
                    let inputs = &inputs[inputs.len().saturating_sub(config.length)..];
                    held.add(inputs, |at| if at + 1 == inputs.len() { last.item } else { IGNORED });
                }
                all = inputs;
            }
            // The latest window first; what is older makes windows of its own.
            while let [.., _, _] = all {
                let from = all.len().saturating_sub(config.length + 1);
                let window = &all[from..];
                if window[1..].iter().any(|event| event.counts) {
                    let next = |at: usize| if window[at + 1].counts { window[at + 1].item } else { IGNORED };
                    lessons.add(&window[..window.len() - 1], next);
                }
                all = if from == 0 { &[] } else { &all[..from + 1] };
            }
        }
        (lessons, held)
    }
}

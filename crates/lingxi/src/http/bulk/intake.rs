//! The rows of an import -> the store, through the checks that a POST passes.
//!
//! A row that does not pass is counted, and the first of them are told; the others go on. Rows are stored in batches, each
//! whole or not at all, and what is stored holds at once.

use super::What;
use super::desk::{Desk, Import, RefusedRow};
use crate::http::App;
use crate::http::error::{Answer, Refusal};
use crate::http::sent::Sent;
use crate::http::{feedback, goods};
use crate::store::{Change, Good, NewEvent, Result as StoreResult, StoreError};
use lingxi_data::records::{self, Form, Record};
use serde_json::Value;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// Rows that are stored together: few enough that single requests do not wait long behind them.
const BATCH: usize = 1000;

/// Refused rows that are told.
const TOLD: usize = 20;

/// How long to wait where the store has no place for a batch.
const BUSY: Duration = Duration::from_millis(20);

/// How an import ended that did not break off.
pub enum End {
    /// All rows were read.
    Read,
    /// The server stops; it goes on after the next start.
    Stopped,
}

/// Takes in the rows that lie at `path`; an error says why it broke off.
pub fn take_in(app: &App, desk: &Desk, import: &Import, path: &Path) -> Result<End, String> {
    let mut intake = Intake::new(app, desk, import)?;
    let mut broken = None;
    let read = records::read(path, import.format, &mut |record| {
        match intake.row(record) {
            Ok(()) if !app.is_stopping() => return ControlFlow::Continue(()),
            Ok(()) => broken = Some(StoreError::Closed),
            Err(why) => broken = Some(why),
        }
        ControlFlow::Break(())
    });
    let ended = match broken {
        Some(why) => Err(why),
        None => intake.store(),
    };
    intake.tell(1.0);
    let fresh = intake.finish();
    match ended.and(fresh) {
        Ok(()) => read.map(|()| End::Read).map_err(|why| told(&why.to_string(), path)),
        Err(StoreError::Closed) => Ok(End::Stopped),
        Err(why) => Err(format!("{why}; then send the same import again")),
    }
}

/// An error about the body, without the name that it has here.
fn told(why: &str, path: &Path) -> String {
    why.replace(&path.display().to_string(), "body")
}

/// An import under way.
struct Intake<'a> {
    app: &'a App,
    desk: &'a Desk,
    import: &'a Import,
    events: Vec<NewEvent>,
    goods: Vec<Good>,
    /// Goods that were described since the build: there is a limit to these.
    described: HashSet<String>,
    /// Rows read, stored, known before, refused.
    counts: [u64; 4],
    refusals: Vec<RefusedRow>,
    started: Instant,
    done: f32,
}

impl<'a> Intake<'a> {
    fn new(app: &'a App, desk: &'a Desk, import: &'a Import) -> Result<Intake<'a>, String> {
        let described = match import.what {
            What::Items => {
                let held = app.store().read(|reader| reader.goods()).map_err(|why| why.to_string())?;
                held.into_iter().filter(|good| good.body.is_some()).map(|good| good.item).collect()
            }
            _ => HashSet::new(),
        };
        Ok(Intake {
            app,
            desk,
            import,
            events: Vec::new(),
            goods: Vec::new(),
            described,
            counts: [0; 4],
            refusals: Vec::new(),
            started: Instant::now(),
            done: 0.0,
        })
    }

    fn row(&mut self, record: Record) -> StoreResult<()> {
        self.counts[0] += 1;
        self.done = record.done;
        let row = record.value.map_err(|why| Refusal::input("row", "a JSON object", why));
        if let Err(refusal) = row.and_then(|value| self.check(record.row, value)) {
            self.counts[3] += 1;
            if self.refusals.len() < TOLD {
                let why = *refusal.why;
                self.refusals.push(RefusedRow { row: record.row, message: why.message, remedy: why.remedy });
            }
        }
        if self.events.len() + self.goods.len() >= BATCH {
            self.store()?;
            self.tell(self.done);
        }
        Ok(())
    }

    /// Checks a row as a POST does, its number in the place of its place in the batch.
    fn check(&mut self, row: u64, mut value: Value) -> Answer<()> {
        let at = row as usize;
        if self.import.what == What::Events {
            let event = feedback::parse_row(at, &value, Some(&self.import.key), self.app.now(), feedback::Who::Named)?;
            self.events.push(event);
            return Ok(());
        }
        if self.import.format == Form::Parquet {
            // A column has one type: labels, which may be anything, stand in it as text.
            unpack(at, &mut value, "Labels")?;
        }
        let sent: Sent = serde_json::from_value(value)
            .map_err(|why| Refusal::input(format!("[{at}]"), "an item as POST /api/items takes it", why))?;
        let serving = self.app.serving();
        let good = sent.good(at, None, &|item| goods::categories_of(&serving, item))?;
        if self.described.len() >= goods::MAX_GOODS && !self.described.contains(&good.item) {
            return Err(goods::too_many());
        }
        self.described.insert(good.item.clone());
        self.goods.push(good);
        Ok(())
    }

    /// Stores what was gathered and waits until it is on disk.
    fn store(&mut self) -> StoreResult<()> {
        let (events, goods) = (std::mem::take(&mut self.events), std::mem::take(&mut self.goods));
        if !events.is_empty() {
            let stored = patiently(|| store_events(self.app, events.clone()))?;
            self.counts[1] += stored.0;
            self.counts[2] += stored.1;
        }
        if !goods.is_empty() {
            patiently(|| store_goods(self.app, goods.clone()))?;
            self.counts[1] += goods.len() as u64;
        }
        Ok(())
    }

    /// New goods can be found from here on.
    fn finish(&self) -> StoreResult<()> {
        match self.import.what {
            What::Items if self.counts[1] > 0 => self.app.restock(),
            _ => Ok(()),
        }
    }

    fn tell(&self, share: f32) {
        let seconds = self.started.elapsed().as_secs_f64().max(f64::MIN_POSITIVE);
        let [rows, stored, duplicates, refused] = self.counts;
        self.desk.tell(self.import.id, |import| {
            (import.rows, import.stored, import.duplicates, import.refused) = (rows, stored, duplicates, refused);
            import.refusals.clone_from(&self.refusals);
            import.rate = rows as f64 / seconds;
            import.share = share;
            import.seconds_left = (share > 0.0).then(|| seconds * f64::from(1.0 - share) / f64::from(share));
        });
    }
}

/// JSON that stands as text in the field `name`.
fn unpack(at: usize, value: &mut Value, name: &str) -> Answer<()> {
    let Some(Value::String(text)) = value.get(name) else { return Ok(()) };
    let whole = serde_json::from_str(text)
        .map_err(|why| Refusal::input(format!("[{at}].{name}"), "JSON as text", format!("{text} ({why})")))?;
    value[name] = whole;
    Ok(())
}

/// Tries until the store has a place.
fn patiently<T>(store: impl Fn() -> StoreResult<T>) -> StoreResult<T> {
    loop {
        match store() {
            Err(StoreError::Busy) => std::thread::sleep(BUSY),
            other => return other,
        }
    }
}

/// How many were stored, and how many were known before.
fn store_events(app: &App, events: Vec<NewEvent>) -> StoreResult<(u64, u64)> {
    let (tell, told) = sync_channel(1);
    app.change_then(events.into_iter().map(Change::Insert).collect(), move |result| {
        let _ = tell.send(result.map(|stored| (stored.events.len() as u64, stored.duplicates as u64)));
    })?;
    told.recv().map_err(|_| StoreError::Closed)?
}

fn store_goods(app: &App, goods: Vec<Good>) -> StoreResult<()> {
    let (tell, told) = sync_channel(1);
    app.stock_then(goods, move |result| {
        let _ = tell.send(result);
    })?;
    told.recv().map_err(|_| StoreError::Closed)?
}

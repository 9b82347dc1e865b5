//! What the learner must find again after a crash: the slates that nobody waits for any more, and what a policy had learnt when
//! it was last kept.
//!
//! Answers are ordered by their events. A [`Closing`] says after which answer the slates up to a decision were closed, so that
//! the order of all lessons is in the store, and reading them again gives the same policy to the last bit.

use super::error::Result;
use super::reader::{Reader, read_error, shown};
use super::record::ShownSlot;
use super::{reader, slate};
use lingxi_data::EventKind;
use rusqlite::{Connection, Row, params};

/// Slates up to a decision were closed: whoever did not act on a place by then left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The last decision that was closed.
    pub up_to: u64,
    /// The event of the last answer that was learnt before.
    pub after: i64,
}

/// A kept policy, without all that it had learnt: that may be large, and [`Reader::policy_state`] gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptPolicy {
    /// Its number, from 1; 0 before it is stored.
    pub id: i64,
    /// When it was kept, unix seconds.
    pub at: i64,
    /// As the recipe writes it, JSON: what was learnt is of use to nobody else.
    pub config: String,
    /// Name, parameters and version.
    pub version: String,
    /// Where it had come to.
    pub learnt: Closing,
    /// Lessons until then.
    pub lessons: u64,
    /// Mean reward of a lesson since the one kept before.
    pub reward: f64,
    /// The kept policy that was gone back to, if it is one.
    pub back_to: Option<i64>,
    /// Whether somebody asked for it: the next one does not replace it.
    pub stays: bool,
}

/// What the learner wants kept.
pub enum Learnt {
    /// Slates were closed.
    Closed(Closing),
    /// A policy. The one before is replaced unless it stays or is the first for `every` seconds; the newest `most` are kept.
    Policy {
        /// The policy.
        policy: Box<KeptPolicy>,
        /// All that it knows, JSON.
        state: String,
        /// Seconds between two that stay.
        every: i64,
        /// How many stay.
        most: usize,
    },
}

/// Somebody acted on a place of a slate that a learning policy chose.
#[derive(Clone, Debug, PartialEq)]
pub struct ActedOn {
    /// The event.
    pub event: i64,
    /// The place, from 0.
    pub place: usize,
    /// What was done.
    pub kind: EventKind,
    /// The item.
    pub item: String,
    /// What the policy saw of it.
    pub features: Vec<f32>,
}

/// A slate that a learning policy chose, when it is closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// The decision's number.
    pub id: u64,
    /// When it was shown, unix seconds.
    pub at: i64,
    /// The place of the first slot.
    pub first: usize,
    /// Its places.
    pub slots: Vec<ShownSlot>,
    /// What the policy saw of them, row-major.
    pub seen: Vec<f32>,
    /// What was done on which place until then.
    pub acts: Vec<(usize, EventKind)>,
}

/// Features as they are stored: 32-bit floats, little-endian.
pub(super) fn written(seen: &[f32]) -> Option<Vec<u8>> {
    (!seen.is_empty()).then(|| seen.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// Back from how they are stored.
pub(super) fn read(seen: Option<&[u8]>) -> Vec<f32> {
    let numbers = seen.unwrap_or_default().as_chunks::<4>().0;
    numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Keeps it, and deletes what is no longer needed.
pub(super) fn keep(connection: &Connection, learnt: &Learnt) -> rusqlite::Result<()> {
    match learnt {
        Learnt::Closed(Closing { up_to, after }) => {
            let mut insert = connection.prepare_cached("INSERT INTO closings (up_to, after) VALUES (?, ?)")?;
            insert.execute(params![*up_to as i64, after])?;
        }
        Learnt::Policy { policy, state, every, most } => {
            let KeptPolicy { at, config, version, learnt, lessons, reward, back_to, stays, .. } = policy.as_ref();
            connection.execute(
                "DELETE FROM policies WHERE id = (SELECT max(id) FROM policies WHERE config = ?1) AND NOT stays
                   AND at - (SELECT at FROM policies WHERE config = ?1 ORDER BY id DESC LIMIT 1 OFFSET 1) < ?2",
                params![config, every],
            )?;
            connection.execute(
                "INSERT INTO policies (at, config, version, state, up_to, after, lessons, reward, back_to, stays)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    at,
                    config,
                    version,
                    state,
                    learnt.up_to as i64,
                    learnt.after,
                    *lessons as i64,
                    reward,
                    back_to,
                    stays
                ],
            )?;
            connection.execute(
                "DELETE FROM policies WHERE config = ?1 AND id NOT IN
                   (SELECT id FROM policies WHERE config = ?1 ORDER BY id DESC LIMIT ?2)",
                params![config, *most as i64],
            )?;
        }
    }
    Ok(())
}

const POLICY: &str = "id, at, config, version, up_to, after, lessons, reward, back_to, stays";

fn policy(row: &Row<'_>) -> rusqlite::Result<KeptPolicy> {
    Ok(KeptPolicy {
        id: row.get(0)?,
        at: row.get(1)?,
        config: row.get(2)?,
        version: row.get(3)?,
        learnt: Closing { up_to: row.get::<_, i64>(4)? as u64, after: row.get(5)? },
        lessons: row.get::<_, i64>(6)? as u64,
        reward: row.get(7)?,
        back_to: row.get(8)?,
        stays: row.get(9)?,
    })
}

impl Reader {
    /// At most `most` acts on places of slates that learning policies chose, with events after `event` and up to `until`, in
    /// the order of their events.
    ///
    /// # Errors
    /// [`super::StoreError::Read`] if the query fails or a row is not ours.
    pub fn acted_on(&self, event: i64, until: i64, most: usize) -> Result<Vec<ActedOn>> {
        let sql = "SELECT event, place, kind, first, slots, seen FROM feedback JOIN decisions ON id = decision
                   WHERE event > ? AND event <= ? AND seen IS NOT NULL ORDER BY event LIMIT ?";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let mut rows = statement.query(params![event, until, most as i64]).map_err(read_error)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(read_error)? {
            found.extend(acted_on(row).map_err(read_error)?);
        }
        Ok(found)
    }

    /// The last of at most `most` decisions after `id` that were shown at `until` or before; `None` if the next one is later, or
    /// there is none.
    ///
    /// # Errors
    /// As [`Reader::acted_on`].
    pub fn shown_until(&self, id: u64, until: i64, most: usize) -> Result<Option<u64>> {
        let mut statement = self
            .0
            .prepare_cached("SELECT id, at FROM decisions WHERE id > ? ORDER BY id LIMIT ?")
            .map_err(read_error)?;
        let mut rows = statement.query(params![id as i64, most as i64]).map_err(read_error)?;
        let mut last = None;
        while let Some(row) = rows.next().map_err(read_error)? {
            if row.get::<_, i64>(1).map_err(read_error)? > until {
                break;
            }
            last = Some(row.get::<_, i64>(0).map_err(read_error)? as u64);
        }
        Ok(last)
    }

    /// The slates of learning policies after decision `from` up to `closing`, as they stood then, in the order of their numbers.
    ///
    /// # Errors
    /// As [`Reader::acted_on`].
    pub fn closed(&self, from: u64, closing: Closing) -> Result<Vec<Closed>> {
        let sql = format!(
            "SELECT {}, seen FROM decisions WHERE id > ? AND id <= ? AND seen IS NOT NULL ORDER BY id",
            reader::SHOWN
        );
        let mut statement = self.0.prepare_cached(&sql).map_err(read_error)?;
        let mut rows = statement.query(params![from as i64, closing.up_to as i64]).map_err(read_error)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(read_error)? {
            let slate = shown(row).map_err(read_error)?;
            let seen = read(row.get_ref(8).and_then(|v| Ok(v.as_blob_or_null()?)).map_err(read_error)?);
            let acts = self.acts(slate.id, closing.after).map_err(read_error)?;
            found.push(Closed { id: slate.id, at: slate.at, first: slate.first, slots: slate.slots, seen, acts });
        }
        Ok(found)
    }

    fn acts(&self, decision: u64, until: i64) -> rusqlite::Result<Vec<(usize, EventKind)>> {
        let mut statement =
            self.0.prepare_cached("SELECT place, kind FROM feedback WHERE decision = ? AND event <= ?")?;
        let act = |row: &Row<'_>| Ok((row.get::<_, i64>(0)? as usize, kind(&row.get::<_, String>(1)?)));
        statement.query_map(params![decision as i64, until], act)?.collect()
    }

    /// The closings after decision `up_to`, in their order.
    ///
    /// # Errors
    /// As [`Reader::acted_on`].
    pub fn closings(&self, up_to: u64) -> Result<Vec<Closing>> {
        let sql = "SELECT up_to, after FROM closings WHERE up_to > ? ORDER BY id";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let closing = |row: &Row<'_>| Ok(Closing { up_to: row.get::<_, i64>(0)? as u64, after: row.get(1)? });
        let rows = statement.query_map([up_to as i64], closing).map_err(read_error)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(read_error)
    }

    /// The kept policies of a configuration, newest first.
    ///
    /// # Errors
    /// As [`Reader::acted_on`].
    pub fn policies(&self, config: &str) -> Result<Vec<KeptPolicy>> {
        let sql = format!("SELECT {POLICY} FROM policies WHERE config = ? ORDER BY id DESC");
        let mut statement = self.0.prepare_cached(&sql).map_err(read_error)?;
        let rows = statement.query_map([config], policy).map_err(read_error)?;
        rows.collect::<rusqlite::Result<Vec<_>>>().map_err(read_error)
    }

    /// All that a kept policy knows, JSON.
    ///
    /// # Errors
    /// As [`Reader::acted_on`], also if there is none of this number.
    pub fn policy_state(&self, id: i64) -> Result<String> {
        let sql = "SELECT state FROM policies WHERE id = ?";
        self.0.prepare_cached(sql).and_then(|mut found| found.query_row([id], |row| row.get(0))).map_err(read_error)
    }

    /// The newest `most` slates, oldest first: what shoppers were shown lately.
    ///
    /// # Errors
    /// As [`Reader::acted_on`].
    pub fn last_slates(&self, most: usize, mut each: impl FnMut(&str, &[ShownSlot])) -> Result<()> {
        let sql =
            "SELECT user, slots FROM (SELECT id, user, slots FROM decisions ORDER BY id DESC LIMIT ?) ORDER BY id";
        let mut statement = self.0.prepare_cached(sql).map_err(read_error)?;
        let mut rows = statement.query([most as i64]).map_err(read_error)?;
        while let Some(row) = rows.next().map_err(read_error)? {
            let user: String = row.get(0).map_err(read_error)?;
            let text: String = row.get(1).map_err(read_error)?;
            each(&user, &slate::read(&text).map_err(|why| read_error(reader::not_ours(1, why)))?);
        }
        Ok(())
    }
}

fn kind(name: &str) -> EventKind {
    EventKind::parse(name).unwrap_or(EventKind::Other)
}

/// `None` for a place that the slate does not have, which only a damaged file can say.
fn acted_on(row: &Row<'_>) -> rusqlite::Result<Option<ActedOn>> {
    let (place, first) = (row.get::<_, i64>(1)? as usize, row.get::<_, i64>(3)? as usize);
    let slots = slate::read(row.get_ref(4)?.as_str()?).map_err(|why| reader::not_ours(4, why))?;
    let seen = read(row.get_ref(5)?.as_blob_or_null()?);
    let Some(at) = place.checked_sub(first).filter(|at| *at < slots.len()) else { return Ok(None) };
    let width = seen.len() / slots.len();
    Ok(Some(ActedOn {
        event: row.get(0)?,
        place,
        kind: kind(&row.get::<_, String>(2)?),
        item: slots[at].item.clone(),
        features: seen[at * width..(at + 1) * width].to_vec(),
    }))
}

//! The tables, their version, and how a connection must be set before it may write.

use super::error::{Result, StoreError};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::path::Path;
use std::time::Duration;

/// Written into the file; a store of another version is refused, not guessed at.
const VERSION: i64 = 6;

/// How long to wait for another program that has the file locked, say a shell that somebody left open.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Pages of the file that the writer keeps in memory, at most.
const CACHE_KIB: i64 = 8 << 10;

/// "lgxi": tells our file from any other SQLite database.
const APPLICATION: i64 = 0x6c67_7869;

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('openings', 0);

CREATE TABLE events (
    seq     INTEGER PRIMARY KEY,                -- order of arrival
    user    TEXT NOT NULL,
    item    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    value   REAL NOT NULL,
    at      INTEGER NOT NULL,                   -- unix seconds
    comment TEXT,
    key     TEXT                                -- idempotency
) STRICT;
CREATE INDEX events_of_user ON events (user, at);
CREATE UNIQUE INDEX events_by_key ON events (key) WHERE key IS NOT NULL;        -- most have none: no row for those

CREATE TABLE decisions (
    id       INTEGER PRIMARY KEY,
    user     TEXT NOT NULL,
    at       INTEGER NOT NULL,
    policy   TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    seed     INTEGER NOT NULL                   -- the 64 bits, as signed
) STRICT;
CREATE INDEX decisions_of_user ON decisions (user, at);

CREATE TABLE slots (
    decision   INTEGER NOT NULL REFERENCES decisions (id),
    place      INTEGER NOT NULL,                -- from 0
    item       TEXT NOT NULL,
    score      REAL NOT NULL,
    propensity REAL NOT NULL,
    explored   INTEGER NOT NULL,
    PRIMARY KEY (decision, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE feedback (
    event    INTEGER PRIMARY KEY REFERENCES events (seq),       -- an event answers one decision at most
    decision INTEGER NOT NULL REFERENCES decisions (id),
    place    INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    UNIQUE (decision, place, kind)                              -- and an act on a place is counted once
) STRICT;
";

/// What version 2 added.
const GOODS: &str = "
CREATE TABLE goods (
    item TEXT PRIMARY KEY,
    what TEXT NOT NULL,                         -- shown, hidden or deleted
    body TEXT,                                  -- JSON, if the shop described it
    at   INTEGER NOT NULL                       -- unix seconds
) STRICT, WITHOUT ROWID;
";

/// What version 3 added.
const SHOPPERS: &str = "
CREATE TABLE users (
    user TEXT PRIMARY KEY,
    body TEXT,                                  -- JSON; null: the shopper was deleted
    at   INTEGER NOT NULL                       -- unix seconds
) STRICT, WITHOUT ROWID;

CREATE TABLE erased (                           -- in the logs: events of ours are deleted
    user  TEXT NOT NULL,
    item  TEXT NOT NULL,                        -- empty: any
    kind  TEXT NOT NULL,                        -- empty: any
    until INTEGER NOT NULL,                     -- the last event that had arrived
    at    INTEGER NOT NULL,                     -- unix seconds
    PRIMARY KEY (user, item, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE spent_keys (key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;           -- of events that were deleted
CREATE INDEX events_of_item ON events (item);
CREATE INDEX events_of_kind ON events (kind);
";

/// What version 4 changed: a slate is one row, its places as in [`super::slate`].
const SLATES: &str = "
ALTER TABLE decisions ADD COLUMN first INTEGER NOT NULL DEFAULT 0;              -- the place of the first slot
ALTER TABLE decisions ADD COLUMN slots TEXT NOT NULL DEFAULT '[]';
UPDATE decisions SET
    first = coalesce((SELECT min(place) FROM slots WHERE decision = id), 0),
    slots = (SELECT json_group_array(json_array(item, score, propensity, json(iif(explored, 'true', 'false'))) ORDER BY place)
             FROM slots WHERE decision = id);
DROP TABLE slots;
";

/// What version 5 added: what a learner needs to come to the same policy again, as in [`super::learnt`].
const LEARNT: &str = "
ALTER TABLE decisions ADD COLUMN seen BLOB;     -- what the policy saw of each place; null if nothing

CREATE TABLE closings (
    id    INTEGER PRIMARY KEY,
    up_to INTEGER NOT NULL,                     -- the last decision that was closed
    after INTEGER NOT NULL                      -- the event of the last answer that was learnt before
) STRICT;
CREATE INDEX closings_by_decision ON closings (up_to);

CREATE TABLE policies (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,                   -- unix seconds
    config  TEXT NOT NULL,                      -- JSON
    version TEXT NOT NULL,
    state   TEXT NOT NULL,                      -- JSON
    up_to   INTEGER NOT NULL,                   -- where it had come to, as in closings
    after   INTEGER NOT NULL,
    lessons INTEGER NOT NULL,
    reward  REAL NOT NULL,                      -- mean of a lesson since the policy before
    back_to INTEGER,                            -- the kept policy that was gone back to
    stays   INTEGER NOT NULL                    -- whether somebody asked for it
) STRICT;
";

/// What version 6 added.
const EXPERIMENTS: &str = "
CREATE TABLE experiments (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given again: slates may be on their way
    name    TEXT NOT NULL UNIQUE,
    body    TEXT NOT NULL,                      -- JSON: the experiment as it was started
    within  INTEGER,                            -- seconds after the first slate in which acts count
    started INTEGER NOT NULL,                   -- unix seconds
    ended   INTEGER,                            -- unix seconds; null: it runs
    why     TEXT
) STRICT;

CREATE TABLE arms (
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    arm        INTEGER NOT NULL,                -- its place, the control first
    stopped    TEXT,                            -- JSON: when, why, and what it said last; null: it goes on
    PRIMARY KEY (experiment, arm)
) STRICT, WITHOUT ROWID;

CREATE TABLE arm_totals (                       -- what an arm's shoppers are, as sums: never added up again
    experiment     INTEGER NOT NULL,
    arm            INTEGER NOT NULL,
    metric         TEXT NOT NULL,
    n              INTEGER NOT NULL,
    mean           REAL NOT NULL,
    before         REAL NOT NULL,
    squares        REAL NOT NULL,
    squares_before REAL NOT NULL,
    products       REAL NOT NULL,
    PRIMARY KEY (experiment, arm, metric),
    FOREIGN KEY (experiment, arm) REFERENCES arms (experiment, arm)
) STRICT, WITHOUT ROWID;

CREATE TABLE met (                              -- who was met in which arm, and what they did since and before
    experiment INTEGER NOT NULL,
    user       TEXT NOT NULL,
    arm        INTEGER NOT NULL,
    since      INTEGER NOT NULL,                -- unix seconds
    after      INTEGER NOT NULL,                -- the last event that had arrived
    deeds      TEXT NOT NULL,                   -- JSON
    before     TEXT NOT NULL,                   -- JSON
    PRIMARY KEY (experiment, user),
    FOREIGN KEY (experiment, arm) REFERENCES arms (experiment, arm)
) STRICT, WITHOUT ROWID;
";

/// The steps from each version to the next, from version 1 on.
const STEPS: [&str; 5] = [GOODS, SHOPPERS, SLATES, LEARNT, EXPERIMENTS];

/// Opens `path` for the one writer and makes the tables if the file is new. The second value is the first decision id
/// of this opening: the number of openings in the upper bits, so that an id given out and lost in a crash never returns.
/// The third is the number of the last event, also if it was deleted.
pub fn open_to_write(path: &Path) -> Result<(Connection, u64, i64)> {
    let mut connection = Connection::open(path).map_err(|e| fail(path, e))?;
    prepare(&mut connection, path)?;
    let openings: i64 = connection
        .query_row("UPDATE meta SET value = value + 1 WHERE name = 'openings' RETURNING value", [], |row| row.get(0))
        .map_err(|e| fail(path, e))?;
    let last = "SELECT max((SELECT coalesce(max(seq), 0) FROM events), (SELECT coalesce(max(until), 0) FROM erased))";
    let last = connection.query_row(last, [], |row| row.get(0)).map_err(|e| fail(path, e))?;
    Ok((connection, ((openings as u64) << 32) | 1, last))
}

/// Opens `path` to read beside the writer.
pub fn open_to_read(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        Ok(connection)
    };
    open().map_err(|e| StoreError::Read(format!("{}: {e}", path.display())))
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<()> {
    let wrong = |why: String| StoreError::Open { path: path.to_path_buf(), why };
    let sql = |e: rusqlite::Error| fail(path, e);
    connection.busy_timeout(PATIENCE).map_err(sql)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(sql)?;
    // FULL syncs the log at every commit: what is acknowledged survives a power cut, not only a killed process.
    connection.pragma_update(None, "synchronous", "FULL").map_err(sql)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(sql)?;
    // Events lie scattered over their indexes: with SQLite's own two megabytes a large batch reads and writes its pages twice.
    connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(sql)?;
    // What is deleted is overwritten: it must not lie about in free pages.
    connection.pragma_update(None, "secure_delete", true).map_err(sql)?;
    let read =
        |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).optional().map_err(sql);
    let (application, version) = (read("application_id")?.unwrap_or(0), read("user_version")?.unwrap_or(0));
    match (application, version) {
        (APPLICATION, VERSION) => return Ok(()),
        (APPLICATION, older @ 1..VERSION) => return upgrade(connection, older).map_err(sql),
        (0, 0) => {}
        (APPLICATION, newer) => {
            return Err(wrong(format!("expected version {VERSION}, got {newer}; use the lingxi that wrote it")));
        }
        _ => return Err(wrong("expected a lingxi store, got another database; name another file".into())),
    }
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).map_err(sql)?;
    if tables > 0 {
        return Err(wrong("expected a lingxi store, got another database; name another file".into()));
    }
    let transaction = connection.transaction().map_err(sql)?;
    transaction.execute_batch(TABLES).map_err(sql)?;
    transaction.pragma_update(None, "application_id", APPLICATION).map_err(sql)?;
    transaction.pragma_update(None, "user_version", 1).map_err(sql)?;
    transaction.commit().map_err(sql)?;
    upgrade(connection, 1).map_err(sql)
}

/// Adds what newer versions have, whole or not at all.
fn upgrade(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for step in STEPS.iter().skip(from as usize - 1) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

fn fail(path: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::Open {
        path: path.to_path_buf(),
        why: format!("{why}; check the path, its permissions and the room on the disk"),
    }
}

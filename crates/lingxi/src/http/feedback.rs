//! `POST` and `PUT /api/feedback`: a JSON array of Gorse-shaped events -> `{"RowAffected": n}`, once they are on disk. POST
//! adds them; PUT puts each in place of those of the same type, shopper and item.
//!
//! Every row is checked before the first is stored, and a batch is one transaction: it is stored whole or not at all.

use super::app::App;
use super::error::{Answer, Refusal};
use super::params::{Body, MAX_ID, Query, checked_id, checked_kind, type_name};
use super::timestamp;
use crate::store::{Change, Erasure, NewEvent, Stored};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use lingxi_data::EventKind;
use serde::Serialize;
use serde_json::{Map, Value};

/// Most events in one request.
pub const MAX_ROWS: usize = 10_000;

/// Longest comment, in bytes.
const MAX_COMMENT: usize = 4096;

/// How far in the future an event may lie, in seconds: clocks and time zones go wrong, but not by more than a day.
const MAX_AHEAD: i64 = 24 * 3600;

/// Fields of a row. `Updated` is Gorse's own and is ignored; `Key` is ours.
const FIELDS: &[&str] = &["FeedbackType", "UserId", "ItemId", "Timestamp", "Value", "Comment", "Updated", "Key"];

/// How many rows a change touched, as Gorse says it.
#[derive(Serialize)]
pub struct Touched {
    /// Events, shoppers or items.
    #[serde(rename = "RowAffected")]
    pub row_affected: usize,
}

/// Stores a batch of events and takes it into the live histories.
pub async fn post(State(app): State<App>, query: Query, headers: HeaderMap, Body(body): Body) -> Answer<Json<Touched>> {
    query.only(&[])?;
    let events = parse(&body, batch_key(&headers)?, app.now(), Who::Named)?;
    let stored = change(&app, events.into_iter().map(Change::Insert).collect()).await?;
    Ok(Json(Touched { row_affected: stored.events.len() }))
}

/// Stores a batch of events, each in place of those that it repeats.
pub async fn put(State(app): State<App>, query: Query, headers: HeaderMap, Body(body): Body) -> Answer<Json<Touched>> {
    query.only(&[])?;
    let events = parse(&body, batch_key(&headers)?, app.now(), Who::Named)?;
    let changes = app.compute(move |_, serving| {
        let replace = |event: NewEvent| {
            let (user, item) = (event.user.clone(), Some(event.item.clone()));
            let logged = serving.would_hide(&Erasure { user, item, kind: Some(event.kind) }) > 0;
            Change::Replace { event, logged }
        };
        Ok(events.into_iter().map(replace).collect())
    });
    let stored = change(&app, changes.await?).await?;
    Ok(Json(Touched { row_affected: stored.events.len() }))
}

/// Makes changes on disk and in the live histories, in this order.
pub(super) async fn change(app: &App, changes: Vec<Change>) -> Answer<Stored> {
    let (tell, told) = tokio::sync::oneshot::channel();
    app.change_then(changes, move |result| {
        let _ = tell.send(result);
    })?;
    Ok(told.await.map_err(|_| Refusal::internal("the store's writer stopped"))??)
}

/// The `Idempotency-Key` header: with it, row `i` has the key `header#i`.
pub(super) fn batch_key(headers: &HeaderMap) -> Answer<Option<&str>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let field = "Idempotency-Key";
    let text = value.to_str().map_err(|_| Refusal::input(field, "visible ASCII text", "other bytes"))?;
    checked_id(field, text).map(Some)
}

/// Whether each row must say who did it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Who {
    /// Yes.
    Named,
    /// No: the rows are one session's.
    Anyone,
}

/// The events of a body; `now` stands in where a row has no time.
pub(super) fn parse(body: &[u8], batch_key: Option<&str>, now: i64, who: Who) -> Answer<Vec<NewEvent>> {
    let json: Value = serde_json::from_slice(body).map_err(|e| {
        Refusal::input("body", "a JSON array of feedback in UTF-8", e).remedy("correct the JSON at that place")
    })?;
    let Value::Array(rows) = json else {
        return Err(Refusal::input("body", "a JSON array of feedback", type_name(&json))
            .remedy("put the event between [ and ]"));
    };
    if rows.len() > MAX_ROWS {
        return Err(Refusal::input("body", format!("at most {MAX_ROWS} events"), rows.len())
            .remedy("send the events in several requests"));
    }
    rows.iter().enumerate().map(|(at, row)| parse_row(at, row, batch_key, now, who)).collect()
}

pub(super) fn parse_row(at: usize, row: &Value, batch_key: Option<&str>, now: i64, who: Who) -> Answer<NewEvent> {
    let Value::Object(fields) = row else {
        return Err(Refusal::input(format!("[{at}]"), "an object", type_name(row)));
    };
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(Refusal::input(format!("[{at}]"), format!("fields {}", FIELDS.join(", ")), unknown));
    }
    let row = Row { at, fields };
    let kind = row.kind()?;
    let key = match row.text("Key", MAX_ID)? {
        Some(key) => Some(checked_id(&row.path("Key"), key)?.to_owned()),
        None => batch_key.map(|key| format!("{key}#{at}")),
    };
    Ok(NewEvent {
        user: if who == Who::Anyone && row.is_blank("UserId") { String::new() } else { row.id("UserId")? },
        item: row.id("ItemId")?,
        kind,
        value: row.value(kind)?,
        at: row.time(now)?,
        comment: row.text("Comment", MAX_COMMENT)?.filter(|c| !c.is_empty()).map(str::to_owned),
        key,
    })
}

/// One event of the array; each method reads one field and names it in its refusal.
struct Row<'a> {
    at: usize,
    fields: &'a Map<String, Value>,
}

impl<'a> Row<'a> {
    fn path(&self, name: &str) -> String {
        format!("[{}].{name}", self.at)
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn is_blank(&self, name: &str) -> bool {
        self.get(name).is_none_or(|value| value.as_str() == Some(""))
    }

    fn text(&self, name: &str, max: usize) -> Answer<Option<&'a str>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= max => Ok(Some(text)),
            Some(Value::String(text)) => {
                Err(Refusal::input(self.path(name), format!("at most {max} bytes"), format!("{} bytes", text.len())))
            }
            Some(other) => Err(Refusal::input(self.path(name), "a string", type_name(other))),
        }
    }

    fn id(&self, name: &str) -> Answer<String> {
        match self.get(name) {
            Some(Value::String(id)) => checked_id(&self.path(name), id).map(str::to_owned),
            Some(other) => Err(Refusal::input(self.path(name), "a string", type_name(other))
                .remedy("write ids in quotes, also numeric ones")),
            None => Err(Refusal::input(self.path(name), "a string", "nothing")),
        }
    }

    fn kind(&self) -> Answer<EventKind> {
        let known = || EventKind::ALL.map(EventKind::name).join(", ");
        let text = self.text("FeedbackType", MAX_ID)?;
        let text = text.ok_or_else(|| Refusal::input(self.path("FeedbackType"), known(), "nothing"))?;
        checked_kind(&self.path("FeedbackType"), text)
    }

    fn value(&self, kind: EventKind) -> Answer<f32> {
        let path = || self.path("Value");
        let number = match self.get("Value") {
            None => None,
            Some(value) => {
                let number = value.as_f64().ok_or_else(|| Refusal::input(path(), "a number", type_name(value)))?;
                let fits = number.is_finite() && number.abs() <= 1e9;
                Some(if fits {
                    number as f32
                } else {
                    return Err(Refusal::input(path(), "a number up to 1e9", number));
                })
            }
        };
        match (kind, number) {
            (EventKind::Rate, Some(rating)) => Ok(rating),
            (EventKind::Rate, None) => Err(Refusal::input(path(), "the rating", "nothing")),
            // Gorse's clients send 0 where they mean "no value".
            (_, None | Some(0.0)) => Ok(1.0),
            (_, Some(quantity)) if quantity > 0.0 => Ok(quantity),
            (_, Some(negative)) => Err(Refusal::input(path(), "a positive number", negative)),
        }
    }

    fn time(&self, now: i64) -> Answer<i64> {
        let Some(value) = self.get("Timestamp").filter(|v| !timestamp::is_absent(v)) else { return Ok(now) };
        let path = || self.path("Timestamp");
        let at = timestamp::parse(value).ok_or_else(|| Refusal::input(path(), timestamp::EXPECTED, value))?;
        if at > now.saturating_add(MAX_AHEAD) {
            return Err(Refusal::input(path(), "a time at most a day ahead", value).remedy("check the shop's clock"));
        }
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_700_000_000;

    fn one(row: &str) -> Answer<NewEvent> {
        parse(format!("[{row}]").as_bytes(), None, NOW, Who::Named).map(|mut rows| rows.remove(0))
    }

    #[test]
    fn a_gorse_row_is_read_and_synonyms_are_understood() {
        let event = one(
            r#"{"FeedbackType":"purchase","UserId":"ann","ItemId":"茶","Timestamp":"2023-11-01T00:00:00Z","Value":0,
                "Comment":"","Updated":"0001-01-01T00:00:00Z"}"#,
        );
        let event = event.unwrap();
        assert_eq!((event.kind, event.value, event.at), (EventKind::Buy, 1.0, 1_698_796_800));
        assert_eq!((event.item.as_str(), event.comment, event.key), ("茶", None, None));
        let now = one(r#"{"FeedbackType":"rate","UserId":"a","ItemId":"b","Timestamp":"","Value":-0.5}"#).unwrap();
        assert_eq!((now.at, now.value), (NOW, -0.5));
        let session = br#"[{"FeedbackType":"read","UserId":"","ItemId":"b"},{"FeedbackType":"read","ItemId":"b"}]"#;
        assert!(parse(session, None, NOW, Who::Named).is_err());
        assert!(parse(session, None, NOW, Who::Anyone).is_ok_and(|rows| rows.iter().all(|row| row.user.is_empty())));
    }

    #[test]
    fn each_wrong_field_is_named_with_what_was_expected() {
        let check = |row: &str, field: &str, expected: &str| {
            let refusal = one(row).expect_err(row);
            assert_eq!(refusal.why.field.as_deref(), Some(field), "{row}");
            assert!(refusal.why.expected.as_deref().is_some_and(|e| e.contains(expected)), "{row}: {refusal:?}");
        };
        check("7", "[0]", "an object");
        check("{}", "[0].FeedbackType", "view");
        check(r#"{"FeedbackType":"teleport","UserId":"a","ItemId":"b"}"#, "[0].FeedbackType", "view");
        check(r#"{"FeedbackType":"buy","UserId":7,"ItemId":"b"}"#, "[0].UserId", "a string");
        check(r#"{"FeedbackType":"buy","UserId":"","ItemId":"b"}"#, "[0].UserId", "1 to 512");
        check(r#"{"FeedbackType":"buy","UserId":"a\u0000","ItemId":"b"}"#, "[0].UserId", "control");
        check(r#"{"FeedbackType":"buy","UserId":"a"}"#, "[0].ItemId", "a string");
        check(r#"{"FeedbackType":"buy","UserId":"a","ItemId":"b","Valeu":1}"#, "[0]", "Value");
        check(r#"{"FeedbackType":"buy","UserId":"a","ItemId":"b","Value":"1"}"#, "[0].Value", "a number");
        check(r#"{"FeedbackType":"buy","UserId":"a","ItemId":"b","Value":-1}"#, "[0].Value", "positive");
        check(r#"{"FeedbackType":"buy","UserId":"a","ItemId":"b","Value":1e30}"#, "[0].Value", "up to");
        check(r#"{"FeedbackType":"rate","UserId":"a","ItemId":"b"}"#, "[0].Value", "rating");
        check(r#"{"FeedbackType":"buy","UserId":"a","ItemId":"b","Timestamp":"soon"}"#, "[0].Timestamp", "a time");
        check(r#"{"FeedbackType":"buy","UserId":"a","ItemId":"b","Timestamp":1800000000}"#, "[0].Timestamp", "ahead");
        let huge = format!(r#"{{"FeedbackType":"buy","UserId":"{}","ItemId":"b"}}"#, "x".repeat(513));
        check(&huge, "[0].UserId", "1 to 512");
    }

    #[test]
    fn what_is_no_json_array_is_refused() {
        let deep = "[".repeat(100_000);
        for body in ["", "{}", "null", "[NaN]", "[", deep.as_str(), "[{}]x"] {
            assert!(parse(body.as_bytes(), None, NOW, Who::Named).is_err(), "{body:.20}");
        }
        assert!(parse(b"[\"\xff\"]", None, NOW, Who::Named).is_err());
        assert_eq!(parse(b"[]", None, NOW, Who::Named).unwrap(), []);
    }

    proptest! {
        #[test]
        fn no_body_makes_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:a-zA-Z0-9.\\-]{0,60}") {
            let _ = parse(&bytes, Some("k"), NOW, Who::Anyone);
            let _ = parse(text.as_bytes(), None, NOW, Who::Named);
        }
    }
}

//! The parsers behind the endpoints, for whoever wants to throw bytes at them: rows are counted, and nothing is stored.

use super::feedback::{self, Who};
use super::sent::Sent;
use super::{goods, params};

/// How many events the body of `POST /api/feedback` holds, where `now` stands in for a missing time.
///
/// # Errors
/// The message of the refusal.
pub fn events(body: &[u8], now: i64) -> Result<usize, String> {
    let events = feedback::parse(body, Some("key"), now, Who::Named).map_err(|refusal| refusal.why.message)?;
    Ok(events.len())
}

/// How many items the body of `POST /api/items` holds.
///
/// # Errors
/// The message of the refusal.
pub fn items(body: &[u8]) -> Result<usize, String> {
    let sent: Vec<Sent> = params::read_all(body, goods::MAX_BATCH, "an array of items").map_err(|e| e.why.message)?;
    let goods = sent.into_iter().enumerate().map(|(at, sent)| sent.good(at, None, &|_| Vec::new()));
    let goods = goods.collect::<Result<Vec<_>, _>>().map_err(|refusal| refusal.why.message)?;
    Ok(goods.len())
}

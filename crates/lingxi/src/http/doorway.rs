//! The parsers behind the endpoints, for whoever wants to throw bytes at them: rows are counted, and nothing is stored.

use super::{feedback, goods};

/// How many events the body of `POST /api/feedback` holds, where `now` stands in for a missing time.
///
/// # Errors
/// The message of the refusal.
pub fn events(body: &[u8], now: i64) -> Result<usize, String> {
    let events = feedback::parse(body, Some("key"), now).map_err(|refusal| refusal.why.message)?;
    Ok(events.len())
}

/// How many items the body of `POST /api/items` holds.
///
/// # Errors
/// The message of the refusal.
pub fn items(body: &[u8]) -> Result<usize, String> {
    let sent: Vec<goods::Sent> = serde_json::from_slice(body).map_err(|why| why.to_string())?;
    let goods = sent.into_iter().enumerate().map(|(at, sent)| goods::good(at, sent));
    let goods = goods.collect::<Result<Vec<_>, _>>().map_err(|refusal| refusal.why.message)?;
    Ok(goods.len())
}

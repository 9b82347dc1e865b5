//! What every [`Score`] must obey, checked by calling it.
//!
//! A test fits its model, says for whom it asks, and hands both over; the first law that does not hold comes back as a sentence. The
//! laws are those of the trait, so they hold for the models of other crates too.

use lingxi_data::{Context, EventKind, ItemId, Rows, Score};

/// An item that no catalogue of a test has.
const UNKNOWN: ItemId = ItemId(u32::MAX - 1);

/// Checks a model: scores are finite; the same when asked again; some items score as they do among all, and a shopper alone as
/// among others; the parts of a score add up to it, and some score has parts; no history, and a history of nothing that is
/// known, are the same evidence; an item that is not known scores zero and has no parts.
///
/// # Errors
/// The law that does not hold, and the numbers that break it.
pub fn check_score(model: &dyn Score, contexts: &[Context<'_>]) -> Result<(), String> {
    let all = score_all(model, contexts);
    if let Some(x) = all.iter().find(|x| !x.is_finite()) {
        return Err(say(model, format!("expected finite scores, got {x}")));
    }
    if all != score_all(model, contexts) {
        return Err(say(model, "expected the same scores when asked again".into()));
    }
    let rows = || contexts.iter().zip(all.chunks(model.n_items().max(1)));
    for (context, row) in rows() {
        alone(model, context, row)?;
    }
    let mut explained = 0;
    for (context, row) in rows() {
        explained += parts(model, context, row)?;
    }
    if explained == 0 {
        return Err(say(model, "expected scores with parts, got none".into()));
    }
    strangers(model)?;
    contexts.iter().try_for_each(|context| unknown(model, context))
}

fn score_all(model: &dyn Score, contexts: &[Context<'_>]) -> Vec<f32> {
    let mut out = vec![f32::NAN; contexts.len() * model.n_items()];
    model.score_all(contexts, &mut out);
    out
}

fn say(model: &dyn Score, law: String) -> String {
    format!("{}: {law}", model.name())
}

/// Whether two ways to a number agree.
fn close(model: &dyn Score, what: &str, a: f32, b: f32) -> Result<(), String> {
    let agree = (a - b).abs() <= 1e-4 * (1.0 + a.abs());
    if agree { Ok(()) } else { Err(say(model, format!("{what}: {a} and {b}"))) }
}

/// Every seventh item, last first.
fn alone(model: &dyn Score, context: &Context<'_>, row: &[f32]) -> Result<(), String> {
    let picked: Vec<ItemId> = (0..row.len() as u32).rev().step_by(7).map(ItemId).collect();
    let mut some = vec![f32::NAN; picked.len()];
    model.score(context, &picked, &mut some);
    let mut pairs = picked.iter().zip(some);
    pairs.try_for_each(|(item, score)| close(model, "one by one and all at once", row[item.index()], score))
}

/// How many parts there are.
fn parts(model: &dyn Score, context: &Context<'_>, row: &[f32]) -> Result<usize, String> {
    let mut count = 0;
    for (item, score) in row.iter().enumerate() {
        let parts = model.contributions(context, ItemId(item as u32));
        count += parts.len();
        close(model, "score and sum of its parts", *score, parts.iter().map(|part| part.value).sum())?;
    }
    Ok(count)
}

fn strangers(model: &dyn Score) -> Result<(), String> {
    let one = Rows { items: &[UNKNOWN], at: &[5], kinds: &[EventKind::Buy], values: &[1.0] };
    let of = |history| score_all(model, &[Context { user: None, history, now: 9_999 }]);
    if of(Rows::default()) != of(one) {
        return Err(say(model, "expected an unknown item to be no evidence".into()));
    }
    Ok(())
}

fn unknown(model: &dyn Score, context: &Context<'_>) -> Result<(), String> {
    let mut out = [f32::NAN];
    model.score(context, &[UNKNOWN], &mut out);
    if out != [0.0] || !model.contributions(context, UNKNOWN).is_empty() {
        return Err(say(model, format!("expected 0 and no parts for an unknown item, got {}", out[0])));
    }
    Ok(())
}

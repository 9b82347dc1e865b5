//! `GET /api/recommend/{user}` and `/api/recommend/{user}/{category}`: the slate as an array of ids, as Gorse answers; with
//! the header `X-API-Version: 2` as an array of ids with scores; with `explain=true` as an array of places with their scores,
//! propensities and reasons. The decision's id is in the header `Lingxi-Decision`, unless it may not have been logged.
//!
//! A category says which goods are candidates, before the policy chooses, so that propensities stay exact. With `offset` the
//! policy fills the places before as well; they are neither answered nor logged. `explore` from 0 to 1 holds the policy back;
//! at 0 it takes the best and nothing else. A shopper in an arm of an experiment gets what the arm says, and the log says so;
//! who holds the policy back in the request is no part of it. With `write-back-type` what is answered is
//! put away: it is kept as feedback of value 0, and from then on (or after `write-back-delay`) not shown to them again.

use super::app::App;
use super::error::{Answer, Refusal};
use super::feedback::change;
use super::params::{Id, Ids, Query, checked_id, checked_kind};
use super::phrased::{phrased, writer};
use super::serving::{Serving, Withdrawn};
use super::similar::Near;
use crate::live::History;
use crate::pipeline::{Ask, Made};
use crate::reasons::Part;
use crate::store::{Change, NewEvent, Shown};
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use lingxi_content::Generator;
use lingxi_data::{Catalog, Context, EventKind, ItemId, Slot};
use lingxi_decide::Moved;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Instant;

/// Longest time after which written back goods are put away, in seconds.
const MAX_DELAY: i64 = 365 * 24 * 3600;

/// One place of an explained slate.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Place {
    item_id: String,
    title: String,
    score: f32,
    propensity: f32,
    explored: bool,
    /// What for; null where the policy took the best.
    explores: Option<Explores>,
    reason: String,
    /// The same in the small model's words; null if that was not asked for, or nothing speaks for the item.
    phrase: Option<String>,
    parts: Vec<Part>,
    rules: Vec<String>,
    /// What moved it beside its score.
    moves: Vec<Moved>,
}

/// What a place explores.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Explores {
    /// How good an item is.
    Policy,
    /// Whether the shopper has an interest that they never showed.
    NewInterest,
}

/// What is asked for.
struct Asked {
    user: String,
    category: Option<String>,
    n: usize,
    offset: usize,
    form: Form,
    /// Whether reasons are phrased.
    phrase: bool,
    /// How much the policy may explore, 0 to 1.
    explore: f64,
    /// The kind under which what is shown is put away, and after how many seconds.
    write_back: Option<(EventKind, i64)>,
}

/// How it is answered.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Ids,
    Scores,
    Explained,
}

/// Chooses, logs and answers a slate. An unknown shopper gets the default slate.
pub async fn get(State(app): State<App>, Id(user): Id, headers: HeaderMap, query: Query) -> Answer<Response> {
    recommend(app, user, None, &headers, query).await
}

/// The same within a category.
pub async fn within(State(app): State<App>, ids: Ids<2>, headers: HeaderMap, query: Query) -> Answer<Response> {
    let Ids([user, category]) = ids;
    recommend(app, user, Some(category), &headers, query).await
}

async fn recommend(
    app: App,
    user: String,
    category: Option<String>,
    headers: &HeaderMap,
    query: Query,
) -> Answer<Response> {
    let query = query.only(&[
        "n",
        "offset",
        "category",
        "explain",
        "phrase",
        "explore",
        "write-back-type",
        "write-back-delay",
    ])?;
    let scores = headers.get("x-api-version").is_some_and(|version| version == "2");
    let asked = Asked {
        category: category_of(category, &query)?,
        n: query.n()?,
        offset: query.offset()?,
        form: match query.flag("explain")? {
            true => Form::Explained,
            false => {
                if scores {
                    Form::Scores
                } else {
                    Form::Ids
                }
            }
        },
        phrase: query.flag("phrase")?,
        explore: query.explore()?,
        write_back: write_back(&query)?,
        user: user.clone(),
    };
    if asked.phrase && asked.form != Form::Explained {
        return Err(Refusal::input("phrase", "explain=true beside it", "phrase alone"));
    }
    let put_away = asked.write_back;
    let (answer, shown) = app.compute(move |app, serving| slate(app, serving, &asked)).await?;
    if let Some((kind, delay)) = put_away {
        let at = app.now().saturating_add(delay);
        let event = |item| NewEvent { user: user.clone(), item, kind, value: 0.0, at, comment: None, key: None };
        change(&app, shown.into_iter().map(event).map(Change::Insert).collect()).await?;
    }
    Ok(answer)
}

/// The category in the path or behind the question mark, which is as good; one of them.
pub(super) fn category_of(path: Option<String>, query: &Query) -> Answer<Option<String>> {
    let Some(asked) = query.get("category").filter(|category| !category.is_empty()) else { return Ok(path) };
    checked_id("category", asked)?;
    match path {
        Some(path) if path != asked => {
            Err(Refusal::input("category", format!("{path:?} as in the path, or none"), asked))
        }
        _ => Ok(Some(asked.to_owned())),
    }
}

fn write_back(query: &Query) -> Answer<Option<(EventKind, i64)>> {
    let field = "write-back-delay";
    let delay = query.get(field).filter(|text| !text.is_empty()).map(|text| {
        let expected = "a time from 0s to 8760h such as 10m or 1h30m";
        let parsed = text.parse::<jiff::SignedDuration>().ok().map(|delay| delay.as_secs());
        let fits = parsed.filter(|seconds| (0..=MAX_DELAY).contains(seconds));
        fits.ok_or_else(|| Refusal::input(field, expected, text))
    });
    let delay = delay.transpose()?;
    let Some(name) = query.get("write-back-type").filter(|name| !name.is_empty()) else {
        return match delay {
            Some(_) => Err(Refusal::input("write-back-type", "a type such as view, beside the delay", "none")),
            None => Ok(None),
        };
    };
    match checked_kind("write-back-type", name)? {
        EventKind::Rate => Err(Refusal::input("write-back-type", "a type that needs no value, such as view", name)),
        kind => Ok(Some((kind, delay.unwrap_or(0)))),
    }
}

fn slate(app: &App, serving: &Serving, asked: &Asked) -> Answer<(Response, Vec<String>)> {
    let writer = writer(serving.engine(), asked.phrase && asked.form == Form::Explained, asked.n)?;
    let history = serving.history(&asked.user);
    let context = Context { user: history.user, history: history.rows(), now: app.now() };
    let id = app.store().next_decision_id();
    let (withdrawn, goods) = (serving.withdrawn(), asked.category.as_ref().map(|c| serving.of_category(c)));
    let withdrawn = not_for(&withdrawn, &history, app.now());
    let (n, within) = (asked.offset + asked.n, goods.as_deref());
    let (dealt, taught) = (app.experiments.deal_for(&asked.user, asked.explore), serving.policy());
    let policy = dealt.policy().or(taught.as_deref());
    let (seed, withdrawn, explore) = (app.seed_of(id), &withdrawn, dealt.explore(asked.explore));
    let ask = Ask { context: &context, n, id, seed, withdrawn, within, explore, policy };
    let began = Instant::now();
    let mut made = serving.engine().recommend(&ask);
    made.decision.policy.push_str(dealt.note());
    let met = dealt.met(history.rows(), began.elapsed());
    made.skip(asked.offset);
    let (catalog, decision) = (serving.engine().catalog(), &made.decision);
    let mut shown = Shown::new(decision, &asked.user, |item| external(catalog, item));
    (shown.first, shown.seen) = (asked.offset, std::mem::take(&mut made.seen));
    // Logged before it is answered. While the disk takes no writes shoppers are shown slates all the same, and the missing
    // header says that this one may be a hole in later estimates.
    let logged = app.store().record_in(shown, met)?;
    serving.engine().shown(history.user, &decision.slots);
    let ids: Vec<&str> = decision.slots.iter().map(|slot| external(catalog, slot.item)).collect();
    let answer = match asked.form {
        Form::Ids => Json(&ids).into_response(),
        Form::Scores => Json(scored(catalog, &decision.slots)).into_response(),
        Form::Explained => Json(explained(serving, writer, &context, &made)).into_response(),
    };
    let header = logged.then(|| [("lingxi-decision", id.to_string())]);
    Ok(((header, answer).into_response(), ids.into_iter().map(str::to_owned).collect()))
}

/// What this shopper is not to be shown: what the shop took away, and what was shown and put away.
pub(super) fn not_for<'a>(withdrawn: &'a Withdrawn, history: &History, now: i64) -> Cow<'a, HashSet<ItemId>> {
    let mut away = history.put_away.iter().filter(|(_, from)| *from <= now).map(|(item, _)| *item).peekable();
    let mut items = Cow::Borrowed(&withdrawn.all);
    // Nobody pays for a copy who has nothing put away.
    if away.peek().is_some() {
        items.to_mut().extend(away);
    }
    items
}

/// The places of a slate as ids with scores.
pub(super) fn scored(catalog: &Catalog, slots: &[Slot]) -> Vec<Near> {
    slots.iter().map(|slot| Near::new(catalog, slot.item, slot.score)).collect()
}

fn explained(serving: &Serving, writer: Option<&Generator>, context: &Context<'_>, made: &Made) -> Vec<Place> {
    let catalog = serving.engine().catalog();
    let place = |(at, slot): (usize, &Slot)| {
        let reason = serving.engine().reason(context, slot, &made.kept_away);
        let title = catalog.label(slot.item);
        let phrase = writer.and_then(|writer| phrased(writer, title, &reason));
        let moves = made.moved.get(at).cloned().unwrap_or_default();
        let mut rules = reason.rules;
        rules.extend(moves.iter().map(|moved| format!("{} ({:+.2})", moved.cause, moved.by)));
        let opens = made.opens.get(at).is_some_and(|opens| *opens);
        Place {
            explores: slot.explored.then_some(if opens { Explores::NewInterest } else { Explores::Policy }),
            moves,
            phrase,
            item_id: reason.item,
            title: title.to_owned(),
            score: slot.score,
            propensity: slot.propensity,
            explored: slot.explored,
            reason: reason.sentence,
            parts: reason.parts,
            rules,
        }
    };
    made.decision.slots.iter().enumerate().map(place).collect()
}

/// The shop's id of an item of the snapshot.
pub(super) fn external(catalog: &Catalog, item: ItemId) -> &str {
    catalog.ids.name(item.0).expect("the engine names items of its own catalogue")
}

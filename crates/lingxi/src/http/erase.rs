//! `DELETE /api/feedback/...` and `DELETE /api/user/{user}`: takes back what was said of a shopper. It holds from the next
//! request on and for good: events of the store are deleted, and those of the log that the snapshot was built from are
//! hidden now and left out of the next build.

use super::app::App;
use super::error::Answer;
use super::feedback::{Touched, change};
use super::params::{Id, Ids, Query, checked_kind};
use super::users;
use crate::store::{Change, Erasure};
use axum::Json;
use axum::extract::State;
use lingxi_data::EventKind;

/// Erases all that a shopper did with an item.
pub async fn between(State(app): State<App>, ids: Ids<2>, query: Query) -> Answer<Json<Touched>> {
    let Ids([user, item]) = ids;
    query.only(&[])?;
    erase(app, user, item, None).await
}

/// Erases what a shopper did of one type with an item.
pub async fn of_kind(State(app): State<App>, ids: Ids<3>, query: Query) -> Answer<Json<Touched>> {
    let Ids([kind, user, item]) = ids;
    query.only(&[])?;
    erase(app, user, item, Some(checked_kind("type", &kind)?)).await
}

/// Forgets a shopper with all that they did and were shown.
pub async fn user(State(app): State<App>, Id(user): Id, query: Query) -> Answer<Json<Touched>> {
    query.only(&[])?;
    let asked = user.clone();
    app.compute(move |app, serving| users::known(app, serving, &asked).map(drop)).await?;
    change(&app, vec![Change::Forget(user)]).await?;
    Ok(Json(Touched { row_affected: 1 }))
}

async fn erase(app: App, user: String, item: String, kind: Option<EventKind>) -> Answer<Json<Touched>> {
    let what = Erasure { user, item: Some(item), kind };
    let asked = what.clone();
    let logged = app.compute(move |_, serving| Ok(serving.would_hide(&asked))).await?;
    let stored = change(&app, vec![Change::Erase { what, logged: logged > 0 }]).await?;
    Ok(Json(Touched { row_affected: logged + stored.erased.len() }))
}

//! What is there for everybody? `/api/popular`, `/api/latest` (and `/api/non-personalized/{name}`, as newer clients of Gorse
//! ask), and the categories of the catalogue.
//!
//! Popular: how many shoppers of the log took an item. Latest: when an item came, as the shop said; where it did not say, when
//! it was first taken, if the log has times.

use super::app::App;
use super::error::{Answer, Refusal};
use super::params::{Id, Ids, Query, checked_id};
use super::recommend::{category_of, not_for};
use super::serving::Serving;
use super::similar::Near;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use lingxi_data::ItemId;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// Which list.
#[derive(Clone, Copy)]
enum List {
    Popular,
    Latest,
}

/// What most shoppers took.
pub async fn popular(State(app): State<App>, query: Query) -> Answer<Json<Vec<Near>>> {
    list(app, List::Popular, None, query).await
}

/// What most shoppers took of a category.
pub async fn popular_within(State(app): State<App>, Id(category): Id, query: Query) -> Answer<Json<Vec<Near>>> {
    list(app, List::Popular, Some(category), query).await
}

/// What came last.
pub async fn latest(State(app): State<App>, query: Query) -> Answer<Json<Vec<Near>>> {
    list(app, List::Latest, None, query).await
}

/// What came last of a category.
pub async fn latest_within(State(app): State<App>, Id(category): Id, query: Query) -> Answer<Json<Vec<Near>>> {
    list(app, List::Latest, Some(category), query).await
}

/// A list by its name.
pub async fn named(State(app): State<App>, Id(name): Id, query: Query) -> Answer<Json<Vec<Near>>> {
    by_name(app, &name, None, query).await
}

/// The part of a list that is of a category.
pub async fn named_within(State(app): State<App>, ids: Ids<2>, query: Query) -> Answer<Json<Vec<Near>>> {
    let Ids([name, category]) = ids;
    by_name(app, &name, Some(category), query).await
}

async fn by_name(app: App, name: &str, category: Option<String>, query: Query) -> Answer<Json<Vec<Near>>> {
    let which = match name {
        "popular" => List::Popular,
        "latest" => List::Latest,
        _ => {
            let message = format!("there is no list {name:?}");
            return Err(
                Refusal::new(StatusCode::NOT_FOUND, "no_such_list", message).remedy("ask for popular or latest")
            );
        }
    };
    list(app, which, category, query).await
}

async fn list(app: App, which: List, category: Option<String>, query: Query) -> Answer<Json<Vec<Near>>> {
    let query = query.only(&["n", "offset", "category", "user-id"])?;
    let (n, offset, category) = (query.n()?, query.offset()?, category_of(category, &query)?);
    let user = query.get("user-id").filter(|user| !user.is_empty());
    let user = user.map(|user| checked_id("user-id", user).map(str::to_owned)).transpose()?;
    app.compute(move |app, serving| {
        let mut without = serving.withdrawn().all.clone();
        if let Some(user) = user {
            let history = serving.history(&user);
            without.extend(not_for(&serving.withdrawn(), &history, app.now()).iter());
            without.extend(history.rows().items);
        }
        let goods: Option<HashSet<ItemId>> = category.map(|c| serving.of_category(&c).into_iter().collect());
        let catalog = serving.engine().catalog();
        let fits = |item: &ItemId| {
            let is_sold = catalog.available[item.index()] && !without.contains(item);
            is_sold && goods.as_ref().is_none_or(|goods| goods.contains(item))
        };
        let near = |(item, score): (ItemId, f32)| Near::new(catalog, item, score);
        let all = of(serving, which);
        Ok(Json(all.into_iter().filter(|(item, _)| fits(item)).skip(offset).take(n).map(near).collect()))
    })
    .await
}

fn of(serving: &Serving, which: List) -> Vec<(ItemId, f32)> {
    let known = serving.engine().known();
    match which {
        List::Popular => serving.crowd().popular(&known).iter().map(|(item, count)| (*item, *count as f32)).collect(),
        List::Latest => {
            let described = serving.described();
            let said = |item: &ItemId| described.get(item).and_then(|said| said.timestamp);
            let mut all: Vec<(ItemId, i64)> = described.keys().filter_map(|item| Some((*item, said(item)?))).collect();
            if serving.engine().front().timed {
                all.extend(serving.crowd().arrivals(&known).iter().filter(|(item, _)| said(item).is_none()));
            }
            all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(b.0.cmp(&a.0)));
            all.into_iter().map(|(item, at)| (item, at as f32)).collect()
        }
    }
}

/// A category and how many goods it holds.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Category {
    name: String,
    items: usize,
}

/// The categories of what is sold, by name.
pub async fn categories(State(app): State<App>, query: Query) -> Answer<Json<Vec<Category>>> {
    query.only(&[])?;
    app.compute(|_, serving| {
        let catalog = serving.engine().catalog();
        let (described, deleted) = (serving.described(), serving.withdrawn());
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for item in (0..catalog.len() as u32).map(ItemId).filter(|item| !deleted.deleted.contains(item)) {
            match described.get(&item) {
                Some(said) => said.categories.iter().for_each(|name| *counts.entry(name).or_default() += 1),
                None => catalog.category_name(item).into_iter().for_each(|name| *counts.entry(name).or_default() += 1),
            }
        }
        let category = |(name, items): (&str, usize)| Category { name: name.to_owned(), items };
        Ok(Json(counts.into_iter().map(category).collect()))
    })
    .await
}

//! `lingxi serve`: answer over HTTP until somebody says stop.

use crate::cli::ServeArgs;
use crate::failure::UserError;
use crate::http::{App, AppOptions, serve};
use crate::pipeline::build;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report::say;
use crate::site::Site;
use crate::snapshot::Snapshot;
use crate::store::{Store, StoreOptions};
use lingxi_data::{ItemId, Purpose, UserId};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Answers `lingxi serve`.
///
/// # Errors
/// A recipe or data that cannot be used, an address that is taken, a store that cannot be opened.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let recipe = Recipe::read(&args.recipe)?;
    let data = args.data.clone().unwrap_or_else(|| folder_of(&args.recipe));
    let site = Site::new(data, args.seed, Progress::new(false), false)?;
    let (snapshot, _) = build(&recipe, &site)?;
    let store = match &args.store {
        Some(path) => path.clone(),
        None => site.cache.join("stores").join(format!("{}.sqlite", recipe.name)),
    };
    answer(snapshot, &store, args.addr, args.seed)
}

/// Serves a snapshot until Ctrl-C, after printing the address and three lines to try.
pub(super) fn answer(snapshot: Snapshot, store: &Path, addr: SocketAddr, seed: u64) -> anyhow::Result<()> {
    let snapshot = Arc::new(snapshot);
    let (user, item, word) = examples(&snapshot);
    let store = Store::open(store, StoreOptions::default())?;
    let app = App::start(snapshot.clone(), store, 0, AppOptions { seed, ..AppOptions::default() })?;
    let listener = TcpListener::bind(addr).map_err(|why| {
        UserError::new(format!("cannot listen on {addr}"), "choose another with --port or --addr").because(why)
    })?;
    let at = listener.local_addr()?;
    if !at.ip().is_loopback() {
        tracing::warn!(
            "{at} is open to the network and asks for no key: whoever reaches it may read and change this shop"
        );
    }
    say(&format!("\nserving on http://{at} (a page and an API; Ctrl-C ends it). Try:\n"))?;
    say(&format!("  curl -s 'http://{at}/api/recommend/{user}?n=5&explain=true'"))?;
    say(&format!("  curl -s 'http://{at}/api/search?q={word}&n=5'"))?;
    say(&format!(
        "  curl -s -X POST 'http://{at}/api/feedback' -H 'content-type: application/json' \\\n    \
         -d '[{{\"FeedbackType\":\"buy\",\"UserId\":\"somebody-new\",\"ItemId\":\"{item}\"}}]' && \\\n    \
         curl -s 'http://{at}/api/recommend/somebody-new?n=5&explain=true'\n"
    ))?;
    serve(listener, app)?;
    Ok(say("stopped; everything acknowledged is stored")?)
}

/// A shopper with a past, an item of theirs, and a word of its title: what the lines to try speak of.
fn examples(snapshot: &Snapshot) -> (&str, &str, String) {
    let data = &snapshot.built.shop.data;
    let log = data.interactions.for_purpose(Purpose::Serving);
    let (user, rows) = log.users().find(|(_, rows)| rows.len() >= 5).unwrap_or((UserId(0), log.of(UserId(0))));
    let item = rows.items.last().copied().unwrap_or(ItemId(0));
    let title = data.catalog.label(item).to_lowercase();
    let word = title.split(|c: char| !c.is_ascii_alphabetic()).find(|w| w.len() > 3).unwrap_or("new").to_owned();
    (data.users.name(user.0).unwrap_or("nobody"), data.catalog.ids.name(item.0).unwrap_or("nothing"), word)
}

/// The folder that a recipe lies in: where its paths start from if nobody says otherwise.
fn folder_of(recipe: &Path) -> PathBuf {
    match recipe.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

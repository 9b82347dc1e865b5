//! `lingxi serve`: answer over HTTP until somebody says stop.

use crate::cli::ServeArgs;
use crate::failure::UserError;
use crate::http::{App, AppOptions, Gate, serve};
use crate::kept::{Kept, Opened};
use crate::keys::Keys;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report::say;
use crate::site::Site;
use crate::snapshot::Snapshot;
use crate::stages::arrivals::Arrivals;
use crate::stages::ingest;
use crate::store::{Store, StoreOptions};
use crate::workshop::{Order, Workshop};
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
    let site = Site::new(data.clone(), args.seed, Progress::new(false), false)?;
    let store = store_of(args.store.as_deref(), &recipe, &site);
    let order = Order { recipe: args.recipe.clone(), data, store };
    let opened = start_with(&recipe, &order, &site, Arrivals::read)?;
    answer(opened, order, site, args.addr, args.keys)
}

/// The snapshot that was chosen to answer, if it was built to this order; otherwise a new one, with those of the arrivals in
/// the store that `read` gives.
///
/// # Errors
/// Those of a build.
pub(super) fn start_with(
    recipe: &Recipe,
    order: &Order,
    site: &Site,
    read: impl FnOnce(&Path) -> anyhow::Result<Arrivals>,
) -> anyhow::Result<Opened> {
    let kept = Kept::of(&site.cache, &order.store);
    if let Some(opened) = kept.last_good(ingest::order(recipe, site)?, site) {
        return Ok(opened);
    }
    let opened = kept.build(recipe, &read(&order.store)?, now(), site)?;
    kept.choose(opened.card.id)?;
    kept.prune(recipe.serve.rebuild.keep);
    Ok(opened)
}

/// Serves a snapshot until Ctrl-C, after printing the address and three lines to try.
pub(super) fn answer(opened: Opened, order: Order, site: Site, addr: SocketAddr, keys: bool) -> anyhow::Result<()> {
    let Opened { card, snapshot, .. } = opened;
    let snapshot = Arc::new(snapshot);
    let (user, item, word) = examples(&snapshot);
    let gate = gate(&order.store, addr, keys)?;
    let store = Store::open(&order.store, StoreOptions::default())?;
    let options = AppOptions { seed: site.seed, ..AppOptions::default() };
    let app = App::start(snapshot.clone(), store, card.built_with, options)?;
    app.attend(Workshop::new(order, &card.recipe, site, card.id));
    let asks = gate.map(|gate| app.guard(gate)).is_some();
    let listener = TcpListener::bind(addr).map_err(|why| {
        UserError::new(format!("cannot listen on {addr}"), "choose another with --port or --addr").because(why)
    })?;
    let at = listener.local_addr()?;
    if asks {
        return serve_with_keys(listener, app);
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

/// Serves who has a key.
fn serve_with_keys(listener: TcpListener, app: App) -> anyhow::Result<()> {
    let at = listener.local_addr()?;
    say(&format!("\nserving on http://{at} (a page and an API; asks for a key; Ctrl-C ends it). Try:\n"))?;
    say(&format!("  curl -s -H \"X-API-Key: $LINGXI_KEY\" 'http://{at}/api/recommend/somebody?n=5'\n"))?;
    if !at.ip().is_loopback() {
        say("keys travel as they are: put a proxy that speaks TLS between this and the open network\n")?;
    }
    serve(listener, app)?;
    Ok(say("stopped; everything acknowledged is stored")?)
}

/// The gate of a server that listens on `addr`: none on loopback, unless it is asked for.
fn gate(store: &Path, addr: SocketAddr, keys: bool) -> anyhow::Result<Option<Gate>> {
    if addr.ip().is_loopback() && !keys {
        return Ok(None);
    }
    let file = Keys::file(store);
    if Keys::read(&file)?.list().is_empty() {
        let message = format!("{addr} asks for keys, and there are none in {}", file.display());
        let remedy = "make one: lingxi keys add NAME --scopes read,write --recipe FILE (or --store FILE)";
        return Err(UserError::new(message, remedy).into());
    }
    Gate::new(file).map(Some)
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

/// The store's file: as given, or in the cache by the shop's name.
pub(super) fn store_of(given: Option<&Path>, recipe: &Recipe, site: &Site) -> PathBuf {
    let own = || site.cache.join("stores").join(format!("{}.sqlite", recipe.name));
    given.map_or_else(own, Path::to_path_buf)
}

/// Unix seconds.
pub(super) fn now() -> i64 {
    (AppOptions::default().clock)()
}

/// The folder that a recipe lies in: where its paths start from if nobody says otherwise.
pub(super) fn folder_of(recipe: &Path) -> PathBuf {
    match recipe.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

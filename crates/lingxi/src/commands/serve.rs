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
    let door = Door::open(&order.store, args.addr, args.keys)?;
    let opened = start_with(&recipe, &order, &site, Arrivals::read)?;
    answer(opened, order, site, door)
}

/// What may refuse, asked before a build that takes minutes: the store is ours alone, and there are keys where they are
/// asked for.
pub(super) struct Door {
    addr: SocketAddr,
    store: Store,
    gate: Option<Gate>,
}

impl Door {
    pub(super) fn open(store: &Path, addr: SocketAddr, keys: bool) -> anyhow::Result<Door> {
        let gate = gate(store, addr, keys)?;
        Ok(Door { addr, store: Store::open(store, StoreOptions::default())?, gate })
    }
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
    if site.shelf.reuses()
        && let Some(opened) = kept.last_good(ingest::order(recipe, site)?, site)
    {
        return Ok(opened);
    }
    let opened = kept.build(recipe, &read(&order.store)?, now(), site)?;
    kept.choose(opened.card.id)?;
    kept.prune(recipe.serve.rebuild.keep);
    Ok(opened)
}

/// Serves a snapshot until Ctrl-C, after printing the address and lines to try.
pub(super) fn answer(opened: Opened, order: Order, site: Site, door: Door) -> anyhow::Result<()> {
    let (Opened { card, snapshot, .. }, Door { addr, store, gate }) = (opened, door);
    let examples = examples(&snapshot);
    let options = AppOptions { seed: site.seed, ..AppOptions::default() };
    // Moved: once another snapshot is put in place, nobody holds this one.
    let app = App::start(Arc::new(snapshot), store, card.built_with, options)?;
    app.attend(Workshop::new(order, &card.recipe, site, card.id));
    let asks = gate.map(|gate| app.guard(gate)).is_some();
    let listener = TcpListener::bind(addr).map_err(|why| {
        UserError::new(format!("cannot listen on {addr}"), "choose another with --port or --addr").because(why)
    })?;
    let at = listener.local_addr()?;
    if asks {
        invite_with_key(at)?
    } else {
        invite(at, &examples)?
    }
    serve(listener, app)?;
    Ok(say("stopped; everything acknowledged is stored")?)
}

fn invite(at: SocketAddr, [user, item, word]: &[String; 3]) -> std::io::Result<()> {
    say(&format!("\nserving on http://{at} (a page and an API; Ctrl-C ends it). Try:\n"))?;
    say(&format!("  curl -s 'http://{at}/api/recommend/{user}?n=5&explain=true'"))?;
    say(&format!("  curl -s 'http://{at}/api/search?q={word}&n=5'"))?;
    say(&format!(
        "  curl -s -X POST 'http://{at}/api/feedback' -H 'content-type: application/json' \\\n    \
         -d '[{{\"FeedbackType\":\"buy\",\"UserId\":\"somebody-new\",\"ItemId\":\"{item}\"}}]' && \\\n    \
         curl -s 'http://{at}/api/recommend/somebody-new?n=5&explain=true'\n"
    ))
}

fn invite_with_key(at: SocketAddr) -> std::io::Result<()> {
    say(&format!("\nserving on http://{at} (a page and an API; asks for a key; Ctrl-C ends it). Try:\n"))?;
    say(&format!("  curl -s -H \"X-API-Key: $LINGXI_KEY\" 'http://{at}/api/recommend/somebody?n=5'\n"))?;
    if !at.ip().is_loopback() {
        say("keys travel as they are: put a proxy that speaks TLS between this and the open network\n")?;
    }
    Ok(())
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
fn examples(snapshot: &Snapshot) -> [String; 3] {
    let data = &snapshot.built.shop.data;
    let log = data.interactions.for_purpose(Purpose::Serving);
    let (user, rows) = log.users().find(|(_, rows)| rows.len() >= 5).unwrap_or((UserId(0), log.of(UserId(0))));
    let item = rows.items.last().copied().unwrap_or(ItemId(0));
    let title = data.catalog.label(item).to_lowercase();
    let word = title.split(|c: char| !c.is_ascii_alphabetic()).find(|w| w.len() > 3).unwrap_or("new").to_owned();
    let (user, item) =
        (data.users.name(user.0).unwrap_or("nobody"), data.catalog.ids.name(item.0).unwrap_or("nothing"));
    [user.to_owned(), item.to_owned(), word]
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

//! `lingxi demo`: the whole way once, on demo data.

use super::serve::{Door, answer, start_with};
use crate::cli::{DemoArgs, DemoData};
use crate::figures;
use crate::kept::Kept;
use crate::pipeline::build;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report::say;
use crate::site::Site;
use crate::snapshot::Snapshot;
use crate::stages::arrivals::Arrivals;
use crate::stages::measure::Measured;
use crate::workshop::Order;
use lingxi_data::artefact::write_atomically;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

/// Answers `lingxi demo`.
///
/// # Errors
/// Assets that cannot be fetched, and whatever the stages say.
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let progress = Progress::new(args.json);
    let name = match args.data {
        DemoData::CompleteJourney => "completejourney",
        DemoData::MovieLens100k => "ml-100k",
    };
    let recipe = match &args.recipe {
        Some(path) => Recipe::read(path)?,
        None => Recipe::built_in(name)?,
    };
    let data = crate::assets::ensure(name, &progress)?;
    let site = Site::new(data, args.seed, progress, args.fresh)?;
    if !args.json {
        say(&recipe.about)?;
    }
    if args.no_serve {
        let (snapshot, measured) = build(&recipe, &Arrivals::default(), &site)?;
        return show(args, name, &recipe, &snapshot, measured.took(started.elapsed()));
    }
    let store = site.cache.join("stores").join(format!("demo-{name}.sqlite"));
    let order = Order { recipe: written(&recipe, &Kept::of(&site.cache, &store))?, data: site.data.clone(), store };
    let door = Door::open(&order.store, SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)), false)?;
    // What shoppers of the demo did before is replayed, not learned, until somebody asks for a build.
    let opened = start_with(&recipe, &order, &site, |_| Ok(Arrivals::default()))?;
    show(args, name, &recipe, &opened.snapshot, opened.measured.clone().took(started.elapsed()))?;
    answer(opened, order, site, door)
}

/// Prints the figures of a snapshot.
fn show(args: &DemoArgs, name: &str, recipe: &Recipe, snapshot: &Snapshot, measured: Measured) -> anyhow::Result<()> {
    let quality = &snapshot.built.indexes.quality;
    if args.json {
        let mut line = figures::line("demo", name, &measured);
        line.others.extend(figures::index_rows(quality));
        return line.print();
    }
    let report = &snapshot.built.shop.data.report;
    let tables = figures::table(recipe, &measured) + &figures::index_lines(quality);
    say(&format!("\n{report}\n{tables}"))?;
    Ok(say(&format!("ready after {}", crate::report::duration(measured.result.seconds)))?)
}

/// The recipe as a file beside the kept snapshots: who builds the next one reads it there.
fn written(recipe: &Recipe, kept: &Kept) -> anyhow::Result<PathBuf> {
    let path = kept.root().join("recipe.toml");
    write_atomically(&path, toml::to_string(recipe)?.as_bytes())?;
    Ok(path)
}

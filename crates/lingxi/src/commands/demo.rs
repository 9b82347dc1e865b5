//! `lingxi demo`: the whole way once, on demo data.

use super::serve::answer;
use crate::cli::{DemoArgs, DemoData};
use crate::figures;
use crate::pipeline::build;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report::say;
use crate::site::Site;
use std::net::{Ipv4Addr, SocketAddr};
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
    let (snapshot, measured) = build(&recipe, &site)?;
    let quality = &snapshot.built.indexes.quality;
    let measured = measured.took(started.elapsed());
    if args.json {
        let mut line = figures::line("demo", name, &measured);
        line.others.extend(figures::index_rows(quality));
        line.print()?;
    } else {
        let report = &snapshot.built.shop.data.report;
        let tables = figures::table(&recipe, &measured) + &figures::index_lines(quality);
        say(&format!("\n{report}\n{tables}"))?;
        say(&format!("ready after {}", crate::report::duration(started.elapsed().as_secs_f64())))?;
    }
    if args.no_serve {
        return Ok(());
    }
    let store = site.cache.join("stores").join(format!("demo-{name}.sqlite"));
    answer(snapshot, &store, SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)), args.seed)
}

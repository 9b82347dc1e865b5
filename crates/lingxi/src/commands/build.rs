//! `lingxi build`: learn from everything there is, and keep the snapshot for the next start, or for the server that asked.

use super::serve::{folder_of, now, store_of};
use crate::cli::BuildArgs;
use crate::figures;
use crate::kept::Kept;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report::{ResultLine, say};
use crate::site::Site;
use crate::stages::arrivals::Arrivals;
use crate::workshop::Finished;
use serde_json::json;
use std::io::Read;

/// Answers `lingxi build`.
///
/// # Errors
/// A recipe or data that cannot be used, a store that cannot be read.
pub fn run(args: &BuildArgs) -> anyhow::Result<()> {
    if args.beats {
        end_with_whoever_asked();
    }
    let recipe = Recipe::read(&args.recipe)?;
    let data = args.data.clone().unwrap_or_else(|| folder_of(&args.recipe));
    let progress = if args.beats { Progress::beats() } else { Progress::new(args.json) };
    let site = Site::new(data, args.seed, progress, false)?;
    let store = store_of(args.store.as_deref(), &recipe, &site);
    let kept = Kept::of(&site.cache, &store);
    let opened = kept.build(&recipe, &Arrivals::read(&store)?, now(), &site)?;
    let id = opened.card.id;
    if args.beats {
        return Ok(say(&serde_json::to_string(&Finished { id })?)?);
    }
    // Nobody serves it yet: the next start does.
    kept.choose(id)?;
    kept.prune(recipe.serve.rebuild.keep);
    if args.json {
        let result = json!({ "id": id, "fingerprint": opened.card.fingerprint, "events": opened.card.events,
            "items": opened.card.items, "metrics": opened.measured.result.metrics });
        return ResultLine::new("build", Some(&recipe.name), result).print();
    }
    say(&figures::table(&recipe, &opened.measured))?;
    Ok(say(&format!("snapshot {id} is kept; lingxi serve with the same recipe and store starts with it"))?)
}

/// The server holds the other end of stdin: when it is gone, a snapshot would come too late.
fn end_with_whoever_asked() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0; 1]);
        std::process::exit(1);
    });
}

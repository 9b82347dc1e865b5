//! `lingxi reproduce`: a published protocol, our rows under the published ones.

use super::evaluate::measure_and_print;
use crate::cli::ReproduceArgs;
use crate::recipe::Recipe;

/// Answers `lingxi reproduce`.
///
/// # Errors
/// An unknown name, or data that is not where it should be.
pub fn run(args: &ReproduceArgs) -> anyhow::Result<()> {
    let recipe = match &args.recipe {
        Some(path) => Recipe { name: args.name.clone(), ..Recipe::read(path)? },
        None => Recipe::built_in(&args.name)?,
    };
    // Both `--data DIR/beauty` and the folder above it are what people type.
    let below = args.data.join(&args.name);
    let data = if below.is_dir() { below } else { args.data.clone() };
    measure_and_print("reproduce", &recipe, data, args.seed, args.json)
}

//! `lingxi keys`: who may ask a server that is open to the network.

use super::serve::{now, store_of};
use crate::cli::{KeysAction, KeysArgs};
use crate::failure::UserError;
use crate::keys::{Key, Keys};
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report::{ResultLine, say, table};
use crate::site::Site;
use serde_json::json;
use std::path::PathBuf;

/// Answers `lingxi keys`.
///
/// # Errors
/// A name that is taken or unknown, a file that cannot be read or written.
pub fn run(args: &KeysArgs) -> anyhow::Result<()> {
    let file = Keys::file(&store(args)?);
    let mut keys = Keys::read(&file)?;
    match &args.action {
        KeysAction::List => list(&keys, args.json),
        KeysAction::Add { name, scopes, rate } => {
            // The one number of the house that no seed may give.
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|why| anyhow::anyhow!("the system gives no random numbers: {why}"))?;
            let key = keys.add(name, scopes, *rate, secret, now())?;
            keys.write(&file)?;
            if args.json {
                return ResultLine::new("keys", Some("add"), json!({ "name": name, "key": key })).print();
            }
            say(&key)?;
            eprintln!(
                "This is the only time that it is shown. It is sent as X-API-Key, or kept in LINGXI_KEY for lingxi itself."
            );
            Ok(())
        }
        KeysAction::Remove { name } => {
            keys.remove(name)?;
            keys.write(&file)?;
            list(&keys, args.json)
        }
    }
}

fn list(keys: &Keys, json: bool) -> anyhow::Result<()> {
    let scopes = |key: &Key| key.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>();
    if json {
        let row = |key: &Key| json!({ "name": key.name, "scopes": scopes(key), "rate": key.rate, "made": key.made });
        return ResultLine::new("keys", Some("list"), keys.list().iter().map(row).collect::<Vec<_>>()).print();
    }
    let rate = |key: &Key| key.rate.map_or_else(|| "any".to_owned(), |rate| format!("{rate} a second"));
    let rows: Vec<Vec<String>> =
        keys.list().iter().map(|key| vec![key.name.clone(), scopes(key).join(", "), rate(key)]).collect();
    Ok(say(&table(&["key of", "opens", "requests"], &rows, &[]))?)
}

fn store(args: &KeysArgs) -> anyhow::Result<PathBuf> {
    match (&args.store, &args.recipe) {
        (Some(store), _) => Ok(store.clone()),
        (None, Some(recipe)) => {
            let site = Site::new(PathBuf::new(), 0, Progress::silent(), false)?;
            Ok(store_of(None, &Recipe::read(recipe)?, &site))
        }
        (None, None) => {
            let message = "whose keys? neither --recipe nor --store is given";
            Err(UserError::new(message, "add --recipe FILE, the recipe that lingxi serve is started with").into())
        }
    }
}

//! From a shop's files to columns with dense ids, with `lingxi-data` alone:
//! `cargo run -p lingxi-data --example ingest -- source.toml data_dir`

use lingxi_data::{Purpose, ingest};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().collect();
    let [_, description, base] = args.as_slice() else {
        return Err("usage: ingest SOURCE.toml DATA_DIR".into());
    };
    let text = std::fs::read_to_string(description)?;
    let source = ingest::Source::from_toml(&text, Path::new(description))?;
    let data = ingest::read(&source, Path::new(base), &mut |p| {
        eprintln!("{}: {} rows, {:.0} %", p.path.display(), p.rows, p.done * 100.0);
    })?;
    println!("{}", data.report);
    let events = data.interactions.for_purpose(Purpose::Training);
    println!("{} events of {} shoppers on {} items", events.len(), data.users.len(), data.catalog.len());
    for (user, rows) in events.users().take(3) {
        let last = rows.last(1).iter(user).next().map(|e| data.catalog.label(e.item));
        println!("{}: {} events, last {last:?}", data.users.name(user.0).unwrap_or_default(), rows.len());
    }
    Ok(())
}

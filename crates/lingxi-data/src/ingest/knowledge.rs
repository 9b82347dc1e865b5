//! Triples `head, relation, tail` with names interned; a name may be an item's id, that is for the reader to look up.

use super::clean::Clean;
use super::guess::{self, Chooser};
use super::ids::Ids;
use super::report::Role;
use super::scan::{Run, Taken};
use super::source::KnowledgeFile;
use super::table::Cell;
use crate::{Interner, Result};

/// Triples as the files have them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Knowledge {
    /// Names of heads and tails.
    pub entities: Interner,
    /// Names of relations.
    pub relations: Interner,
    /// Head, relation, tail: indices into `entities`, `relations`, `entities`.
    pub triples: Vec<[u32; 3]>,
}

/// Reads all files of triples.
///
/// # Errors
/// Those of [`Run::open`] and [`Run::scan`], and a column that is missing.
pub(crate) fn read(files: &[KnowledgeFile], run: &mut Run<'_>) -> Result<Knowledge> {
    let (mut entities, mut relations, mut triples) = (Ids::default(), Ids::default(), Vec::new());
    for file in files {
        let opened = run.open(&file.path, file.format, &file.options)?;
        let mut chooser = Chooser::new(&opened.path, &opened.names);
        let head = chooser.require("head", None, guess::HEAD)?;
        let relation = chooser.require("relation", None, guess::RELATION)?;
        let tail = chooser.require("tail", None, guess::TAIL)?;
        let (choice, clean) = (chooser.done(), run.clean);
        run.scan(Role::Knowledge, opened, choice, &mut |cells, _| {
            let row = [&cells[head], &cells[relation], &cells[tail]];
            triples.push(take(row, &mut entities, &mut relations, clean)?);
            Ok(())
        })?;
    }
    Ok(Knowledge { entities: entities.names, relations: relations.names, triples })
}

fn take(
    [head, relation, tail]: [&Cell<'_>; 3],
    entities: &mut Ids,
    relations: &mut Ids,
    clean: &Clean,
) -> Taken<[u32; 3]> {
    super::ids::check(tail, "tail", clean)?;
    super::ids::check(relation, "relation", clean)?;
    let head = entities.take(head, "head", clean)?;
    Ok([head, relations.take(relation, "relation", clean)?, entities.take(tail, "tail", clean)?])
}

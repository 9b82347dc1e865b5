//! Triples `head, relation, tail` with names interned; a name may be an item's id, that is for the reader to look up.

use super::clean::Clean;
use super::events::{Ids, Refused, broken_rule, check_id};
use super::guess::{self, Chooser};
use super::report::{FileReport, Report, Role};
use super::source::KnowledgeFile;
use super::table::{Row, Table};
use super::{Progress, progress_every};
use crate::{Interner, Result};
use std::path::Path;

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

/// Reads one file of triples.
pub(crate) fn read(
    file: &KnowledgeFile,
    base: &Path,
    (entities, relations, triples): (&mut Ids, &mut Ids, &mut Vec<[u32; 3]>),
    clean: &Clean,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<()> {
    let path = base.join(&file.path);
    let (table, format) = Table::open(&path, file.format, &file.options)?;
    let names = table.names().to_vec();
    let mut chooser = Chooser::new(&path, &names);
    let mut slots = [0; 3];
    for (slot, (field, guesses)) in slots.iter_mut().zip(["head", "relation", "tail"].into_iter().zip(guess::TRIPLE)) {
        *slot = chooser.require(field, None, guesses)?;
    }
    let (wanted, columns) = (chooser.wanted, chooser.chosen);
    let index = report.files.len();
    report.files.push(FileReport { path: file.path.clone(), role: Role::Knowledge, format, columns, read: 0, kept: 0 });
    let mut misread = 0;
    table.rows(&wanted, &mut |row: Row<'_>| {
        let line = row.line;
        progress_every(line, || Progress { path: &file.path, rows: line, done: row.done }, progress);
        report.files[index].read += 1;
        report.files[index].kept += 1;
        match take(row, slots, entities, relations, clean) {
            Ok(triple) => triples.push(triple),
            Err(refused) if !clean.runs(refused.rule) => return Err(broken_rule(&path, line, &refused)),
            Err(refused) => {
                misread += u64::from(refused.rule.is_misread());
                report.drop(refused.rule, index, line, || refused.what);
            }
        }
        Ok(())
    })?;
    report.refuse_misread(index, misread, clean)
}

fn take(
    row: Row<'_>,
    slots: [usize; 3],
    entities: &mut Ids,
    relations: &mut Ids,
    clean: &Clean,
) -> std::result::Result<[u32; 3], Refused> {
    let cells = row.cells.map_err(|u| Refused { rule: u.rule, field: "row", what: u.why })?;
    let mut triple = [0; 3];
    for ((out, slot), field) in triple.iter_mut().zip(slots).zip(["head", "relation", "tail"]) {
        check_id(&cells[slot], field, clean)?;
        let ids = if field == "relation" { &mut *relations } else { &mut *entities };
        let full = || Refused { rule: super::Rule::HugeId, field, what: "more than 2^32 - 1 names".into() };
        *out = ids.of(&cells[slot], true).ok_or_else(full)?;
    }
    Ok(triple)
}

//! A file of shoppers -> columns of attributes beside the shoppers of the logs, for slices of the evaluation.

use super::clean::{Clean, Rule};
use super::events::{Ids, Refused, broken_rule, check_id};
use super::guess::{self, Chooser};
use super::report::{FileReport, Report, Role};
use super::source::UserFile;
use super::table::{Row, Table};
use super::{Progress, progress_every};
use crate::catalog::Attribute;
use crate::{Result, text};
use std::path::Path;

/// Reads the attributes; shoppers without events join `users` as shoppers never seen.
///
/// # Errors
/// [`crate::InputError`] if the file cannot be used, or a row breaks a rule that is switched off.
pub(crate) fn read(
    file: &UserFile,
    base: &Path,
    users: &mut Ids,
    clean: &Clean,
    report: &mut Report,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<Attribute>> {
    let path = base.join(&file.path);
    let (table, format) = Table::open(&path, file.format, &file.options)?;
    let names = table.names().to_vec();
    let mut chooser = Chooser::new(&path, &names);
    let movielens = (format == super::Format::Movielens).then_some("c1");
    let id = chooser.require("id", file.id.as_deref().or(movielens), guess::USER)?;
    let kept = if file.attributes.is_empty() { chooser.rest() } else { file.attributes.clone() };
    let slots = chooser.choose_all("attribute", &kept)?;
    let (wanted, columns) = (chooser.wanted, chooser.chosen);
    let index = report.files.len();
    report.files.push(FileReport { path: file.path.clone(), role: Role::Users, format, columns, read: 0, kept: 0 });
    let mut attributes: Vec<Attribute> =
        kept.into_iter().map(|name| Attribute { name, values: vec![String::new(); users.names.len()] }).collect();
    let mut seen = vec![false; users.names.len()];
    let mut misread = 0;
    table.rows(&wanted, &mut |row: Row<'_>| {
        let line = row.line;
        progress_every(line, || Progress { path: &file.path, rows: line, done: row.done }, progress);
        report.files[index].read += 1;
        report.files[index].kept += 1;
        let Err(refused) = take(row, id, &slots, users, &mut seen, &mut attributes, clean) else { return Ok(()) };
        if !clean.runs(refused.rule) {
            return Err(broken_rule(&path, line, &refused));
        }
        misread += u64::from(refused.rule.is_misread());
        report.drop(refused.rule, index, line, || refused.what);
        Ok(())
    })?;
    report.refuse_misread(index, misread, clean)?;
    Ok(attributes)
}

fn take(
    row: Row<'_>,
    id: usize,
    slots: &[usize],
    users: &mut Ids,
    seen: &mut Vec<bool>,
    attributes: &mut [Attribute],
    clean: &Clean,
) -> std::result::Result<(), Refused> {
    let cells = row.cells.map_err(|u| Refused { rule: u.rule, field: "row", what: u.why })?;
    check_id(&cells[id], "user", clean)?;
    let mut values = Vec::with_capacity(slots.len());
    for &slot in slots {
        match cells[slot].text() {
            Ok(words) => values.push(text::normalise(&words.unwrap_or_default())),
            Err(lossy) if clean.runs(Rule::InvalidUtf8) => {
                return Err(Refused { rule: Rule::InvalidUtf8, field: "attribute", what: lossy });
            }
            Err(lossy) => values.push(text::normalise(&lossy)),
        }
    }
    let too_many = || Refused { rule: Rule::HugeId, field: "user", what: "more than 2^32 - 1 users".into() };
    let user = users.of(&cells[id], true).ok_or_else(too_many)? as usize;
    if user >= seen.len() {
        seen.resize(user + 1, false);
        attributes.iter_mut().for_each(|a| a.values.resize(user + 1, String::new()));
    }
    if seen[user] {
        let what = format!("user {}", cells[id].show());
        return Err(Refused { rule: Rule::DuplicateId, field: "user", what });
    }
    seen[user] = true;
    for (attribute, value) in attributes.iter_mut().zip(values) {
        attribute.values[user] = value;
    }
    Ok(())
}

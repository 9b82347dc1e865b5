//! A file of shoppers -> columns of attributes beside the shoppers of the logs, for slices of the evaluation.

use super::clean::{Clean, Rule};
use super::guess::{self, Chooser};
use super::ids::Ids;
use super::report::Role;
use super::scan::{Refused, Run, Taken};
use super::source::{Format, UserFile};
use super::table::Cell;
use crate::catalog::Attribute;
use crate::{Result, text};

/// Reads the attributes; shoppers without events join `users` as shoppers never seen.
///
/// # Errors
/// Those of [`Run::open`] and [`Run::scan`], and a column that is missing.
pub(crate) fn read(file: &UserFile, users: &mut Ids, run: &mut Run<'_>) -> Result<Vec<Attribute>> {
    let opened = run.open(&file.path, file.format, &file.options)?;
    let mut chooser = Chooser::new(&opened.path, &opened.names);
    let fixed = (opened.format == Format::Movielens).then_some("c1");
    let id = chooser.require("id", file.id.as_deref().or(fixed), &[guess::USER, " id"].concat())?;
    let kept = if file.attributes.is_empty() { chooser.all_but(id) } else { file.attributes.clone() };
    let slots = chooser.choose_all("attribute", &kept)?;
    let n = users.names.len();
    let columns = kept.into_iter().map(|name| Attribute { name, values: vec![String::new(); n] }).collect();
    let mut reader = UserReader { clean: run.clean, users, seen: vec![false; n], columns };
    let choice = chooser.done();
    run.scan(Role::Users, opened, choice, &mut |cells, _| reader.take(&cells[id], &slots, cells))?;
    Ok(reader.columns)
}

struct UserReader<'a> {
    clean: &'a Clean,
    users: &'a mut Ids,
    seen: Vec<bool>,
    columns: Vec<Attribute>,
}

impl UserReader<'_> {
    fn take(&mut self, id: &Cell<'_>, slots: &[usize], cells: &[Cell<'_>]) -> Taken {
        let values: Taken<Vec<String>> = slots.iter().map(|&slot| words(&cells[slot], self.clean)).collect();
        let values = values?;
        let user = self.users.take(id, "user", self.clean)? as usize;
        if user >= self.seen.len() {
            self.seen.resize(user + 1, false);
            self.columns.iter_mut().for_each(|c| c.values.resize(user + 1, String::new()));
        }
        if std::mem::replace(&mut self.seen[user], true) {
            return Err(Refused::new(Rule::DuplicateId, "user", format!("user {} again", id.show())));
        }
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.values[user] = value;
        }
        Ok(())
    }
}

/// A cell as normalised text, empty where it is missing.
pub(crate) fn words(cell: &Cell<'_>, clean: &Clean) -> Taken<String> {
    match cell.text() {
        Ok(words) => Ok(text::normalise(&words.unwrap_or_default())),
        Err(lossy) if clean.runs(Rule::InvalidUtf8) => {
            Err(Refused::new(Rule::InvalidUtf8, "text", format!("text {lossy:?}")))
        }
        Err(lossy) => Ok(text::normalise(&lossy)),
    }
}

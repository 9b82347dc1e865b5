//! What if the division is published with the data? Given parts become a [`Split`].

use super::Split;
use super::draft::{Draft, like, refuse};
use crate::{Interactions, Purpose, Result, UserId};

/// Takes training, validation (if there is one) and test events as they were published. One case per shopper and part,
/// asked at the time of the part's last event; validation knows the training events, test knows both. No order of time
/// between parts is assumed: some publishers drew them by chance.
///
/// # Errors
/// [`crate::DataError::Shape`] if the parts differ in their numbers of shoppers or items.
pub fn from_parts(train: &Interactions, valid: Option<&Interactions>, test: &Interactions) -> Result<Split> {
    let shape = |part: &Interactions| (part.n_users(), part.n_items());
    for part in valid.into_iter().chain([test]) {
        if shape(part) != shape(train) {
            let say = |(users, items)| format!("{users} shoppers and {items} items");
            let remedy = format!("{} as in training; build the ids of all parts with one Interner", say(shape(train)));
            return Err(refuse("split from parts", remedy, say(shape(part))));
        }
    }
    let none = like(train, Vec::new())?;
    let valid = valid.unwrap_or(&none);
    let mut draft = Draft::of(train);
    for (user, known, agreed) in draft.shoppers() {
        draft.train.extend(known.iter(user));
        let (v, t) = (valid.rows(user), test.rows(user));
        if !agreed || !may_be_asked(valid, user) || !may_be_asked(test, user) {
            draft.unused += v.len() + t.len();
            continue;
        }
        let last = |rows: &[&[i64]]| rows.iter().filter_map(|at| at.last()).max().copied();
        if let Some(at) = last(&[known.at, v.at]).filter(|_| !v.is_empty()) {
            draft.valid.ask(user, at, known.iter(user), v.iter(user), false);
        }
        if let Some(at) = last(&[known.at, v.at, t.at]).filter(|_| !t.is_empty()) {
            draft.test.ask(user, at, known.iter(user).chain(v.iter(user)), t.iter(user), false);
        }
    }
    draft.finish()
}

fn may_be_asked(part: &Interactions, user: UserId) -> bool {
    part.consent().get(user.index()).is_none_or(|c| c & Purpose::Evaluation as u8 != 0)
}

//! An item as a shop sends it, Gorse's fields and ours: read, checked and made a [`NewItem`].

use super::error::{Answer, Refusal};
use super::params::checked_id;
use super::timestamp;
use super::users::{MAX_COMMENT, checked_labels};
use crate::fresh;
use crate::store::{Good, NewItem, Withdrawal};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest description of an item, in bytes.
pub const MAX_TEXT: usize = 16 * 1024;

/// Most categories of an item.
pub const MAX_CATEGORIES: usize = 32;

/// An item as it comes; null is as good as absent.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Sent {
    item_id: String,
    is_hidden: Option<bool>,
    categories: Option<Vec<String>>,
    timestamp: Option<Value>,
    labels: Option<Value>,
    comment: Option<String>,
    title: Option<String>,
    text: Option<String>,
    price: Option<f64>,
}

/// What may be changed of an item.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Amended {
    pub is_hidden: Option<bool>,
    categories: Option<Vec<String>>,
    timestamp: Option<Value>,
    labels: Option<Value>,
    comment: Option<String>,
    title: Option<String>,
    text: Option<String>,
    price: Option<f64>,
}

impl Sent {
    /// The item; `at` is its place in the batch, and it came `now` unless it says when (without `now`: nobody knows when).
    /// Without categories it keeps those that it has.
    pub fn good(self, at: usize, now: Option<i64>, categories: &dyn Fn(&str) -> Vec<String>) -> Answer<Good> {
        let path = format!("[{at}].");
        checked_id(&format!("{path}ItemId"), &self.item_id)?;
        let comment = self.comment.unwrap_or_default();
        let sent_labels = checked_labels(&format!("{path}Labels"), self.labels)?;
        let body = NewItem {
            title: self.title.unwrap_or_else(|| comment.clone()),
            text: self.text,
            categories: self.categories.unwrap_or_else(|| categories(&self.item_id)),
            price: price(&format!("{path}Price"), self.price)?,
            labels: flat(&sent_labels),
            sent_labels,
            comment,
            timestamp: time(&format!("{path}Timestamp"), self.timestamp)?.or(now),
            id: self.item_id.clone(),
        };
        let what = if self.is_hidden == Some(true) { Withdrawal::Hidden } else { Withdrawal::Shown };
        Ok(Good { item: self.item_id, what, body: Some(checked(&path, body)?) })
    }
}

impl Amended {
    /// Whether more than `IsHidden` changes.
    pub fn describes(&self) -> bool {
        let Amended { is_hidden: _, categories, timestamp, labels, comment, title, text, price } = self;
        let others = [timestamp.is_some(), labels.is_some(), comment.is_some(), title.is_some(), text.is_some()];
        categories.is_some() || price.is_some() || others.contains(&true)
    }

    /// The item with the changes.
    pub fn apply(self, mut item: NewItem) -> Answer<NewItem> {
        item.categories = self.categories.unwrap_or(item.categories);
        item.timestamp = time("Timestamp", self.timestamp)?.or(item.timestamp);
        if self.labels.is_some() {
            item.sent_labels = checked_labels("Labels", self.labels)?;
            item.labels = flat(&item.sent_labels);
        }
        if let Some(comment) = self.comment {
            // Where the name stands in the comment, as with Gorse, it changes with it.
            if item.title == item.comment {
                item.title.clone_from(&comment);
            }
            item.comment = comment;
        }
        item.title = self.title.unwrap_or(item.title);
        item.text = self.text.or(item.text);
        item.price = price("Price", self.price)?.or(item.price);
        checked("", item)
    }
}

/// Checks an item; `path` is where in the body it stands.
pub fn checked(path: &str, item: NewItem) -> Answer<NewItem> {
    let path = |field: &str| format!("{path}{field}");
    if item.categories.len() > MAX_CATEGORIES {
        return Err(Refusal::input(path("Categories"), format!("at most {MAX_CATEGORIES}"), item.categories.len()));
    }
    for category in &item.categories {
        checked_id(&path("Categories"), category)?;
    }
    if item.comment.len().max(item.title.len()) > MAX_COMMENT {
        let got = format!("{} bytes", item.comment.len().max(item.title.len()));
        return Err(Refusal::input(path("Comment"), format!("at most {MAX_COMMENT} bytes in comment and title"), got));
    }
    // As it came: white space that is dropped later counts.
    let sent = item.text.as_deref().map_or(0, str::len);
    if sent > MAX_TEXT {
        return Err(Refusal::input(path("Text"), format!("at most {MAX_TEXT} bytes"), format!("{sent} bytes")));
    }
    let said = fresh::text_of(&item);
    if said.is_empty() || said.len() > MAX_TEXT {
        let got = if said.is_empty() { "none".to_owned() } else { format!("{} bytes", said.len()) };
        return Err(Refusal::input(path("Comment"), format!("a description of 1 to {MAX_TEXT} bytes"), got)
            .remedy("say what the item is in Comment, Title or Text"));
    }
    Ok(item)
}

fn price(field: &str, sent: Option<f64>) -> Answer<Option<f32>> {
    match sent {
        Some(price) if !(0.0..=1e9).contains(&price) => Err(Refusal::input(field, "a price from 0 to 1e9", price)),
        other => Ok(other.map(|price| price as f32)),
    }
}

fn time(field: &str, sent: Option<Value>) -> Answer<Option<i64>> {
    let Some(value) = sent.filter(|value| !timestamp::is_absent(value)) else { return Ok(None) };
    let at = timestamp::parse(&value).ok_or_else(|| Refusal::input(field, timestamp::EXPECTED, &value))?;
    Ok(Some(at))
}

/// Labels as name and text: those of a list stand for themselves, and what is nested says nothing.
fn flat(labels: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    match labels {
        Value::Object(fields) => fields.iter().filter_map(|(name, v)| Some((name.clone(), text(v)?))).collect(),
        Value::Array(values) => values.iter().filter_map(|v| Some((text(v)?, text(v)?))).collect(),
        _ => BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_of_every_shape_say_what_they_can() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            flat(&json!({"size": 7, "colour": "red", "deep": {"a": 1}})),
            BTreeMap::from([pair("size", "7"), pair("colour", "red")])
        );
        assert_eq!(flat(&json!(["red", "round"])), BTreeMap::from([pair("red", "red"), pair("round", "round")]));
        assert!(flat(&Value::Null).is_empty() && flat(&json!("red")).is_empty());
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let item = NewItem {
            id: "x".into(),
            title: "Tea".into(),
            comment: "Tea".into(),
            price: Some(2.0),
            ..NewItem::default()
        };
        let change = |json: Value| serde_json::from_value::<Amended>(json).unwrap();
        let tea = change(json!({"Comment": "Green tea", "Labels": null, "Timestamp": "2024-02-29"}))
            .apply(item.clone())
            .unwrap();
        assert_eq!((tea.title.as_str(), tea.comment.as_str(), tea.price), ("Green tea", "Green tea", Some(2.0)));
        assert_eq!(tea.timestamp, Some(1_709_164_800));
        let named = change(json!({"Title": "Sencha"})).apply(tea).unwrap();
        assert_eq!((named.title.as_str(), named.comment.as_str()), ("Sencha", "Green tea"));
        for wrong in [
            json!({"Price": -1}),
            json!({"Timestamp": "soon"}),
            json!({"Categories": [""]}),
            json!({"Text": format!("tea{}", " ".repeat(MAX_TEXT))}),
            json!({"Title": "x".repeat(5000)}),
            json!({"Text": format!("tea{}", " ".repeat(MAX_TEXT))}),
        ] {
            assert!(change(wrong.clone()).apply(item.clone()).is_err(), "{wrong}");
        }
        assert!(!change(json!({"IsHidden": true, "Comment": null})).describes());
    }
}

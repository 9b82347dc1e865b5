//! What does each part give? A recipe and a part come in; the same recipe without that part goes out.
//!
//! ```toml
//! [[ablation]]
//! name = "ids only"
//! set = { "content.encoder" = "" }
//! without = ["alignment"]
//! ```
//!
//! Whoever takes a part away should give the rest a fair chance: several `models.item` in `set` let validation choose again.

use super::Recipe;
use crate::failure::UserError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One part that can be taken away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ablation {
    /// As printed: what is left.
    pub name: String,
    /// Dotted keys of the recipe with the value that each gets instead; places in a list are numbers from 0.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
    /// Models that are left out, as the tables below `models` are called.
    #[serde(default)]
    pub without: Vec<String>,
}

impl Ablation {
    /// `recipe` with this part changed.
    ///
    /// # Errors
    /// A key that leads nowhere, a model that does not exist, or a recipe that would not be one.
    pub fn of(&self, recipe: &Recipe) -> anyhow::Result<Recipe> {
        self.varied(recipe).map_err(|why| {
            let message = format!("recipe {}: ablation {:?}: {why}", recipe.name, self.name);
            UserError::new(message, "name keys of this recipe, and models as their tables are called").into()
        })
    }

    fn varied(&self, recipe: &Recipe) -> Result<Recipe, String> {
        let mut all = serde_json::to_value(recipe).map_err(|why| why.to_string())?;
        for model in &self.without {
            let place = all["models"].get_mut(model).ok_or_else(|| format!("expected a model, got {model:?}"))?;
            *place = if place.is_array() { Value::Array(Vec::new()) } else { Value::Null };
        }
        for (key, value) in &self.set {
            *place(&mut all, key)? = value.clone();
        }
        serde_json::from_value(all).map_err(|why| why.to_string())
    }
}

/// Where a dotted key leads. The last part may be new: whether the recipe takes it is for the recipe to say.
fn place<'a>(all: &'a mut Value, key: &str) -> Result<&'a mut Value, String> {
    let (before, last) = key.rsplit_once('.').map_or((None, key), |(before, last)| (Some(before), last));
    let pointer = before.map_or_else(String::new, |before| format!("/{}", before.replace('.', "/")));
    let holder = all.pointer_mut(&pointer).ok_or_else(|| format!("{key}: there is no {}", before.unwrap_or(key)))?;
    match holder {
        Value::Object(table) => Ok(table.entry(last).or_insert(Value::Null)),
        Value::Array(list) => {
            let n = list.len();
            let at = last.parse::<usize>().ok().and_then(|i| list.get_mut(i));
            at.ok_or_else(|| format!("{key}: expected a place below {n} in this list, got {last:?}"))
        }
        _ => Err(format!("{key}: expected a table before {last:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(set: &str, without: &[&str]) -> anyhow::Result<Recipe> {
        let without = without.iter().map(|&model| model.to_owned()).collect();
        let set = serde_json::from_str(set).unwrap();
        Ablation { name: "less".into(), set, without }.of(&Recipe::built_in("beauty").unwrap())
    }

    #[test]
    fn a_part_is_changed_and_everything_else_stays() {
        let whole = Recipe::built_in("beauty").unwrap();
        let mut expected = whole.clone();
        expected.models.item[0].l2 = 20.0;
        expected.models.item[0].history.kinds.insert(lingxi_data::EventKind::View, 0.5);
        expected.models.alignment = None;
        let set = r#"{"models.item.0.l2": 20.0, "models.item.0.history.kinds.view": 0.5}"#;
        assert_eq!(changed(set, &["alignment"]).unwrap(), expected);
        expected = whole;
        expected.models.item.clear();
        assert_eq!(changed("{}", &["item"]).unwrap(), expected);
    }

    #[test]
    fn a_key_that_leads_nowhere_and_a_model_that_is_none_are_named() {
        let why = |set: &str, without: &[&str]| changed(set, without).unwrap_err().to_string();
        assert!(why("{}", &["itme"]).contains("expected a model, got \"itme\""));
        assert!(why(r#"{"models.item.1.l2": 1.0}"#, &[]).contains("there is no models.item.1"));
        assert!(why(r#"{"models.itme": 1.0}"#, &[]).contains("unknown field `itme`"));
    }
}

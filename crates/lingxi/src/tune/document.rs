//! A recipe with another value at a dotted key: `models.item.0.l2` is the setting `l2` of the first `[[models.item]]`.

use crate::failure::UserError;
use anyhow::Result;
use lingxi_train::space::Dimension;
use toml::{Table, Value};

/// `document` with the value of `space` at each of `keys` that `point` says.
///
/// # Errors
/// A key that leads through something that is no table, or beyond the end of a list.
pub fn with(document: &Table, keys: &[&String], space: &[Dimension], point: &[f64]) -> Result<Table> {
    let mut all = Value::Table(document.clone());
    for ((key, dimension), at) in keys.iter().zip(space).zip(point) {
        let value = Value::try_from(dimension.at(*at)).map_err(|why| {
            UserError::new(
                format!("search.space: {key}: expected values that TOML can hold, got {why}"),
                "leave out null",
            )
        })?;
        let parts: Vec<&str> = key.split('.').collect();
        set(&mut all, &parts, value).map_err(|why| {
            UserError::new(format!("search.space: {key}: {why}"), "name a key of this recipe; lists count from 0")
        })?;
    }
    match all {
        Value::Table(table) => Ok(table),
        other => {
            Err(UserError::new(format!("search.space: an empty key, which would be {other}"), "name a key").into())
        }
    }
}

/// Tables that are not there are made: whether the recipe takes them is for the recipe to say.
fn set(place: &mut Value, parts: &[&str], value: Value) -> std::result::Result<(), String> {
    let [first, rest @ ..] = parts else {
        *place = value;
        return Ok(());
    };
    match place {
        Value::Table(table) => {
            set(table.entry((*first).to_owned()).or_insert_with(|| Value::Table(Table::new())), rest, value)
        }
        Value::Array(list) => {
            let n = list.len();
            let at = first.parse::<usize>().ok().and_then(|i| list.get_mut(i));
            let at = at.ok_or_else(|| format!("expected a place below {n} in this list, got {first:?}"))?;
            set(at, rest, value)
        }
        other => Err(format!("expected a table before {first:?}, got {}", other.type_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(key: &str) -> std::result::Result<String, String> {
        let document: Table = "a = 1\n[[b.c]]\nd = 2\n[[b.c]]\n".parse().unwrap();
        let dimension: Dimension = serde_json::from_str(r#"{"choice": [7]}"#).unwrap();
        let key = key.to_owned();
        with(&document, &[&key], &[dimension], &[0.3]).map(|t| t.to_string()).map_err(|why| why.to_string())
    }

    #[test]
    fn a_value_is_set_where_its_key_leads_and_nowhere_else() {
        let is = |key: &str, expected: &str| {
            assert_eq!(changed(key).unwrap().parse::<Table>().unwrap(), expected.parse::<Table>().unwrap(), "{key}");
        };
        is("a", "a = 7\n[[b.c]]\nd = 2\n[[b.c]]\n");
        is("b.c.1.d", "a = 1\n[[b.c]]\nd = 2\n[[b.c]]\nd = 7\n");
        is("e.f", "a = 1\n[[b.c]]\nd = 2\n[[b.c]]\n[e]\nf = 7\n");
    }

    #[test]
    fn a_key_that_leads_nowhere_is_named_with_what_is_there() {
        assert!(changed("a.b").unwrap_err().contains("a.b: expected a table before \"b\", got integer"));
        assert!(changed("b.c.2.d").unwrap_err().contains("expected a place below 2 in this list, got \"2\""));
    }
}

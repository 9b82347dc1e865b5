//! The places of a slate in one column: `[["tea", 1.5, 0.95, false], ...]`, an item with its score, its propensity and
//! whether the policy explored there.
//!
//! One row a slate and not one a place: slates are what a shop stores most, and nobody asks for half of one. It is JSON so
//! that SQLite itself can take it apart (`json_each`).

use super::record::ShownSlot;
use std::borrow::Cow;

/// One place as it is written. JSON has no word for a score that is no number, and says null.
type Written<'a> = (Cow<'a, str>, Option<f32>, f32, bool);

/// The text of a slate.
pub fn written(slots: &[ShownSlot]) -> String {
    fn slot(s: &ShownSlot) -> Written<'_> {
        (s.item.as_str().into(), Some(s.score), s.propensity, s.explored)
    }
    serde_json::to_string(&slots.iter().map(slot).collect::<Vec<_>>()).expect("text and numbers are JSON")
}

/// The slate of a text.
pub fn read(text: &str) -> serde_json::Result<Vec<ShownSlot>> {
    let slot = |(item, score, propensity, explored): Written<'_>| ShownSlot {
        item: item.into_owned(),
        score: score.unwrap_or(f32::NAN),
        propensity,
        explored,
    };
    Ok(serde_json::from_str::<Vec<Written<'_>>>(text)?.into_iter().map(slot).collect())
}

/// The place of an item on the slate of a text, from 0; `None` also if the text is no slate.
pub fn place_of(item: &str, text: &str) -> Option<usize> {
    // Most slates do not hold it, and are not taken apart.
    let name = serde_json::to_string(item).ok()?;
    if !text.contains(&name) {
        return None;
    }
    read(text).ok()?.iter().position(|slot| slot.item == item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(item: &str, score: f32) -> ShownSlot {
        ShownSlot { item: item.into(), score, propensity: 0.95, explored: score < 0.0 }
    }

    #[test]
    fn a_slate_comes_back_as_it_was_and_each_item_is_found_at_its_place() {
        let names = ["tea", "te", "\"tea\"", "a\\", "绿茶", "[\"tea\"", ""];
        let slate: Vec<ShownSlot> = names.iter().zip(-3..).map(|(name, i)| slot(name, i as f32 * 0.1)).collect();
        let text = written(&slate);
        assert_eq!(read(&text).unwrap(), slate);
        for (place, name) in names.iter().enumerate() {
            assert_eq!(place_of(name, &text), Some(place), "{name}");
        }
        assert!(read(&written(&[slot("tea", f32::NAN)])).unwrap()[0].score.is_nan());
        assert_eq!((place_of("coffee", &text), place_of("tea", "[[\"tea\"]]")), (None, None));
    }
}

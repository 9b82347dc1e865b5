//! Text as it comes -> text as it is compared, shown and encoded: one form for what looks the same.

use unicode_normalization::UnicodeNormalization;

/// NFKC form without control and zero-width characters, each run of white space one blank, no blank at the ends.
/// Applying it twice changes nothing.
pub fn normalise(text: &str) -> String {
    if is_plain(text) {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len());
    let composed = text.chars().filter(|c| !is_invisible(*c)).nfkc().filter(|c| !is_invisible(*c));
    let mut gap = false;
    for c in composed {
        if c.is_whitespace() || c.is_control() {
            gap = !out.is_empty();
            continue;
        }
        if gap {
            out.push(' ');
            gap = false;
        }
        out.push(c);
    }
    out
}

/// Printable ASCII with single blanks inside is in normal form already.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let printable = bytes.iter().all(|b| (0x20..0x7f).contains(b));
    printable && !text.starts_with(' ') && !text.ends_with(' ') && !text.contains("  ")
}

/// Zero-width characters that only files carry: joiners that emoji need stay.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{00ad}')
}

/// Shop exports often shout: a text without any lower-case letter becomes a sentence (`COLD CEREAL` -> `Cold cereal`);
/// every other text stays.
pub fn natural_case(text: &str) -> String {
    if text.chars().any(char::is_lowercase) || !text.chars().any(char::is_uppercase) {
        return text.to_string();
    }
    let lower = text.to_lowercase();
    let mut chars = lower.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => lower,
    }
}

/// Joins the parts that say something with `, `; a part that another one repeats is left out.
pub fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for part in parts {
        if !part.is_empty() && !kept.contains(&part) {
            kept.push(part);
        }
    }
    kept.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_looks_the_same_becomes_the_same() {
        for (input, expected) in [
            ("plain", "plain"),
            ("  two \t\n words ", "two words"),
            ("ﬁne Ｃａｆｅ\u{301}", "fine Café"),
            ("zero\u{200b}width\u{0} nul", "zerowidth nul"),
            ("牛奶\u{3000}１Ｌ", "牛奶 1L"),
            ("\u{feff}", ""),
        ] {
            assert_eq!(normalise(input), expected);
        }
    }

    #[test]
    fn only_shouting_text_changes_its_case() {
        assert_eq!(natural_case("COLD CEREAL 14.5 OZ"), "Cold cereal 14.5 oz");
        assert_eq!(natural_case("OPI Nail Lacquer"), "OPI Nail Lacquer");
        assert_eq!(natural_case("12"), "12");
    }

    #[test]
    fn parts_are_joined_once_each() {
        assert_eq!(join(["Soup", "", "Soup", "5 oz"]), "Soup, 5 oz");
    }

    proptest! {
        #[test]
        fn normal_form_is_a_fixed_point(text in "\\PC*|[ -~\\t\\n]*|.*") {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once);
        }
    }
}

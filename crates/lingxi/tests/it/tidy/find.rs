//! How rules look: for words in code, words in text, dependencies in manifests, structs with their attributes.

use super::code::{line, words};
use super::house::{Finding, House, Manifest, Source};

/// Findings for each place where one of `needles` stands as a word in code.
pub fn in_code<'a>(sources: impl Iterator<Item = &'a Source>, needles: &[&str], why: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in sources {
        for needle in needles {
            found.extend(words(&source.code, needle).map(|at| Finding {
                path: source.path.clone(),
                line: line(&source.code, at),
                what: format!("`{needle}`: {why}"),
            }));
        }
    }
    found
}

/// Findings for each place where one of `needles` stands in a text, comments and strings included.
pub fn in_text(path: &str, text: &str, needles: &[&str], why: &str) -> Vec<Finding> {
    let hits = needles.iter().flat_map(|needle| words(text, needle).map(move |at| (needle, at)));
    let findings = hits.map(|(needle, at)| Finding {
        path: path.to_owned(),
        line: line(text, at),
        what: format!("`{needle}`: {why}"),
    });
    findings.collect()
}

/// Findings for each manifest that depends on one of `names`.
pub fn depending<'a>(manifests: impl Iterator<Item = &'a Manifest>, names: &[&str], why: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for manifest in manifests {
        for name in dependencies(manifest).into_iter().filter(|name| names.contains(&name.as_str())) {
            found.push(in_manifest(manifest, &name, format!("`{name}`: {why}")));
        }
    }
    found
}

/// Names of everything a crate needs to be built; what only its tests need may point anywhere.
pub fn dependencies(manifest: &Manifest) -> Vec<String> {
    let tables = ["dependencies", "build-dependencies"].iter().filter_map(|key| manifest.toml.get(*key)?.as_table());
    let mut names: Vec<String> = tables.flat_map(|table| table.keys().cloned()).collect();
    for target in manifest.toml.get("target").and_then(|target| target.as_table()).into_iter().flat_map(|t| t.values())
    {
        names.extend(
            target.get("dependencies").and_then(|table| table.as_table()).into_iter().flat_map(|t| t.keys().cloned()),
        );
    }
    names
}

pub fn in_manifest(manifest: &Manifest, needle: &str, what: String) -> Finding {
    let found = manifest.text.lines().position(|text| text.starts_with(needle));
    Finding { path: manifest.path.clone(), line: found.map_or(1, |line| line + 1), what }
}

/// The same file with its tests left in, for rules that bind tests too.
pub fn with_tests(source: &Source) -> Source {
    let code = super::code::bare(&source.text);
    Source { path: source.path.clone(), krate: source.krate.clone(), text: String::new(), code }
}

/// Path and text of everything that is not a test: code without its test modules, manifests, pages.
pub fn shipped_texts(house: &House) -> Vec<(&str, &str)> {
    let manifests = house.manifests.iter().map(|manifest| (manifest.path.as_str(), manifest.text.as_str()));
    let pages = house.pages.iter().filter(|page| !page.path.contains("/tests/"));
    let sources = house.shipped().map(|source| (source.path.as_str(), before_tests(&source.text)));
    sources.chain(manifests).chain(pages.map(|page| (page.path.as_str(), page.text.as_str()))).collect()
}

/// The text up to the first test module; by custom it closes the file.
fn before_tests(text: &str) -> &str {
    text.find("#[cfg(test)]").map_or(text, |end| &text[..end])
}

/// Offsets where `folder` starts a path: not inside a longer path or an address.
pub fn rooted<'a>(text: &'a str, folder: &'a str) -> impl Iterator<Item = usize> + 'a {
    let inside =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | ')' | '$' | '~' | '{' | '>');
    text.match_indices(folder).map(|(at, _)| at).filter(move |&at| !text[..at].chars().next_back().is_some_and(inside))
}

/// A struct as the rules see it.
pub struct Item<'a> {
    pub name: &'a str,
    pub at: usize,
    pub attributes: &'a str,
    pub body: &'a str,
    pub body_at: usize,
}

/// The structs with named fields in bare code.
pub fn structs(code: &str) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    for at in words(code, "struct") {
        let rest = &code[at + "struct".len()..];
        let name = rest.trim_start();
        let name = &name[..name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len())];
        let Some(open) = rest.find(['{', ';', '(']).filter(|&open| rest[open..].starts_with('{')) else { continue };
        let close = rest[open..].find("\n}").map_or(rest.len(), |close| open + close);
        // Attributes stand between the end of the item before and the word `struct`.
        let before = &code[..at];
        let start = before.rfind(['}', ';']).map_or(0, |end| end + 1);
        let body_at = at + "struct".len() + open;
        items.push(Item { name, at, attributes: &before[start..], body: &rest[open..close], body_at });
    }
    items
}

//! What ingest made, kept on disk, so that a second start reads columns instead of the shop's files.

use super::source::Part;
use super::{Ingested, Knowledge, Report, Standardised};
use crate::artefact::{Reader, Writer};
use crate::catalog::Attribute;
use crate::{Catalog, CategoryId, DataError, EventKind, Interactions, Interner, ItemId, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const VERSION: u32 = 1;
const NO_CATEGORY: u32 = u32::MAX;
const NO_BUCKET: u8 = u8::MAX;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    parts: Vec<Part>,
    item_attributes: Vec<String>,
    user_attributes: Vec<String>,
    numeric: Vec<(String, f64, f64)>,
    timed: bool,
    report: Report,
}

impl Ingested {
    /// Writes everything below `dir`; an interrupted write leaves no readable artefact.
    ///
    /// # Errors
    /// [`DataError::Artefact`] if a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let head = dir.join("ingested.safetensors");
        // The head is written last and removed first: without it there is no artefact.
        match std::fs::remove_file(&head) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(DataError::Artefact { path: head, why: e.to_string() });
            }
            _ => {}
        }
        save_interactions(&self.interactions, &dir.join("interactions.safetensors"))?;
        for (part, interactions) in &self.parts {
            save_interactions(interactions, &dir.join(format!("{}.safetensors", part.name())))?;
        }
        self.save_head(&head)
    }

    fn save_head(&self, path: &Path) -> Result<()> {
        let c = &self.catalog;
        let attributes =
            |list: &[Attribute]| Strings::of(list.iter().flat_map(|a| a.values.iter().map(String::as_str)));
        let (users, ids) = (Strings::of(self.users.names()), Strings::of(c.ids.names()));
        let titles = Strings::of(c.titles.iter().map(String::as_str));
        let texts = Strings::of(c.texts.iter().map(String::as_str));
        let categories = Strings::of(c.categories.names());
        let (item_attributes, user_attributes) = (attributes(&c.attributes), attributes(&self.user_attributes));
        let entities = Strings::of(self.knowledge.entities.names());
        let relations = Strings::of(self.knowledge.relations.names());
        let category: Vec<u32> = c.category.iter().map(|c| c.map_or(NO_CATEGORY, |c| c.0)).collect();
        let bucket: Vec<u8> = c.price_bucket.iter().map(|b| b.unwrap_or(NO_BUCKET)).collect();
        let available: Vec<u8> = c.available.iter().map(|a| u8::from(*a)).collect();
        let numeric: Vec<f32> = self.numeric.iter().flat_map(|n| n.z.iter().copied()).collect();
        let triples = self.knowledge.triples.as_flattened();
        let header = Header {
            version: VERSION,
            parts: self.parts.keys().copied().collect(),
            item_attributes: c.attributes.iter().map(|a| a.name.clone()).collect(),
            user_attributes: self.user_attributes.iter().map(|a| a.name.clone()).collect(),
            numeric: self.numeric.iter().map(|n| (n.name.clone(), n.mean, n.std)).collect(),
            timed: self.timed,
            report: self.report.clone(),
        };
        let mut writer = Writer::default();
        for (names, strings) in [
            (["users", "users.ends"], &users),
            (["ids", "ids.ends"], &ids),
            (["titles", "titles.ends"], &titles),
            (["texts", "texts.ends"], &texts),
            (["categories", "categories.ends"], &categories),
            (["item_attributes", "item_attributes.ends"], &item_attributes),
            (["user_attributes", "user_attributes.ends"], &user_attributes),
            (["entities", "entities.ends"], &entities),
            (["relations", "relations.ends"], &relations),
        ] {
            writer = writer.column(names[0], &[strings.bytes.len()], &strings.bytes);
            writer = writer.column(names[1], &[strings.ends.len()], &strings.ends);
        }
        writer
            .column("category", &[category.len()], &category)
            .column("price", &[c.price.len()], &c.price)
            .column("price_bucket", &[bucket.len()], &bucket)
            .column("available", &[available.len()], &available)
            .column("numeric", &[numeric.len()], &numeric)
            .column("triples", &[triples.len()], triples)
            .write(path, &header)
    }

    /// Reads what [`Ingested::save`] wrote.
    ///
    /// # Errors
    /// [`DataError::Artefact`] if a file is missing, changed or of another version.
    pub fn load(dir: &Path) -> Result<Ingested> {
        let path = dir.join("ingested.safetensors");
        let reader = Reader::open(&path)?;
        let header: Header = reader.meta()?;
        let fail = |why: &str| DataError::Artefact { path: path.clone(), why: why.into() };
        if header.version != VERSION {
            return Err(fail("written by another version; delete it, it will be rebuilt"));
        }
        let catalog = load_catalog(&reader, &path, &header)?;
        let users: Interner = names(strings(&reader, &path, "users", "users.ends")?);
        let user_values = strings(&reader, &path, "user_attributes", "user_attributes.ends")?;
        let user_attributes = columns(header.user_attributes, user_values, users.len())
            .ok_or_else(|| fail("user attributes: expected one value per user"))?;
        let z: Vec<f32> = reader.column("numeric")?;
        if z.len() != header.numeric.len() * catalog.len() {
            return Err(fail("numeric: expected one value per item"));
        }
        let z = z.chunks_exact(catalog.len().max(1)).map(<[f32]>::to_vec);
        let numeric = header.numeric.into_iter().zip(z);
        let numeric = numeric.map(|((name, mean, std), z)| Standardised { name, mean, std, z }).collect();
        let flat: Vec<u32> = reader.column("triples")?;
        let knowledge = Knowledge {
            entities: names(strings(&reader, &path, "entities", "entities.ends")?),
            relations: names(strings(&reader, &path, "relations", "relations.ends")?),
            triples: flat.as_chunks().0.to_vec(),
        };
        let interactions = load_interactions(&dir.join("interactions.safetensors"))?;
        if interactions.n_users() != users.len() || interactions.n_items() != catalog.len() {
            return Err(fail("interactions: expected those of the same users and items"));
        }
        let mut parts = BTreeMap::new();
        for part in header.parts {
            parts.insert(part, load_interactions(&dir.join(format!("{}.safetensors", part.name())))?);
        }
        let (timed, report) = (header.timed, header.report);
        Ok(Ingested { interactions, parts, users, catalog, user_attributes, numeric, knowledge, timed, report })
    }
}

fn load_catalog(reader: &Reader, path: &Path, header: &Header) -> Result<Catalog> {
    let fail = |why: &str| DataError::Artefact { path: path.into(), why: why.into() };
    let ids: Interner = names(strings(reader, path, "ids", "ids.ends")?);
    let values = strings(reader, path, "item_attributes", "item_attributes.ends")?;
    let attributes = columns(header.item_attributes.clone(), values, ids.len())
        .ok_or_else(|| fail("item attributes: expected one value per item"))?;
    let category: Vec<u32> = reader.column("category")?;
    let bucket: Vec<u8> = reader.column("price_bucket")?;
    let available: Vec<u8> = reader.column("available")?;
    let catalog = Catalog {
        ids,
        titles: strings(reader, path, "titles", "titles.ends")?,
        texts: strings(reader, path, "texts", "texts.ends")?,
        category: category.into_iter().map(|c| (c != NO_CATEGORY).then_some(CategoryId(c))).collect(),
        categories: names(strings(reader, path, "categories", "categories.ends")?),
        price: reader.column("price")?,
        price_bucket: bucket.into_iter().map(|b| (b != NO_BUCKET).then_some(b)).collect(),
        available: available.into_iter().map(|a| a != 0).collect(),
        attributes,
    };
    catalog.validate().map_err(|e| fail(&e.to_string()))?;
    Ok(catalog)
}

/// Strings as one run of bytes and where each ends.
struct Strings {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

impl Strings {
    fn of<'a>(strings: impl IntoIterator<Item = &'a str>) -> Strings {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for s in strings {
            bytes.extend_from_slice(s.as_bytes());
            ends.push(bytes.len() as u64);
        }
        Strings { bytes, ends }
    }
}

fn strings(reader: &Reader, path: &Path, bytes: &str, ends: &str) -> Result<Vec<String>> {
    let text: Vec<u8> = reader.column(bytes)?;
    let ends: Vec<u64> = reader.column(ends)?;
    let fail = || DataError::Artefact { path: path.into(), why: format!("{bytes}: expected UTF-8 cut at its ends") };
    let text = String::from_utf8(text).map_err(|_| fail())?;
    let mut from = 0;
    let mut cut = |end: u64| {
        let piece = text.get(from..usize::try_from(end).ok()?)?;
        from = end as usize;
        Some(piece.to_string())
    };
    ends.into_iter().map(|end| cut(end).ok_or_else(fail)).collect()
}

fn names(strings: Vec<String>) -> Interner {
    Interner::from(strings.into_iter().map(String::into_boxed_str).collect::<Vec<_>>())
}

/// Values of several columns, one column after the other.
fn columns(names: Vec<String>, values: Vec<String>, rows: usize) -> Option<Vec<Attribute>> {
    if values.len() != names.len() * rows {
        return None;
    }
    let mut values = values.into_iter();
    Some(names.into_iter().map(|name| Attribute { name, values: values.by_ref().take(rows).collect() }).collect())
}

fn save_interactions(interactions: &Interactions, path: &Path) -> Result<()> {
    let c = interactions.columns();
    let kinds: Vec<u8> = c.kinds.iter().map(|k| *k as u8).collect();
    let offsets: Vec<u64> = c.offsets.iter().map(|o| *o as u64).collect();
    let items: &[u32] = bytemuck::cast_slice(c.items);
    Writer::default()
        .column("items", &[items.len()], items)
        .column("at", &[c.at.len()], c.at)
        .column("kinds", &[kinds.len()], &kinds)
        .column("values", &[c.values.len()], c.values)
        .column("offsets", &[offsets.len()], &offsets)
        .column("consent", &[c.consent.len()], c.consent)
        .write(path, &interactions.n_items())
}

fn load_interactions(path: &Path) -> Result<Interactions> {
    let fail = |why: String| DataError::Artefact { path: path.into(), why };
    let reader = Reader::open(path)?;
    let kinds: Vec<u8> = reader.column("kinds")?;
    let kind =
        |k: u8| EventKind::ALL.get(usize::from(k)).copied().ok_or_else(|| fail(format!("kind {k} is not known")));
    let kinds: Vec<EventKind> = kinds.into_iter().map(kind).collect::<Result<_>>()?;
    let items: Vec<u32> = reader.column("items")?;
    let items: Vec<ItemId> = bytemuck::allocation::cast_vec(items);
    let offsets: Vec<u64> = reader.column("offsets")?;
    let offsets = offsets.into_iter().map(|o| o as usize).collect();
    let (at, values) = (reader.column("at")?, reader.column("values")?);
    let consent: Vec<u8> = reader.column("consent")?;
    let all = Interactions::from_sorted_columns(items, at, kinds, values, offsets, reader.meta()?)
        .map_err(|e| fail(e.to_string()))?;
    if consent.is_empty() { Ok(all) } else { all.with_consent(consent) }
}

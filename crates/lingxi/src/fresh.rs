//! What about goods that came after the build?
//!
//! A [`NewItem`] comes in over HTTP; within the same second it can be searched for, is like others, and may be recommended,
//! without a model being fitted. The language model reads it, and the goods that it is closest to speak for it:
//!
//! `score(u, new) = sum_k w_k score(u, k)` over its [`LIKE`] nearest known goods, `w` their squared cosines, adding up to one.
//!
//! So whatever model scores the known goods scores the new one, and its parts still add up. The next build learns it
//! properly.

use crate::store::NewItem;
use lingxi_data::{Because, Catalog, CategoryId, Context, Contribution, Encode, ItemId, Recall, Score, text};
use lingxi_decide::HnswIndex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Known goods that speak for a new one.
const LIKE: usize = 8;

/// Share of the candidates that new goods may take, and how many at most.
const SHARE: usize = 4;
const MOST: usize = 500;

/// The new goods of a snapshot; their ids follow those of the known ones.
#[derive(Clone, Debug, Default)]
pub struct Fresh {
    /// How many goods were known at the build.
    known: usize,
    dim: usize,
    texts: Vec<String>,
    /// Row-major `[new, dim]`, each of length 1.
    vectors: Vec<f32>,
    /// For each the known goods that it is closest to, with weights that add up to one.
    like: Vec<Vec<(ItemId, f32)>>,
}

/// What a new item's text is if the shop gives none: all that it says of it.
pub fn text_of(item: &NewItem) -> String {
    let given = item.text.as_deref().filter(|given| !given.trim().is_empty());
    let said = std::iter::once(item.title.as_str());
    let said = said.chain(item.categories.iter().map(String::as_str)).chain(item.labels.values().map(String::as_str));
    text::normalise(&given.map_or_else(|| text::join(said), str::to_owned))
}

/// The catalogue with `goods`: those that it knows are corrected, the others are added at its end.
pub fn stock(known: &Catalog, goods: &[NewItem]) -> Catalog {
    let mut catalog = known.clone();
    for item in goods {
        let at = catalog.ids.get(&item.id).map_or_else(|| add(&mut catalog, &item.id), |id| Some(id as usize));
        // No id is left only after four billion goods.
        let Some(at) = at else { continue };
        catalog.titles[at] = text::normalise(&item.title);
        catalog.texts[at] = text_of(item);
        let path = item.categories.first().map(|path| text::normalise(path)).filter(|path| !path.is_empty());
        catalog.category[at] = path.and_then(|path| catalog.categories.intern(&path)).map(CategoryId);
        catalog.price[at] = item.price.unwrap_or(f32::NAN);
        for column in &mut catalog.attributes {
            if let Some(value) = item.labels.get(&column.name) {
                column.values[at].clone_from(value);
            }
        }
    }
    catalog
}

/// Makes sure that the catalogue knows an id, if by nothing but its name.
pub fn name(catalog: &mut Catalog, id: &str) {
    if catalog.ids.get(id).is_none() {
        add(catalog, id);
    }
}

fn add(catalog: &mut Catalog, id: &str) -> Option<usize> {
    let id = catalog.ids.intern(id)?;
    catalog.titles.push(String::new());
    catalog.texts.push(String::new());
    catalog.category.push(None);
    catalog.price.push(f32::NAN);
    catalog.price_bucket.push(None);
    catalog.available.push(true);
    catalog.attributes.iter_mut().for_each(|column| column.values.push(String::new()));
    Some(id as usize)
}

impl Fresh {
    /// Reads the goods of `catalog` that the build did not know (from `known` on) and finds what they are like. Texts that
    /// `before` read already are not read again.
    pub fn place(catalog: &Catalog, known: usize, before: &Fresh, encoder: &dyn Encode, index: &HnswIndex) -> Fresh {
        let dim = encoder.dim();
        let texts = catalog.texts[known..].to_vec();
        let read: HashMap<&str, &[f32]> =
            before.texts.iter().map(String::as_str).zip(before.vectors.chunks_exact(before.dim.max(1))).collect();
        let unread: Vec<&str> = texts.iter().map(String::as_str).filter(|text| !read.contains_key(text)).collect();
        let encoded = if unread.is_empty() { Vec::new() } else { encoder.encode(&unread) };
        let mut encoded = encoded.chunks_exact(dim);
        let mut vectors = Vec::with_capacity(texts.len() * dim);
        for text in &texts {
            let vector = read.get(text.as_str()).copied().or_else(|| encoded.next());
            vectors.extend_from_slice(vector.expect("every text was read before or just now"));
        }
        let like = vectors.chunks_exact(dim).map(|vector| weighed(index.search(vector, LIKE))).collect();
        Fresh { known, dim, texts, vectors, like }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The vector of a new item.
    pub fn vector(&self, item: ItemId) -> Option<&[f32]> {
        let at = item.index().checked_sub(self.known).filter(|at| *at < self.len())?;
        self.vectors.get(at * self.dim..(at + 1) * self.dim)
    }

    /// `near` and the new goods by their cosine to `query`, best first, at most `n`.
    pub fn join(&self, mut near: Vec<(ItemId, f32)>, query: &[f32], n: usize) -> Vec<(ItemId, f32)> {
        let length = query.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
        let cosine = |row: &[f32]| row.iter().zip(query).map(|(a, b)| a * b).sum::<f32>() / length;
        near.extend(self.ids().zip(self.vectors.chunks_exact(self.dim.max(1)).map(cosine)));
        near.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        near.truncate(n);
        near
    }

    fn ids(&self) -> impl Iterator<Item = ItemId> {
        (self.known as u32..).take(self.len()).map(ItemId)
    }

    /// What a new item is like; `None` for a known one.
    fn like(&self, item: ItemId) -> Option<&[(ItemId, f32)]> {
        item.index().checked_sub(self.known).and_then(|at| self.like.get(at)).map(Vec::as_slice)
    }
}

/// Squared cosines as shares; goods that point away say nothing.
fn weighed(mut near: Vec<(ItemId, f32)>) -> Vec<(ItemId, f32)> {
    near.retain(|(_, cosine)| *cosine > 0.0);
    let all: f32 = near.iter().map(|(_, cosine)| cosine * cosine).sum();
    near.into_iter().map(|(item, cosine)| (item, cosine * cosine / all)).collect()
}

/// A recall with the new goods that are most like what the shopper took.
pub struct FreshRecall {
    /// Finds known goods.
    pub known: Arc<dyn Recall>,
    /// The new ones.
    pub fresh: Arc<Fresh>,
}

impl Recall for FreshRecall {
    fn name(&self) -> &'static str {
        self.known.name()
    }

    fn recall(&self, context: &Context<'_>, k: usize) -> Vec<ItemId> {
        let places = self.fresh.len().min(k / SHARE).min(MOST);
        let past: HashSet<ItemId> = context.history.items.iter().copied().collect();
        let closeness = |like: &[(ItemId, f32)]| -> f32 {
            like.iter().filter(|(item, _)| past.contains(item)).map(|(_, weight)| weight).sum()
        };
        let mut new: Vec<(ItemId, f32)> = self.fresh.ids().zip(self.fresh.like.iter().map(|l| closeness(l))).collect();
        // Of equally close ones the newest.
        new.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
        let mut all = self.known.recall(context, k - places);
        // A new item that the shopper took already is proposed as their own.
        let proposed: HashSet<ItemId> = all.iter().copied().collect();
        all.extend(new.into_iter().map(|(item, _)| item).filter(|item| !proposed.contains(item)).take(places));
        all
    }
}

/// A model that lets known goods speak for the new ones.
pub struct FreshScore {
    /// Scores known goods.
    pub known: Arc<dyn Score>,
    /// The new ones.
    pub fresh: Arc<Fresh>,
}

impl Score for FreshScore {
    fn name(&self) -> &'static str {
        self.known.name()
    }

    fn n_items(&self) -> usize {
        self.known.n_items() + self.fresh.len()
    }

    fn score(&self, context: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
        // Each known item that is asked for or speaks for a new one is scored once.
        let mut asked: HashMap<ItemId, usize> = HashMap::new();
        let mut known = Vec::new();
        let speakers = items.iter().flat_map(|item| match self.fresh.like(*item) {
            Some(like) => like.iter().map(|(item, _)| *item).collect(),
            None => vec![*item],
        });
        for item in speakers {
            asked.entry(item).or_insert_with(|| {
                known.push(item);
                known.len() - 1
            });
        }
        let mut scores = vec![0.0; known.len()];
        self.known.score(context, &known, &mut scores);
        for (item, out) in items.iter().zip(out) {
            *out = match self.fresh.like(*item) {
                Some(like) => like.iter().map(|(item, weight)| weight * scores[asked[item]]).sum(),
                None => scores[asked[item]],
            };
        }
    }

    fn contributions(&self, context: &Context<'_>, item: ItemId) -> Vec<Contribution> {
        let Some(like) = self.fresh.like(item) else { return self.known.contributions(context, item) };
        let speakers: Vec<ItemId> = like.iter().map(|(item, _)| *item).collect();
        let mut scores = vec![0.0; speakers.len()];
        self.known.score(context, &speakers, &mut scores);
        let past = &context.history;
        let part = |(&(item, weight), score): (&(ItemId, f32), f32)| {
            let because = match past.items.iter().rposition(|taken| *taken == item) {
                Some(at) => Because::SimilarMeaning { item, kind: past.kinds[at] },
                None => Because::Resembles { item },
            };
            Contribution { model: self.name(), because, value: weight * score }
        };
        like.iter().zip(scores).map(part).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lingxi_data::{EventKind, Fingerprint, Rows};
    use lingxi_decide::HnswConfig;

    /// One direction per first letter.
    struct Letters;

    impl Encode for Letters {
        fn dim(&self) -> usize {
            26
        }

        fn encode(&self, texts: &[&str]) -> Vec<f32> {
            let row = |text: &&str| -> Vec<f32> {
                let mut row = vec![0.0; 26];
                text.bytes().filter(u8::is_ascii_lowercase).for_each(|letter| row[usize::from(letter - b'a')] += 1.0);
                row
            };
            texts.iter().flat_map(row).collect()
        }
    }

    /// The score of an item is its number.
    struct Numbers;

    impl Score for Numbers {
        fn name(&self) -> &'static str {
            "numbers"
        }

        fn n_items(&self) -> usize {
            3
        }

        fn score(&self, _: &Context<'_>, items: &[ItemId], out: &mut [f32]) {
            items.iter().zip(out).for_each(|(item, out)| *out = item.0 as f32);
        }

        fn contributions(&self, _: &Context<'_>, item: ItemId) -> Vec<Contribution> {
            vec![Contribution { model: "numbers", because: Because::Popular, value: item.0 as f32 }]
        }
    }

    struct Nothing;

    impl Recall for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }

        fn recall(&self, _: &Context<'_>, _: usize) -> Vec<ItemId> {
            vec![ItemId(0)]
        }
    }

    fn new(id: &str, title: &str) -> NewItem {
        NewItem { id: id.into(), title: title.into(), ..NewItem::default() }
    }

    fn shop() -> (Catalog, HnswIndex) {
        let mut catalog = Catalog::of_ids(["a", "b", "c"].iter().collect());
        catalog.texts = vec!["aaa".into(), "bbb".into(), "ccc".into()];
        let vectors = Letters.encode(&["aaa", "bbb", "ccc"]);
        let index = HnswIndex::build(&vectors, 26, &HnswConfig::default(), Fingerprint::of([b"x".as_slice()]));
        (catalog, index.unwrap())
    }

    #[test]
    fn a_new_item_is_scored_by_what_it_is_like_and_its_parts_add_up() {
        let (catalog, index) = shop();
        let stocked = stock(&catalog, &[new("n", "bbbbbbc"), new("m", "ccc")]);
        let fresh = Arc::new(Fresh::place(&stocked, 3, &Fresh::default(), &Letters, &index));
        let score = FreshScore { known: Arc::new(Numbers), fresh: fresh.clone() };
        let past = Rows { items: &[ItemId(2)], at: &[1], kinds: &[EventKind::Buy], values: &[1.0] };
        let context = Context { user: None, history: past, now: 2 };
        let mut scores = [0.0; 5];
        score.score(&context, &[0, 1, 2, 3, 4].map(ItemId), &mut scores);
        assert_eq!((scores[1], scores[4]), (1.0, 2.0));
        assert!(scores[3] > 1.0 && scores[3] < 1.1, "mostly b, a little c: {scores:?}");
        let parts = score.contributions(&context, ItemId(3));
        assert!((parts.iter().map(|p| p.value).sum::<f32>() - scores[3]).abs() < 1e-6);
        assert_eq!(parts[0].because, Because::Resembles { item: ItemId(1) });
        assert_eq!(parts[1].because, Because::SimilarMeaning { item: ItemId(2), kind: EventKind::Buy });
        // The one that is most like what was taken is proposed first.
        let recall = FreshRecall { known: Arc::new(Nothing), fresh: fresh.clone() };
        assert_eq!(recall.recall(&context, 4), [ItemId(0), ItemId(4)]);
        assert_eq!(recall.recall(&context, 8), [0, 4, 3].map(ItemId));
        // And both are found by their text.
        assert_eq!(fresh.join(vec![(ItemId(2), 0.9)], &Letters.encode(&["c"]), 2)[0].0, ItemId(4));
    }

    #[test]
    fn where_nothing_came_no_item_is_new() {
        assert_eq!(Fresh::default().vector(ItemId(0)), None);
        assert_eq!(Fresh::default().join(vec![(ItemId(2), 0.5)], &[1.0], 3), [(ItemId(2), 0.5)]);
    }

    #[test]
    fn a_known_item_is_corrected_and_a_text_is_read_once() {
        let (catalog, index) = shop();
        let item = NewItem { categories: vec!["tea > green".into()], price: Some(2.5), ..new("b", "Better B") };
        let stocked = stock(&catalog, &[item]);
        assert_eq!((stocked.len(), stocked.titles[1].as_str(), stocked.price[1]), (3, "Better B", 2.5));
        assert_eq!(stocked.category_name(ItemId(1)), Some("tea > green"));
        stocked.validate().unwrap();
        let stocked = stock(&catalog, &[new("n", "abc")]);
        let first = Fresh::place(&stocked, 3, &Fresh::default(), &Letters, &index);
        struct Never;
        impl Encode for Never {
            fn dim(&self) -> usize {
                26
            }
            fn encode(&self, texts: &[&str]) -> Vec<f32> {
                unreachable!("{texts:?} was read before")
            }
        }
        let second = Fresh::place(&stocked, 3, &first, &Never, &index);
        assert_eq!(second.vector(ItemId(3)), first.vector(ItemId(3)));
    }
}

//! The parts of a reason add up to the score that the item was ranked by, for the models that serve.

use lingxi::reasons::{By, Reason, Witness, WordIndex};
use lingxi_behaviour::alignment::{self, AlignmentConfig};
use lingxi_behaviour::blend::Blend;
use lingxi_behaviour::item_model::{self, Form, ItemModelConfig};
use lingxi_behaviour::popularity::{self, PopularityConfig};
use lingxi_data::{
    Catalog, CategoryId, Context, Event, EventKind, Interactions, ItemId, ItemVectors, Provenance, Purpose, Score,
    UserId,
};
use lingxi_decide::{ExactRecall, PolicyConfig, Repeats, Rules, RulesConfig, Stages, decide};
use lingxi_train::Course;
use std::collections::HashSet;
use std::sync::Arc;

const ITEMS: usize = 60;
const SHOPPERS: u32 = 80;
const DAY: i64 = 86_400;
const KINDS: [&str; 6] = ["cold cereal", "oat milk", "rye bread", "green tea", "dark chocolate", "tomato soup"];

/// Sixty goods of six kinds, every third kind's last goods without a category.
fn catalog() -> Catalog {
    let brands = ["Acorn", "Birch", "Cedar", "Dune", "Elm", "Fern", "Glade", "Heath", "Iris", "Juniper"];
    let mut catalog = Catalog::of_ids((0..ITEMS).map(|i| format!("sku-{i}")).collect());
    catalog.titles = (0..ITEMS).map(|i| format!("{} {}", brands[i / 6], KINDS[i % 6])).collect();
    catalog.texts = catalog.titles.iter().map(|t| format!("grocery {t} {} oz", t.len())).collect();
    catalog.categories = KINDS.iter().map(|kind| format!("grocery > {kind}")).collect();
    catalog.category = (0..ITEMS).map(|i| (i < 50).then_some(CategoryId(i as u32 % 6))).collect();
    catalog
}

/// Each shopper likes two kinds and takes goods of them again and again, one a day; the last one is new.
fn log() -> Interactions {
    let events = (0..SHOPPERS - 1).flat_map(|u| {
        (0..12 + u % 9).map(move |step| {
            let kind = if step % 3 == 0 { u % 6 } else { (u + 2) % 6 };
            let item = ItemId(kind + 6 * ((u * 7 + step * step) % 10));
            let how = if step % 4 == 1 { EventKind::View } else { EventKind::Buy };
            Event { user: UserId(u), item, at: i64::from(u + step) * DAY, kind: how, value: 1.0 }
        })
    });
    Interactions::from_events(events.collect(), SHOPPERS as usize, ITEMS).unwrap()
}

/// Goods of one kind point the same way, nearly.
fn vectors() -> ItemVectors {
    let row = |i: usize| {
        let mut row = [0.05f32; 8];
        row[i % 6] = 1.0;
        row[6] = (i / 6) as f32 / 20.0;
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.map(|x| x / length)
    };
    let provenance =
        Provenance { model: "kinds".into(), revision: "1".into(), pooling: "none".into(), normalised: true };
    ItemVectors::new(8, (0..ITEMS).flat_map(row).collect(), vec![true; ITEMS], provenance).unwrap()
}

fn blend(form: Form) -> Arc<Blend> {
    let (log, catalog) = (log(), catalog());
    let events = log.for_purpose(Purpose::Training);
    let config = PopularityConfig { overall: 1.0, recent: 0.5, category: 0.7, ..PopularityConfig::default() };
    let popular = popularity::fit(&config, &events, &catalog.category).unwrap();
    let config = ItemModelConfig { form, l2: 5.0, repeat: 0.4, ..ItemModelConfig::default() };
    let together = item_model::fit(&config, &events, Some(&vectors()), &mut |_, _| {}).unwrap();
    let config =
        AlignmentConfig { text_dims: 6, hidden: 8, dim: 4, batch: 64, negatives: 32, steps: 20, ..Default::default() };
    let meaning = alignment::fit(&config, &events, &vectors(), 1, &mut Course::heard(&mut |_| {})).unwrap();
    let parts: Vec<(Arc<dyn Score>, f32)> =
        vec![(Arc::new(popular), 0.3), (Arc::new(together), 0.5), (Arc::new(meaning), 0.2)];
    Arc::new(Blend::new(parts).unwrap())
}

/// The reasons of a slate of `n` for shopper `user`.
fn reasons(form: Form, user: u32, n: usize, config: RulesConfig) -> Vec<Reason> {
    let (log, catalog, score) = (log(), catalog(), blend(form));
    let words = WordIndex::new(&catalog.texts);
    let rules = Rules::new(config, &catalog).unwrap();
    let history = log.for_purpose(Purpose::Serving).of(UserId(user));
    let context = Context { user: Some(UserId(user)), history, now: 200 * DAY };
    let recall = ExactRecall::new(score.clone());
    let policy = PolicyConfig::EpsilonGreedy { epsilon: 0.3 }.build().unwrap();
    let withdrawn = HashSet::new();
    let score = &*score;
    let (candidates, withdrawn, within) = (ITEMS, &withdrawn, None);
    let (policy, describe, shaping, explore) = (&policy, None, None, 1.0);
    let rules = &rules;
    let stages =
        Stages { recall: &recall, score, rules, policy, candidates, withdrawn, within, describe, shaping, explore };
    let slate = decide(&stages, &context, n, u64::from(user));
    let witness = Witness { catalog: &catalog, words: &words, score, rules };
    slate.slots.iter().map(|slot| witness.explain(&context, slot, &slate.kept_away)).collect()
}

#[test]
fn the_parts_of_every_reason_add_up_to_its_score() {
    for form in [Form::Dense, Form::Neighbours] {
        for user in (0..SHOPPERS).step_by(13).chain([SHOPPERS - 1]) {
            for reason in reasons(form, user, ITEMS, RulesConfig::default()) {
                let sum: f64 = reason.parts.iter().map(|part| f64::from(part.value)).sum();
                // A score near zero of parts that cancel out is as exact as its parts are.
                let size = reason.parts.iter().map(|part| f64::from(part.value.abs())).sum::<f64>();
                let error = (sum - f64::from(reason.score)).abs();
                assert!(error <= 1e-4 * size.max(1e-6), "{form:?} {user}: {sum} is not the score of {reason:#?}");
                assert!(reason.parts.len() <= 5, "{reason:#?}");
            }
        }
    }
}

#[test]
fn a_shopper_with_a_past_is_told_which_goods_and_words_brought_the_best_item() {
    let best = &reasons(Form::Dense, 3, 5, RulesConfig::default())[0];
    let past = best.parts.iter().find_map(|part| part.past.as_ref()).unwrap();
    assert!(past.id.starts_with("sku-") && best.sentence.contains(&past.title), "{best:#?}");
    assert!(best.parts.iter().any(|part| !part.words.is_empty()), "{best:#?}");
    let worn = ["grocery", "oz"];
    assert!(best.parts.iter().flat_map(|part| &part.words).all(|word| !worn.contains(&word.as_str())), "{best:#?}");
}

#[test]
fn a_new_shopper_is_told_that_the_item_is_popular() {
    for reason in reasons(Form::Dense, SHOPPERS - 1, 5, RulesConfig::default()) {
        assert!(reason.parts.iter().all(|part| matches!(part.by, By::Popular | By::Trending)), "{reason:#?}");
        assert!(reason.sentence.to_lowercase().contains("many t"), "{reason:#?}");
    }
}

#[test]
fn rules_and_exploration_have_their_say() {
    let config = RulesConfig { per_category: Some(1), repeats: Repeats::Never {}, ..RulesConfig::default() };
    let strict = reasons(Form::Dense, 3, 4, config);
    let said = strict.iter().map(|reason| reason.rules.join("; ")).collect::<Vec<_>>().join("; ");
    assert!(said.contains("already bought") && said.contains("at most 1 per category"), "{said}");
    let all = reasons(Form::Dense, 3, ITEMS, RulesConfig::default());
    let explored: Vec<&Reason> = all.iter().filter(|reason| reason.explored).collect();
    assert!(!explored.is_empty() && explored.iter().all(|reason| reason.sentence.contains("find out")));
    assert!(all.iter().any(|reason| reason.rules == ["repeats are wanted"]));
}

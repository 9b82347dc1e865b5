//! What may be shown, and which rule says no.

use crate::shop::{bought, catalog, context};
use lingxi_data::{CategoryId, ItemId, Scored, Slot};
use lingxi_decide::{KeptAway, Repeats, Rule, Rules, RulesConfig};

fn slot(item: u32) -> Slot {
    Slot { item: ItemId(item), score: 1.0, propensity: 1.0, explored: false }
}

#[test]
fn each_refusal_names_its_rule() {
    let mut goods = catalog(12);
    goods.available[4] = false;
    let config = RulesConfig {
        per_category: Some(2),
        repeats: Repeats::Never {},
        blocked: vec!["item-5".into(), "item-99".into()],
        max_price: Some(10.0),
        ..RulesConfig::default()
    };
    let rules = Rules::new(config, &goods).unwrap();
    assert_eq!(rules.unknown_blocked(), ["item-99"]);
    let log = bought(&[7], 12);
    let allowed = rules.for_shopper(&context(&log, 1));
    let slate = [slot(0), slot(3)];
    let cap = Rule::CategoryCap { category: CategoryId(0), most: 2 };
    for (item, expected) in [
        (4, Some(Rule::Unavailable)),
        (5, Some(Rule::Blocked)),
        (7, Some(Rule::AlreadyBought)),
        (11, Some(Rule::Price)),
        (99, Some(Rule::Unavailable)),
        (6, Some(cap)),
        (1, None),
    ] {
        assert_eq!(allowed.refusal(&slate, ItemId(item)), expected, "item {item}");
    }
    assert_eq!(cap.to_string(), "at most 2 per category");
    let scored = Scored::new([7, 0, 3, 6, 1, 5].map(ItemId).to_vec(), vec![6., 5., 4., 3., 2., 1.]);
    let kept = allowed.kept_away(&scored, &[slot(0), slot(3), slot(1)]);
    let of = |item: u32, score: f32, rule: Rule| KeptAway { item: ItemId(item), score, rule };
    assert_eq!(kept, [of(7, 6.0, Rule::AlreadyBought), of(6, 3.0, cap)]);
}

#[test]
fn repeats_are_wanted_never_or_after_some_days() {
    let goods = catalog(5);
    let log = bought(&[1, 2], 5);
    for (repeats, day, expected) in [
        (Repeats::Wanted {}, 1, [true, true]),
        (Repeats::Never {}, 9999, [false, false]),
        (Repeats::After { days: 7 }, 2, [false, false]),
        (Repeats::After { days: 7 }, 7, [true, false]),
        (Repeats::After { days: 7 }, 8, [true, true]),
    ] {
        let rules = Rules::new(RulesConfig { repeats, ..RulesConfig::default() }, &goods).unwrap();
        let allowed = rules.for_shopper(&context(&log, day));
        let got = [1, 2].map(|item| allowed.eligible(&[], ItemId(item)));
        assert_eq!(got, expected, "{repeats:?} on day {day}");
        assert!(allowed.eligible(&[], ItemId(3)));
    }
}

#[test]
fn goods_of_unknown_price_or_category_are_refused_by_a_price_range_and_not_capped() {
    let mut goods = catalog(6);
    goods.price[2] = f32::NAN;
    goods.category[3] = None;
    let config = RulesConfig { min_price: Some(0.0), per_category: Some(1), ..RulesConfig::default() };
    let rules = Rules::new(config, &goods).unwrap();
    let log = bought(&[], 6);
    let allowed = rules.for_shopper(&context(&log, 0));
    assert_eq!(allowed.refusal(&[], ItemId(2)), Some(Rule::Price));
    assert_eq!(allowed.refusal(&[slot(0)], ItemId(3)), None);
}

#[test]
fn rules_that_cannot_hold_are_named() {
    let goods = catalog(3);
    let message = |config| Rules::new(config, &goods).unwrap_err().to_string();
    assert!(message(RulesConfig { per_category: Some(0), ..RulesConfig::default() }).contains("per_category"));
    let range = RulesConfig { min_price: Some(5.0), max_price: Some(1.0), ..RulesConfig::default() };
    assert!(message(range).contains("min_price"));
    assert!(serde_json::from_str::<RulesConfig>(r#"{"per_categori":3}"#).is_err());
    let read: RulesConfig =
        serde_json::from_str(r#"{"repeats":{"kind":"after","days":30},"bought_by":["buy"]}"#).unwrap();
    assert_eq!(read.repeats, Repeats::After { days: 30 });
}

#[test]
fn every_third_place_is_for_something_new_as_far_as_there_is_enough_of_it() {
    let config = RulesConfig { new_every: Some(3), ..RulesConfig::default() };
    let rules = Rules::new(config, &catalog(12)).unwrap();
    let log = bought(&[0, 1, 2, 3, 4], 12);
    let context = context(&log, 1);
    let candidates: Vec<ItemId> = (0..12).map(ItemId).collect();
    let mut allowed = rules.for_shopper(&context);
    allowed.keep_places_for_new(&context, &candidates, 7);
    let refusals = [0, 1, 2].map(|place| allowed.refusal(&[slot(0), slot(1)][..place], ItemId(4)));
    assert_eq!(refusals, [None, None, Some(Rule::PlaceForNew)]);
    assert_eq!(allowed.refusal(&[slot(0), slot(1)], ItemId(7)), None);
    // Item 3 was bumped by the new item 7 and says so.
    let scored = Scored::new([0, 1, 2, 3, 7].map(ItemId).to_vec(), vec![5., 4., 3., 2., 1.]);
    let kept = allowed.kept_away(&scored, &[slot(0), slot(1), slot(7), slot(2)]);
    assert_eq!(kept, [KeptAway { item: ItemId(3), score: 2.0, rule: Rule::PlaceForNew }]);
    // Eight places, seven new goods: one of the places could stay empty, so none is kept.
    let mut short = rules.for_shopper(&context);
    short.keep_places_for_new(&context, &candidates, 8);
    assert_eq!(short.refusal(&[slot(0), slot(1)], ItemId(4)), None);
}

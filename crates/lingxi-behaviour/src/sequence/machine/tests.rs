use super::super::lessons::{Known, known};
use super::super::{Input, SequenceConfig};
use super::*;
use crate::agreement::{Agreement, Likeness};
use lingxi_data::{Event, EventKind, Interactions, ItemId, Purpose, UserId};
use lingxi_train::gradient_check;

const ITEMS: usize = 12;
const DIM: usize = 4;
const TEXT: usize = 3;

fn config(id_dropout: f32) -> SequenceConfig {
    // Sampled softmax is all f32, so that differences can be fine.
    let loss = Loss::Sampled { negatives: 20 };
    SequenceConfig {
        dim: DIM,
        layers: 1,
        heads: 2,
        inner: 6,
        length: 8,
        dropout: 0.1,
        id_dropout,
        loss,
        ..Default::default()
    }
}

fn places(config: &SequenceConfig) -> Places {
    let network = config.network().parameters();
    let ids = config.input != Input::Text;
    Places { n: ITEMS, d: DIM, text: TEXT, length: config.length, ids, network }
}

fn lessons() -> Lessons {
    let event = |user: u32, at: u32| Event {
        user: UserId(user),
        item: ItemId((user * 5 + at * 7) % ITEMS as u32),
        at: i64::from(at * at),
        kind: if at.is_multiple_of(3) { EventKind::View } else { EventKind::Buy },
        value: 1.0,
    };
    let rows = (0..9).flat_map(|user| (0..6).map(move |at| event(user, at))).collect();
    let log = Interactions::from_events(rows, 9, ITEMS).unwrap();
    let mut lessons = Lessons::default();
    for (_, rows) in log.for_purpose(Purpose::Training).users() {
        let events: Vec<Known> = known(&rows, Some, |_| true);
        lessons.add(&events[..5], |at| events[at + 1].item);
    }
    lessons
}

fn numbers(n: usize, size: f32) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 % 41) as f32 / 20.0 - 1.0) * size).collect()
}

#[test]
fn the_gradient_of_a_whole_step_agrees_with_finite_differences_with_and_without_id_dropout() {
    let (lessons, held, text) = (lessons(), Lessons::default(), numbers(ITEMS * TEXT, 1.0));
    for id_dropout in [0.0, 0.5, 1.0] {
        let config = config(id_dropout);
        let places = places(&config);
        let parameters = numbers(places.len(), 0.4);
        let mut machine = Machine::new(&config, places, &text, &lessons, &held);
        let batch: Vec<u32> = (0..lessons.len() as u32).collect();
        let mut gradient = vec![0.0; parameters.len()];
        machine.learn(&parameters, &batch, 7, &mut gradient);
        let moved = gradient[places.delta()].iter().filter(|g| **g != 0.0).count();
        assert_eq!(moved == 0, id_dropout == 1.0, "{moved} numbers of own rows learn at {id_dropout}");
        let value = |at: &[f32]| machine.learn(at, &batch, 7, &mut vec![0.0; at.len()]);
        gradient_check(&parameters, &gradient, 3e-3, 0.02, 80, 5, value)
            .unwrap_or_else(|why| panic!("{id_dropout}: {why:?}"));
    }
}

#[test]
fn the_gradient_of_a_step_whose_language_and_behaviour_agree_is_that_of_finite_differences() {
    let (lessons, held, text) = (lessons(), Lessons::default(), numbers(ITEMS * TEXT, 1.0));
    for loss in [Likeness::InfoNce, Likeness::Kl] {
        let agreement = Some(Agreement { loss, weight: 2.0, temperature: 0.5, goods: 9 });
        let config = SequenceConfig { agreement, ..config(0.0) };
        let parameters = numbers(places(&config).len(), 0.4);
        let mut machine = Machine::new(&config, places(&config), &text, &lessons, &held);
        let batch: Vec<u32> = (0..lessons.len() as u32).collect();
        let mut gradient = vec![0.0; parameters.len()];
        machine.learn(&parameters, &batch, 7, &mut gradient);
        let value = |at: &[f32]| machine.learn(at, &batch, 7, &mut vec![0.0; at.len()]);
        gradient_check(&parameters, &gradient, 3e-3, 0.02, 80, 5, value)
            .unwrap_or_else(|why| panic!("{loss:?}: {why:?}"));
    }
}

#[test]
fn a_step_is_the_same_on_any_number_of_threads() {
    let (lessons, held, text) = (lessons(), Lessons::default(), numbers(ITEMS * TEXT, 1.0));
    let config = SequenceConfig { loss: Loss::Full, ..config(0.3) };
    let parameters = numbers(places(&config).len(), 0.4);
    let step = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut gradient = vec![0.0; parameters.len()];
        let batch: Vec<u32> = (0..lessons.len() as u32).collect();
        let mut machine = Machine::new(&config, places(&config), &text, &lessons, &held);
        let loss = pool.install(|| machine.learn(&parameters, &batch, 7, &mut gradient));
        (loss, gradient)
    };
    assert_eq!(step(1), step(3));
}

#[test]
fn an_item_without_its_own_row_lies_where_its_text_says_and_gets_it_back_after_the_step() {
    let (lessons, held, text) = (lessons(), Lessons::default(), numbers(ITEMS * TEXT, 1.0));
    let config = config(1.0);
    let places = places(&config);
    let parameters = numbers(places.len(), 0.4);
    let mut machine = Machine::new(&config, places, &text, &lessons, &held);
    let whole = machine.table(&parameters).to_vec();
    machine.leave_out_ids(&parameters, 1);
    let mut by_text = vec![0.0; ITEMS * DIM];
    matmul_nn_add(&text, &parameters[places.adaptor()], &mut by_text, ITEMS, DIM, TEXT);
    machine.table.iter().zip(&by_text).for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{a} and {b}"));
    assert_eq!(machine.table(&parameters), whole);
}

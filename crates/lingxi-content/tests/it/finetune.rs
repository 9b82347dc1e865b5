//! What was fine-tuned is saved, read again, merged and made smaller without saying anything else.

use crate::tiny;
use lingxi_content::finetune::shrink::with_layers;
use lingxi_content::finetune::{Head, Lessons, Lora, Strategy, Task, Tuned, Tuning, Tutor};
use lingxi_content::folder::Folder;
use lingxi_content::{BertEncoder, Precision};
use lingxi_train::{Step, TrainerConfig, train};
use std::path::Path;

fn tuning(strategy: Strategy) -> Tuning {
    let training =
        TrainerConfig { epochs: 60, batch: 6, learning_rate: 0.02, patience: 100, ..TrainerConfig::default() };
    let head = Head::Classification { smoothing: 0.0, scale: None };
    serde_json::from_value(serde_json::json!({
        "strategy": strategy, "head": head, "dropout": 0.0, "tokens": 6, "training": training}))
    .unwrap()
}

fn texts() -> Vec<Vec<u32>> {
    vec![vec![2, 4, 3], vec![2, 5, 3], vec![2, 4, 4, 3], vec![2, 5, 5, 3], vec![2, 6, 4, 3], vec![2, 6, 5, 3]]
}

fn lessons() -> Lessons {
    Lessons { texts: texts(), task: Task::Classes { labels: vec![0, 1, 0, 1, 0, 1], classes: 2, teacher: None } }
}

/// Learns and saves; the losses of all steps.
fn learnt(strategy: Strategy, base: &Path, dir: &Path) -> (Tuned, Vec<f64>) {
    let tuning = tuning(strategy);
    let mut tutor = Tutor::new(base, &tuning, lessons(), lessons(), 1).unwrap();
    let (start, mut losses) = (tutor.parameters(), Vec::new());
    let best = train(&tuning.training, &mut tutor, start, 1, &mut |step: Step| losses.push(step.loss));
    let tuned = tutor.tuned(&best);
    tuned.save(base, dir, &["four".into(), "five".into()]).unwrap();
    (tuned, losses)
}

fn alike(a: &[f32], b: &[f32], within: f32) {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() <= within, "{a} and {b}"));
}

#[test]
fn every_strategy_learns_is_saved_and_says_the_same_when_it_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    std::fs::create_dir(&base).unwrap();
    tiny::write(&base);
    let all = [
        Strategy::Full,
        Strategy::Head,
        Strategy::Top(1),
        Strategy::Lora(Lora { rank: 2, ..Lora::default() }),
        Strategy::Adapters { width: 2 },
        Strategy::Prefix { length: 2 },
    ];
    for strategy in all {
        let to = dir.path().join(strategy.name());
        let (tuned, losses) = learnt(strategy.clone(), &base, &to);
        let (first, last) = (losses[0], losses[losses.len() - 1]);
        assert!(last < first, "{}: {first} became {last}", strategy.name());
        let (again, _, names) = Tuned::load(&to).unwrap();
        assert_eq!(names, ["four", "five"]);
        alike(&tuned.probabilities(&texts()), &again.probabilities(&texts()), 1e-5);
        // The encoder alone reads it too, unless something lies beside its matrices.
        match BertEncoder::load(&to, Precision::F32) {
            Ok(_) => assert!(strategy.merges(), "{}", strategy.name()),
            Err(why) => assert!(!strategy.merges() && why.to_string().contains(strategy.name()), "{why}"),
        }
    }
}

#[test]
fn a_student_has_the_layers_it_was_given_and_a_layer_that_there_is_not_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (base, to) = (dir.path().join("base"), dir.path().join("student"));
    std::fs::create_dir(&base).unwrap();
    tiny::write(&base);
    with_layers(&base, &[0], &to).unwrap();
    assert_eq!(Folder::read(&to).unwrap().config.num_hidden_layers, 1);
    BertEncoder::load(&to, Precision::F32).unwrap();
    for wrong in [&[1][..], &[0, 0], &[]] {
        let why = with_layers(&base, wrong, &to).unwrap_err().to_string();
        assert!(why.contains("distil.layers") && why.contains(&format!("{wrong:?}")), "{why}");
    }
}

#[test]
fn silencing_nothing_changes_nothing_and_silencing_all_changes_much() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    std::fs::create_dir(&base).unwrap();
    tiny::write(&base);
    let (mut tuned, _) = learnt(Strategy::Full, &base, &dir.path().join("tuned"));
    let before = tuned.probabilities(&texts());
    tuned.prune_heads(0);
    tuned.prune_weights(0.0);
    alike(&before, &tuned.probabilities(&texts()), 0.0);
    tuned.prune_weights(1.0);
    let after = tuned.probabilities(&texts());
    assert!(after.chunks(2).all(|row| (row[0] - after[0]).abs() < 0.2), "all texts look alike: {after:?}");
}

#[test]
fn settings_out_of_their_range_are_named() {
    let dir = tempfile::tempdir().unwrap();
    tiny::write(dir.path());
    let refused = |change: fn(&mut Tuning), said: &[&str]| {
        let mut tuning = tuning(Strategy::Full);
        change(&mut tuning);
        let why = Tutor::new(dir.path(), &tuning, lessons(), lessons(), 1).err().expect("it is refused").to_string();
        said.iter().for_each(|said| assert!(why.contains(said), "{said} in {why}"));
    };
    refused(|t| t.strategy = Strategy::Top(2), &["strategy.top", "1 to 1", "got 2"]);
    refused(
        |t| t.strategy = Strategy::Lora(Lora { rank: 2, on: vec![], ..Lora::default() }),
        &["lora.on", "at least one"],
    );
    refused(|t| t.dropout = 1.0, &["dropout", "below 1"]);
    refused(|t| t.precision = Precision::Int8, &["precision", "f32 or bf16"]);
    refused(|t| t.training.batch = 0, &["training.batch", "at least 1"]);
    refused(|t| t.views = 3, &["views", "1 or 2"]);
}

#[test]
fn an_encoder_between_is_the_base_at_one_end_and_the_tuned_one_at_the_other() {
    for strategy in [Strategy::Full, Strategy::Top(1), Strategy::Lora(Lora { rank: 2, ..Lora::default() })] {
        let (base, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        tiny::write(base.path());
        let (tuned, _) = learnt(strategy.clone(), base.path(), dir.path());
        let plain = tuned.between(base.path(), 0.0).unwrap();
        let frozen = learnt(Strategy::Head, base.path(), &dir.path().join("head")).0;
        alike(&plain.vectors(&texts()), &frozen.vectors(&texts()), 1e-4);
        alike(&tuned.between(base.path(), 1.0).unwrap().vectors(&texts()), &tuned.vectors(&texts()), 1e-4);
        let half = tuned.between(base.path(), 0.5).unwrap().vectors(&texts());
        let far = |z: &[f32]| half.iter().zip(z).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far(&plain.vectors(&texts())) > 1e-3 && far(&tuned.vectors(&texts())) > 1e-3, "{}", strategy.name());
    }
}

#[test]
fn an_encoder_goes_on_to_a_second_task_and_the_first_head_still_answers() {
    for strategy in [Strategy::Full, Strategy::Adapters { width: 2 }, Strategy::Prefix { length: 2 }] {
        let (base, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        tiny::write(base.path());
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let (first, _) = learnt(strategy.clone(), base.path(), &one);
        // Nothing is learned in between: all that the first task taught is where the second one begins.
        let tutor = Tutor::new(&one, &tuning(strategy.clone()), lessons(), lessons(), 2).unwrap();
        let start = tutor.parameters();
        alike(&tutor.tuned(&start).with_head_of(&first).outputs(&texts()), &first.outputs(&texts()), 1e-4);
        let (second, _) = learnt(strategy, &one, &two);
        assert_eq!(second.with_head_of(&first).outputs(&texts()).len(), 2 * texts().len());
    }
}

#[test]
fn numbers_that_were_learned_at_spread_one_are_answered_in_their_own_unit() {
    let (base, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    tiny::write(base.path());
    let (mut tuned, _) = learnt(Strategy::Head, base.path(), dir.path());
    let expected: Vec<f32> = tuned.outputs(&texts()).iter().map(|y| 3.0 * y + 7.0).collect();
    tuned.answer_in((3.0, 7.0));
    alike(&tuned.outputs(&texts()), &expected, 1e-4);
}

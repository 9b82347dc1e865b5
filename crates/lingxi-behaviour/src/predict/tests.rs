//! Rows with a known law, and what the candidates make of them.

use super::*;
use rand::RngExt;

/// Rows of three columns and a history; the second task comes only where the first did. Half of the first task's answers are missing.
pub(super) fn lessons(rows: usize, seed: u64) -> Lessons {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (dim, items) = (4, 12);
    let vectors: Vec<f32> = (0..items * dim).map(|_| rng.random_range(-1.0f32..1.0)).collect();
    let mut seen = Seen { dim, vectors: vectors.into(), target: Vec::new(), offsets: vec![0], items: Vec::new() };
    let (mut features, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let x: [f32; 3] = std::array::from_fn(|_| rng.random_range(-1.0f32..1.0));
        let target = rng.random_range(0..items as u32);
        let history: Vec<u32> = (0..rng.random_range(0..5)).map(|_| rng.random_range(0..items as u32)).collect();
        let again = if history.contains(&target) { 1.5 } else { 0.0 };
        let looked = rng.random::<f64>() < lingxi_train::logistic::sigmoid(f64::from(2.0 * x[0] * x[1] + again));
        let bought = looked && rng.random::<f64>() < lingxi_train::logistic::sigmoid(f64::from(1.5 * x[2]));
        features.extend(x);
        first.push(rng.random_bool(0.9).then_some(looked));
        second.push(Some(bought));
        seen.target.push(target);
        seen.items.extend(history);
        seen.offsets.push(seen.items.len());
    }
    let task = |name: &str, came| Task { name: name.into(), came };
    let columns = ["a", "b", "c"].map(str::to_owned).to_vec();
    let (train, valid) = (0..rows as u32).partition(|row| row % 3 > 0);
    let table = Table { columns, features, seen: Some(seen) };
    Lessons { table, tasks: vec![task("look", first), task("buy", second)], train, valid }
}

fn quick() -> PredictConfig {
    let training = TrainerConfig { epochs: 15, batch: 64, learning_rate: 5e-3, ..NetworkConfig::default().training };
    let network = NetworkConfig { hidden: 16, tower: 8, copies: 2, dropout: 0.0, training, ..Default::default() };
    PredictConfig { network, ..Default::default() }
}

/// Log-loss of probabilities on fresh rows of the same law.
fn loss(predictor: &Predictor, at: usize, fresh: &Lessons) -> f64 {
    let rows: Vec<u32> = (0..fresh.table.len() as u32).collect();
    let (rows, came) = fresh.answered(&rows);
    let of = predictor.probabilities(at, &fresh.table, &rows);
    let each = of.iter().zip(&came).map(|(p, came)| if *came { -p.ln() } else { -(1.0 - p).ln() });
    each.sum::<f64>() / came.len() as f64
}

#[test]
fn trees_and_networks_find_what_a_regression_cannot_and_validation_sees_it() {
    // Of one seed the items are the same, and the first rows too: the rows after them are fresh.
    let (lessons, other) = (lessons(6000, 1), lessons(9000, 1));
    let fresh = Lessons {
        table: Table {
            seen: other.table.seen.map(|seen| {
                let from = seen.offsets[6000];
                Seen {
                    target: seen.target[6000..].to_vec(),
                    offsets: seen.offsets[6000..].iter().map(|at| at - from).collect(),
                    items: seen.items[from..].to_vec(),
                    ..seen
                }
            }),
            features: other.table.features[6000 * 3..].to_vec(),
            columns: other.table.columns,
        },
        tasks: other.tasks.into_iter().map(|task| Task { came: task.came[6000..].to_vec(), ..task }).collect(),
        ..Lessons::default()
    };
    let predictor = fit(&quick(), &lessons, 7, &mut |_| {}).unwrap();
    let losses: Vec<f64> = (0..predictor.fitted.len()).map(|at| loss(&predictor, at, &fresh)).collect();
    let names: Vec<&str> = predictor.fitted.iter().map(|fitted| fitted.candidate.name()).collect();
    assert_eq!(names, ["logistic", "boosted", "mmoe", "esmm", "mean"]);
    // Trees do not see the history, which here is half of it.
    let [regression, trees, networks @ ..] = &losses[..] else { panic!("{names:?}") };
    assert!(trees < regression && networks.iter().all(|loss| *loss < trees - 0.005), "{names:?} {losses:?}");
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(losses[predictor.chosen] < best + 0.005, "{losses:?} but {} was chosen", names[predictor.chosen]);
}

#[test]
fn the_same_seed_foretells_the_same_and_progress_names_every_candidate() {
    let lessons = lessons(900, 2);
    let mut heard = std::collections::BTreeSet::new();
    let mut once = || {
        let predictor = fit(&quick(), &lessons, 3, &mut |at| {
            heard.insert(at.candidate.name());
        })
        .unwrap();
        (0..5).map(|at| predictor.probabilities(at, &lessons.table, &[0, 5, 8])).collect::<Vec<_>>()
    };
    assert_eq!(once(), once());
    assert_eq!(heard.len(), 4, "{heard:?}");
}

#[test]
fn rows_that_teach_nothing_and_settings_out_of_range_are_refused_by_name() {
    let refused =
        |config: &PredictConfig, lessons: &Lessons| fit(config, lessons, 1, &mut |_| {}).err().unwrap().to_string();
    let good = lessons(300, 2);
    let mut one_sided = good.clone();
    one_sided.tasks[1].came.fill(Some(false));
    assert!(refused(&quick(), &one_sided).contains("came true"));
    let mut holed = good.clone();
    holed.table.features[4] = f32::NAN;
    assert!(refused(&quick(), &holed).contains("row 1, column b"));
    let mut lost = good.clone();
    lost.table.seen.as_mut().unwrap().items[0] = 99;
    assert!(refused(&quick(), &lost).contains("below 12, got 99"));
    let alone = PredictConfig { candidates: vec![Candidate::Mean], ..quick() };
    assert!(refused(&alone, &good).contains("predict.candidates"));
}

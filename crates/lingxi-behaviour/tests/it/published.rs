//! The item model under two published protocols, ids only, with the hyper-parameters that validation chose. The whole
//! evaluation, with language and intervals, is `lingxi reproduce`; this guards the model itself.

use lingxi_behaviour::history::HistoryWeights;
use lingxi_behaviour::item_model::{self, ItemModelConfig};
use lingxi_data::{Context, Event, EventKind, Interactions, ItemId, Purpose, Score, UserId};
use std::path::PathBuf;

/// The data folder, or `None` with a word about why the test is skipped.
fn data() -> Option<PathBuf> {
    let slow = std::env::var_os("LINGXI_SLOW").is_some();
    let folder = std::env::var_os("LINGXI_DATA").map(PathBuf::from).filter(|_| slow);
    if folder.is_none() {
        println!("SKIPPED: the published protocols run with LINGXI_SLOW=1 and LINGXI_DATA=the data folder");
    }
    folder
}

/// Rows `user item [position]` of an atomic file.
fn read(path: PathBuf) -> Vec<Event> {
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let event = |line: &str| {
        let mut fields = line.split('\t').map(|field| field.parse::<f64>().unwrap() as i64);
        let (user, item) = (fields.next().unwrap(), fields.next().unwrap());
        let (user, item, at) = (UserId(user as u32), ItemId(item as u32), fields.next().unwrap_or(0));
        Event { user, item, at, kind: EventKind::Rate, value: 1.0 }
    };
    text.lines().skip(1).map(event).collect()
}

/// The ranks (from 0) of `relevant` among all items but those of the history.
fn ranks(row: &mut [f32], context: &Context<'_>, relevant: &[ItemId]) -> Vec<usize> {
    context.history.items.iter().for_each(|seen| row[seen.index()] = f32::NEG_INFINITY);
    let rank = |item: &ItemId| row.iter().filter(|score| **score > row[item.index()]).count();
    relevant.iter().map(rank).collect()
}

/// The mean of `metric` of the ranks over all cases.
fn mean(model: &dyn Score, cases: &[(Context<'_>, Vec<ItemId>)], metric: impl Fn(&[usize]) -> f64) -> f64 {
    let n = model.n_items();
    let mut sum = 0.0;
    for chunk in cases.chunks(256) {
        let contexts: Vec<Context<'_>> = chunk.iter().map(|(context, _)| *context).collect();
        let mut rows = vec![0.0; chunk.len() * n];
        model.score_all(&contexts, &mut rows);
        for ((context, relevant), row) in chunk.iter().zip(rows.chunks_mut(n)) {
            sum += metric(&ranks(row, context, relevant));
        }
    }
    sum / cases.len() as f64
}

#[test]
fn on_beauty_the_item_model_reaches_the_published_sequence_models() {
    let Some(folder) = data() else { return };
    let mut events = read(folder.join("beauty/beauty.inter"));
    events.sort_by_key(|e| (e.user, e.at));
    let (users, items) = (22_364, 12_102);
    let sequences: Vec<&[Event]> = events.chunk_by(|a, b| a.user == b.user).collect();
    let part = |less: usize| sequences.iter().flat_map(|s| s[..s.len() - less].to_vec()).collect::<Vec<_>>();
    let train = Interactions::from_events(part(2), users, items).unwrap();
    let past = Interactions::from_events(part(1), users, items).unwrap();
    let history = HistoryWeights { decay: 0.7, length: 50, ..Default::default() };
    let config = ItemModelConfig { l2: 50.0, history, ..Default::default() };
    let model = item_model::fit(&config, &train.for_purpose(Purpose::Training), None, &mut |_, _| {}).unwrap();
    let past = past.for_purpose(Purpose::Evaluation);
    let case = |s: &&[Event]| {
        let (user, last) = (s[0].user, s[s.len() - 1]);
        (Context { user: Some(user), history: past.of(user), now: last.at }, vec![last.item])
    };
    let cases: Vec<_> = sequences.iter().map(case).collect();
    let ndcg = mean(&model, &cases, |ranks| if ranks[0] < 10 { 1.0 / (ranks[0] as f64 + 2.0).log2() } else { 0.0 });
    println!("beauty, leave-one-out, all items, ids only: NDCG@10 {ndcg:.4}");
    assert!(ndcg >= 0.0450, "NDCG@10 {ndcg:.4}");
}

#[test]
fn on_movielens_1m_the_item_model_reaches_the_published_graph_models() {
    let Some(folder) = data() else { return };
    let (users, items) = (6_022, 3_043);
    let train = Interactions::from_events(read(folder.join("ml1m/ml1m.train.inter")), users, items).unwrap();
    let events = train.for_purpose(Purpose::Training);
    let config = ItemModelConfig { l2: 60.0, shopper_power: 0.45, ..Default::default() };
    let model = item_model::fit(&config, &events, None, &mut |_, _| {}).unwrap();
    let mut test = read(folder.join("ml1m/ml1m.test.inter"));
    test.sort_by_key(|e| e.user);
    let case = |of: &[Event]| {
        let context = Context { user: Some(of[0].user), history: events.of(of[0].user), now: 0 };
        (context, of.iter().map(|e| e.item).collect())
    };
    let cases: Vec<_> = test.chunk_by(|a, b| a.user == b.user).map(case).collect();
    let recall =
        mean(&model, &cases, |ranks| ranks.iter().filter(|rank| **rank < 20).count() as f64 / ranks.len() as f64);
    println!("ml1m, LCFN split, all items: Recall@20 {recall:.4}");
    assert!(recall >= 0.2750, "Recall@20 {recall:.4}");
}

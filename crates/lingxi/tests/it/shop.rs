//! A small shop of generated data behind the real models, and a server on a free port to ask it.

use lingxi::http::{App, AppOptions, Engine, Front, serve_until};
use lingxi::live::Known;
use lingxi::pipeline::{Ask, Made};
use lingxi::reasons::{Reason, Witness, WordIndex};
use lingxi::stages::interests::Tastes;
use lingxi::store::{NewItem, Store, StoreOptions};
use lingxi_behaviour::blend::Blend;
use lingxi_behaviour::history::HistoryWeights;
use lingxi_behaviour::item_model::{self, ItemModelConfig};
use lingxi_behaviour::popularity::{self, PopularityConfig};
use lingxi_data::{
    Catalog, Context, Decision, Event, EventKind, Fingerprint, Interactions, Interner, ItemId, Purpose, Score, Slot,
    UserId,
};
use lingxi_decide::{ExactRecall, KeptAway, PolicyConfig, Rules, RulesConfig, Stages, Standing, consider, decide};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The time of asking in every test: an hour after the last event of the log.
pub const NOW: i64 = 1_700_000_000;

/// Kinds of goods, and goods of each kind.
const KINDS: [&str; 3] = ["tea", "soap", "bolt"];
const OF_A_KIND: u32 = 20;

/// An item whose neighbours nobody should ask for: the engine panics.
pub const CURSED: &str = "bolt-19";

/// The engine of the tests: popularity and the closed-form item model, exact recall, a policy.
pub struct Shop {
    users: Interner,
    catalog: Catalog,
    words: WordIndex,
    log: Interactions,
    model: Arc<dyn Score>,
    rules: Rules,
    policy: lingxi_decide::Explorer,
    front: Front,
}

impl Shop {
    /// 150 shoppers who each buy goods of one kind; tea is bought most.
    pub fn new(policy: PolicyConfig) -> Shop {
        let ids: Interner = KINDS.iter().flat_map(|kind| (0..OF_A_KIND).map(move |i| format!("{kind}-{i}"))).collect();
        let mut catalog = Catalog::of_ids(ids);
        catalog.titles = catalog.ids.names().map(|id| id.replace('-', " number ")).collect();
        let users: Interner = (0..150).map(|u| format!("shopper-{u}")).collect();
        let events = (0..150u32).flat_map(|u| {
            let kind = [0, 0, 1, 2, 0][u as usize % 5];
            (0..8u32).map(move |step| Event {
                user: UserId(u),
                item: ItemId(kind * OF_A_KIND + (u / 5 + step * 3) % OF_A_KIND),
                at: NOW - 3600 * i64::from(9 - step),
                kind: EventKind::Buy,
                value: 1.0,
            })
        });
        let n_items = catalog.len();
        catalog.categories = ["drinks > tea", "house > soap", "house > bolts"].iter().collect();
        catalog.category = (0..catalog.len() as u32).map(|i| Some(lingxi_data::CategoryId(i / OF_A_KIND))).collect();
        let log = Interactions::from_events(events.collect(), users.len(), n_items).unwrap();
        let model = Arc::new(model(&log, &catalog));
        let rules = Rules::new(RulesConfig::default(), &catalog).unwrap();
        let words = WordIndex::new(&catalog.texts);
        let front = Front { name: "shop".into(), timed: true, ..Front::default() };
        Shop { users, catalog, words, log, model, rules, policy: policy.build().unwrap(), front }
    }
}

impl Shop {
    fn with_stages<T>(&self, ask: &Ask<'_>, work: impl FnOnce(&Stages<'_>) -> T) -> T {
        let recall = ExactRecall::new(self.model.clone());
        let (score, rules, policy) = (&*self.model, &self.rules, ask.policy.unwrap_or(&self.policy));
        let (withdrawn, within) = (ask.withdrawn, ask.within);
        let (recall, candidates, describe, shaping, explore) = (&recall, 60, None, None, ask.explore);
        work(&Stages { recall, score, rules, policy, candidates, withdrawn, within, describe, shaping, explore })
    }
}

fn model(log: &Interactions, catalog: &Catalog) -> Blend {
    let events = log.for_purpose(Purpose::Training);
    let popular = popularity::fit(&PopularityConfig::default(), &events, &catalog.category).unwrap();
    let history = HistoryWeights { decay: 0.7, ..HistoryWeights::default() };
    let config = ItemModelConfig { l2: 5.0, history, ..ItemModelConfig::default() };
    let together = item_model::fit(&config, &events, None, &mut |_, _| {}).unwrap();
    Blend::new(vec![(Arc::new(popular) as Arc<dyn Score>, 0.01), (Arc::new(together), 1.0)]).unwrap()
}

impl Engine for Shop {
    fn known(&self) -> Known<'_> {
        Known { users: &self.users, items: &self.catalog.ids, log: self.log.for_purpose(Purpose::Serving) }
    }

    fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of([b"shop".as_slice()])
    }

    fn front(&self) -> &Front {
        &self.front
    }

    fn labels(&self, user: UserId) -> Vec<(&str, &str)> {
        vec![("taste", KINDS[[0, 0, 1, 2, 0][user.index() % 5]])]
    }

    fn policy(&self) -> &dyn lingxi_data::Policy {
        &self.policy
    }

    fn learning(&self) -> Option<lingxi::learner::Learning> {
        None
    }

    fn recommend(&self, ask: &Ask<'_>) -> Made {
        let Ask { context, n, id, seed, .. } = *ask;
        let slate = self.with_stages(ask, |stages| decide(stages, context, n, seed));
        let (user, at, slots) = (context.user, context.now, slate.slots);
        let policy = lingxi_data::Policy::version(ask.policy.unwrap_or(&self.policy));
        let decision = Decision { id, user, at, policy, snapshot: self.fingerprint(), seed, slots };
        let (seen, opens) = Default::default();
        Made { decision, seen, opens, kept_away: slate.kept_away, moved: slate.moved }
    }

    fn consider(&self, ask: &Ask<'_>, item: ItemId) -> Option<Standing> {
        self.with_stages(ask, |stages| consider(stages, ask.context, item))
    }

    fn reason(&self, context: &Context<'_>, slot: &Slot, kept_away: &[KeptAway]) -> Reason {
        let (catalog, words, score, rules) = (&self.catalog, &self.words, &*self.model, &self.rules);
        Witness { catalog, words, score, rules }.explain(context, slot, kept_away)
    }

    fn similar(&self, item: ItemId, n: usize) -> Vec<(ItemId, f32)> {
        assert_ne!(self.catalog.ids.name(item.0), Some(CURSED), "asked for the neighbours of the cursed item");
        let history = [(item, NOW, EventKind::Buy, 1.0)];
        let context = Context {
            user: None,
            history: lingxi_data::Rows { items: &[history[0].0], at: &[NOW], kinds: &[EventKind::Buy], values: &[1.0] },
            now: NOW,
        };
        let mut scores = vec![0.0; self.model.n_items()];
        self.model.score_all(&[context], &mut scores);
        let mut items: Vec<(ItemId, f32)> = (0..).map(ItemId).zip(scores).filter(|(i, _)| *i != item).collect();
        items.sort_by(|a, b| b.1.total_cmp(&a.1));
        items.truncate(n);
        items
    }

    fn interests(&self, history: lingxi_data::Rows<'_>, now: i64, most: usize) -> Vec<lingxi_decide::Degree> {
        let shares = vec![1.0 / self.catalog.categories.len() as f64; self.catalog.categories.len()];
        let until = history.at.last().copied().unwrap_or(NOW);
        let tastes = Tastes { base: lingxi_decide::Base::of_shares(shares), until, ..Tastes::default() };
        tastes.degrees(history, &self.catalog, now, most)
    }

    fn reads_goods(&self) -> bool {
        false
    }

    fn with_goods(&self, _: &[NewItem]) -> Option<Arc<dyn Engine>> {
        None
    }

    fn search(&self, text: &str, n: usize) -> Option<Vec<(ItemId, f32)>> {
        let titles = self.catalog.titles.iter().enumerate();
        let hits = titles.filter(|(_, title)| title.contains(text)).map(|(i, _)| (ItemId(i as u32), 1.0));
        Some(hits.take(n).collect())
    }
}

/// A server of a [`Shop`] on a free port; stopped when dropped.
pub struct Server {
    address: SocketAddr,
    /// What its handlers hold.
    pub app: App,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    agent: ureq::Agent,
}

impl Server {
    /// Serves a shop that does not explore.
    pub fn start(store: &Path) -> Server {
        Server::with(store, PolicyConfig::Greedy {})
    }

    /// Serves a shop with a policy.
    pub fn with(store: &Path, policy: PolicyConfig) -> Server {
        Server::of(store, Arc::new(Shop::new(policy)))
    }

    /// Serves an engine.
    pub fn of(store: &Path, engine: Arc<dyn Engine>) -> Server {
        let store = Store::open(store, StoreOptions::default()).unwrap();
        let farewell = std::time::Duration::ZERO;
        let options = AppOptions { clock: || NOW, farewell, ..AppOptions::default() };
        let app = App::start(engine, store, 0, options).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let served = app.clone();
        let thread = std::thread::spawn(move || {
            serve_until(listener, served, async { drop(stopped.await) }).unwrap();
        });
        let config = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true).build();
        Server { address, app, stop: Some(stop), thread: Some(thread), agent: config.into() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Status, the header `lingxi-decision`, and the body of a GET.
    pub fn get(&self, path: &str) -> (u16, Option<u64>, serde_json::Value) {
        let mut response = self.agent.get(format!("http://{}{path}", self.address)).call().unwrap();
        let decision = response.headers().get("lingxi-decision").and_then(|id| id.to_str().unwrap().parse().ok());
        let body = response.body_mut().read_to_string().unwrap();
        let json = serde_json::from_str(&body).unwrap_or(serde_json::Value::String(body));
        (response.status().as_u16(), decision, json)
    }

    /// Status and body of a POST of feedback, with an idempotency key if there is one.
    pub fn post(&self, body: impl AsRef<[u8]>, key: Option<&str>) -> (u16, serde_json::Value) {
        let mut request = self.agent.post(format!("http://{}/api/feedback", self.address));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let mut response = request.send(body.as_ref()).unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&body).expect("every answer is JSON"))
    }

    /// Status and body of a request with another method.
    pub fn send(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        let mut response = self.agent.run(request.body(body.to_owned()).unwrap()).unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&body).expect("every answer is JSON"))
    }

    /// Stores that a shopper bought an item now.
    pub fn buy(&self, user: &str, item: &str) {
        let row = serde_json::json!([{"FeedbackType": "buy", "UserId": user, "ItemId": item, "Timestamp": NOW}]);
        assert_eq!(self.post(row.to_string(), None), (200, serde_json::json!({"RowAffected": 1})));
    }

    /// The ids of a slate.
    pub fn slate(&self, user: &str, n: usize) -> Vec<String> {
        let (status, decision, ids) = self.get(&format!("/api/recommend/{user}?n={n}"));
        assert!(status == 200 && decision.is_some(), "{status} {ids}");
        serde_json::from_value(ids).expect("an array of ids")
    }

    /// Events in the store.
    pub fn events(&self) -> u64 {
        self.app.store().read(|r| r.event_count()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().expect("stopped once").join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}

//! Fits each model of the room on MovieLens-100k and says what it would show one shopper, and why.
//!
//! `cargo run --release -p lingxi-behaviour --example fit -- path/to/ml-100k`
//!
//! The folder holds `ml-100k.inter` and `ml-100k.item` (RecBole atomic files; `lingxi assets fetch ml-100k` gets them). The
//! "language" here is one number per genre and decade, so that the example needs no model file.

use lingxi_behaviour::history::HistoryWeights;
use lingxi_behaviour::{alignment, blend, item_model, popularity};
use lingxi_data::{
    Context, Event, EventKind, Interactions, Interner, ItemId, ItemVectors, Provenance, Purpose, Score, UserId,
};
use lingxi_train::{Course, Step};
use std::path::Path;
use std::sync::Arc;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("usage: fit FOLDER, with ml-100k.inter and ml-100k.item")?;
    let mut names = Interner::default();
    let log = read_events(&Path::new(&folder).join("ml-100k.inter"), &mut names)?;
    let (titles, vectors) = read_items(&Path::new(&folder).join("ml-100k.item"), &names)?;
    let events = log.for_purpose(Purpose::Training);
    println!("{} events of {} shoppers on {} items", events.len(), events.n_users(), events.n_items());

    let history = HistoryWeights { decay: 0.97, ..Default::default() };
    let popular = popularity::fit(&Default::default(), &events, &vec![None; events.n_items()])?;
    let config = item_model::ItemModelConfig { l2: 300.0, history: history.clone(), ..Default::default() };
    let items = item_model::fit(&config, &events, Some(&vectors), &mut |_, _| {})?;
    let config = alignment::AlignmentConfig { text_dims: 16, steps: 100, history, ..Default::default() };
    let mut say = |step: Step| {
        if let Some(loss) = step.held_out {
            println!("alignment: step {} of at most {}, held-out loss {loss:.3}", step.step, step.steps);
        }
    };
    let aligned = alignment::fit(&config, &events, &vectors, 7, &mut Course::heard(&mut say))?;

    let parts: Vec<(Arc<dyn Score>, f32)> =
        vec![(Arc::new(popular), 0.1), (Arc::new(items), 0.8), (Arc::new(aligned), 0.1)];
    let blend = blend::Blend::new(parts)?;
    let shopper = UserId(0);
    let context = Context { user: Some(shopper), history: events.of(shopper), now: i64::MAX };
    let mut scores = vec![0.0; blend.n_items()];
    blend.score_all(&[context], &mut scores);
    context.history.items.iter().for_each(|seen| scores[seen.index()] = f32::NEG_INFINITY);
    for (item, score) in lingxi_kernels::top_k(&scores, 5) {
        println!("{score:.3}  {}", titles[item as usize]);
        let mut reasons = blend.contributions(&context, ItemId(item));
        reasons.sort_by(|a, b| b.value.total_cmp(&a.value));
        for reason in reasons.iter().take(3) {
            println!("       {:+.3}  {} says {:?}", reason.value, reason.model, reason.because);
        }
    }
    Ok(())
}

/// Columns `user_id item_id rating timestamp`.
fn read_events(path: &Path, names: &mut Interner) -> Result<Interactions, Failure> {
    let text = std::fs::read_to_string(path)?;
    let mut events = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [user, item, rating, at] = fields[..] else { return Err(format!("four columns expected: {line}").into()) };
        let user = UserId(user.parse::<u32>()? - 1);
        let item = ItemId(names.intern(item).ok_or("too many items")?);
        let (at, value) = (at.parse::<f64>()? as i64, rating.parse()?);
        events.push(Event { user, item, at, kind: EventKind::Rate, value });
    }
    let users = events.iter().map(|e| e.user.index() + 1).max().unwrap_or(0);
    Ok(Interactions::from_events(events, users, names.len())?)
}

/// Titles, and a vector of genres and decade for each item that occurs in the log.
fn read_items(path: &Path, names: &Interner) -> Result<(Vec<String>, ItemVectors), Failure> {
    let text = std::fs::read_to_string(path)?;
    let mut features = Interner::default();
    let mut titles = vec![String::new(); names.len()];
    let mut on: Vec<Vec<u32>> = vec![Vec::new(); names.len()];
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [item, title, year, genres] = fields[..] else {
            return Err(format!("four columns expected: {line}").into());
        };
        let Some(item) = names.get(item) else { continue };
        titles[item as usize] = title.to_string();
        let decade = &year[..year.len().min(3)];
        on[item as usize] = genres.split(' ').chain([decade]).filter_map(|feature| features.intern(feature)).collect();
    }
    let dim = features.len();
    let mut data = vec![0.0; names.len() * dim];
    for (item, on) in on.iter().enumerate() {
        on.iter().for_each(|feature| data[item * dim + *feature as usize] = 1.0);
    }
    let present = on.iter().map(|on| !on.is_empty()).collect();
    let provenance = Provenance {
        model: "genres and decade".into(),
        revision: "1".into(),
        pooling: "one number each".into(),
        normalised: false,
    };
    Ok((titles, ItemVectors::new(dim, data, present, provenance)?))
}

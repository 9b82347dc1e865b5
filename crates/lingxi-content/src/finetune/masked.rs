//! What does this shop's language look like? Texts without a label come in, and the encoder learns to name the tokens that were hidden from
//! it (masked language modelling, Devlin et al. 2019, arXiv 1810.04805); what comes out is an encoder to fine-tune.
//!
//! ```text
//! y = x W' + b        x: states of the hidden tokens [m,h]
//! -log softmax(y E')  E: the encoder's own table of words [vocab,h], so that what is read and what is said are the same words
//! ```
//!
//! Scores are never stored: [`lingxi_kernels::cross_entropy()`] makes them block by block. `W` begins at zero, so that the encoder is left alone
//! until the layer knows where to push it.

use super::network::{Network, Noise, Pass};
use super::places::Places;
use super::strategy::Strategy;
use super::tuned::save_encoder;
use super::tutor::{LANES, add_up, deal, take};
use crate::encoder::Precision;
use crate::error::{ContentError, Result};
use crate::folder::Folder;
use lingxi_kernels::cross_entropy::{Gradients, cross_entropy};
use lingxi_kernels::{axpy, matmul_nn, matmul_nt, matmul_tn_add};
use lingxi_train::{Learner, TrainerConfig};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Of hidden tokens: what is put in their place (section 3.1 of the paper). The rest stays as it is.
const MASKED: f64 = 0.8;
const RANDOM: f64 = 0.1;

/// How an encoder goes on reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// Share of the tokens that are hidden; default .15.
    #[serde(default = "masked")]
    pub masked: f64,
    /// What is trained; default everything. Nothing may be added beside the encoder.
    #[serde(default = "full")]
    pub strategy: Strategy,
    /// Share that is dropped of states and attention; default .1.
    #[serde(default = "tenth")]
    pub dropout: f32,
    /// In which numbers products are made.
    #[serde(default)]
    pub precision: Precision,
    /// Longest text, in tokens; default 128.
    #[serde(default = "tokens")]
    pub tokens: usize,
    /// Share of the texts that is held out and says when to stop; default .05.
    #[serde(default = "held_out")]
    pub held_out: f64,
    /// How it is trained.
    #[serde(default)]
    pub training: TrainerConfig,
}

fn masked() -> f64 {
    0.15
}

fn full() -> Strategy {
    Strategy::Full
}

fn tenth() -> f32 {
    0.1
}

fn tokens() -> usize {
    128
}

fn held_out() -> f64 {
    0.05
}

impl Pretrain {
    fn check(&self, layers: usize, hidden: usize) -> Result<()> {
        let wrong = |field: &str, expected: &str, got: String| {
            Err(ContentError::Tuning { field: format!("pretrain.{field}"), expected: expected.into(), got })
        };
        if !(self.masked > 0.0 && self.masked < 1.0) {
            return wrong("masked", "a share between 0 and 1", self.masked.to_string());
        }
        if !(0.0..0.5).contains(&self.held_out) {
            return wrong("held_out", "0 to below 0.5", self.held_out.to_string());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return wrong("dropout", "0 to below 1", self.dropout.to_string());
        }
        if !(2..=4096).contains(&self.tokens) {
            return wrong("tokens", "2 to 4096", self.tokens.to_string());
        }
        if self.precision == Precision::Int8 {
            return wrong("precision", "f32 or bf16", "int8".into());
        }
        if !self.strategy.merges() || self.strategy == Strategy::Head {
            return wrong("strategy", "full, top or lora", self.strategy.name().into());
        }
        if let Some((field, expected, got)) = self.strategy.wrong(layers, hidden) {
            return wrong(field, &expected, got);
        }
        self.training.wrong().map_or(Ok(()), |(field, expected, got)| wrong(field, expected, got))
    }
}

/// Which tokens may be hidden, and behind what.
#[derive(Clone, Debug)]
pub struct Words {
    /// The token that stands for a hidden one.
    pub mask: u32,
    /// Tokens that say nothing themselves (the first and the last of a text), and stay.
    pub plain: Vec<u32>,
}

impl Words {
    /// Those of the encoder in `dir`.
    ///
    /// # Errors
    /// A tokenizer that has no token for what is hidden.
    pub fn of(dir: &Path) -> Result<Words> {
        let tokenizer = Folder::read(dir)?.tokenizer;
        let id = |names: &[&str]| names.iter().find_map(|name| tokenizer.token_to_id(name));
        let Some(mask) = id(&["[MASK]", "<mask>"]) else {
            return Err(ContentError::file(&dir.join("tokenizer.json"), "a token [MASK] or <mask>", "none"));
        };
        let plain = ["[CLS]", "[SEP]", "[PAD]", "<s>", "</s>", "<pad>"];
        Ok(Words { mask, plain: plain.iter().filter_map(|name| tokenizer.token_to_id(name)).collect() })
    }
}

/// What reads.
pub struct Reader {
    config: Pretrain,
    network: Network,
    words: Words,
    texts: Vec<Vec<u32>>,
    held: Vec<Vec<u32>>,
    passes: Vec<Pass>,
    lanes: Vec<Vec<f32>>,
}

/// A text with some tokens hidden: where they were, and what.
struct Hidden {
    ids: Vec<u32>,
    at: Vec<usize>,
    were: Vec<u32>,
}

impl Reader {
    /// A reader with the encoder in `dir`; `texts` are learned from, `held` judges.
    ///
    /// # Errors
    /// A directory or a configuration that is wrong.
    pub fn new(
        dir: &Path,
        config: &Pretrain,
        words: Words,
        [texts, held]: [Vec<Vec<u32>>; 2],
        seed: u64,
    ) -> Result<Reader> {
        let folder = Folder::read(dir)?;
        let (layers, h) = (folder.config.num_hidden_layers, folder.config.hidden_size);
        config.check(layers, h)?;
        if !folder.config.family.has_types() {
            let (field, expected) = ("model".into(), "BERT or RoBERTa: the distances of MPNet have no way back".into());
            return Err(ContentError::Tuning { field, expected, got: "mpnet".into() });
        }
        let places = Places::new(&folder.config, &config.strategy, h * (h + 1));
        let theta = places.start(&folder.weights.open()?, &mut ChaCha8Rng::seed_from_u64(seed))?;
        let network = Network::new(folder.config, places, theta, config.precision.into());
        Ok(Reader::with(network, config, words, texts, held))
    }

    fn with(network: Network, config: &Pretrain, words: Words, texts: Vec<Vec<u32>>, held: Vec<Vec<u32>>) -> Reader {
        let lanes = vec![vec![0.0; network.places.trained_beside_embeddings()]; LANES];
        Reader { config: config.clone(), network, words, texts, held, passes: Vec::new(), lanes }
    }

    /// What training begins with.
    pub fn parameters(&self) -> Vec<f32> {
        self.network.places.gather(&self.network.theta)
    }

    /// Writes the encoder under `parameters` as a directory of its own, beside what `base` has besides weights.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(mut self, parameters: &[f32], base: &Path, dir: &Path) -> Result<()> {
        self.network.set(parameters);
        save_encoder(&self.network, base, dir)
    }

    /// A text with a share of its tokens hidden, at least one.
    fn hide(&self, text: &[u32], rng: &mut ChaCha8Rng) -> Hidden {
        let speaks: Vec<usize> = (0..text.len()).filter(|at| !self.words.plain.contains(&text[*at])).collect();
        let mut at: Vec<usize> = speaks.iter().copied().filter(|_| rng.random_bool(self.config.masked)).collect();
        if at.is_empty() && !speaks.is_empty() {
            at.push(speaks[rng.random_range(0..speaks.len())]);
        }
        let mut ids = text.to_vec();
        for at in &at {
            let drawn: f64 = rng.random();
            if drawn < MASKED {
                ids[*at] = self.words.mask;
            } else if drawn < MASKED + RANDOM {
                ids[*at] = rng.random_range(0..self.network.config.vocab_size as u32);
            }
        }
        Hidden { were: at.iter().map(|at| text[*at]).collect(), ids, at }
    }

    /// The loss of some texts with tokens hidden by `seed`; gradients are added where asked for.
    fn go(&mut self, texts: &[&Vec<u32>], seed: u64, dropout: f32, gradient: Option<&mut [f32]>) -> f64 {
        let hide = |(number, text): (usize, &&Vec<u32>)| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(number as u64);
            self.hide(text, &mut rng)
        };
        let hidden: Vec<Hidden> = texts.iter().enumerate().map(hide).collect();
        let chunks = deal(hidden.len(), |at| hidden[at].ids.len());
        let noise = |number: usize| Noise {
            share: dropout,
            seed: (seed ^ (seed >> 32)) as u32 ^ (number as u32).wrapping_add(1).wrapping_mul(0x9e37_79b9),
        };
        let Reader { network, passes, lanes, .. } = self;
        let (h, layers) = (network.width(), network.config.num_hidden_layers);
        passes.resize_with(chunks.len().max(passes.len()), Pass::default);
        passes.par_iter_mut().zip(&chunks).enumerate().for_each(|(number, (pass, chunk))| {
            pass.push.clear();
            take(pass, chunk.iter().map(|at| &hidden[*at].ids));
            network.forward(pass, 0..layers, noise(number));
        });
        // The states of hidden tokens, pass by pass, and where each was.
        let (mut x, mut labels, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (pass, chunk)) in passes.iter().zip(&chunks).enumerate() {
            for (text, from) in chunk.iter().map(|at| &hidden[*at]).zip(&pass.offsets) {
                for (at, was) in text.at.iter().zip(&text.were) {
                    x.extend_from_slice(&pass.x[(from + at) * h..][..h]);
                    labels.push(*was);
                    rows.push((number, from + at));
                }
            }
        }
        let m = labels.len();
        let (w, b) = network.theta[network.places.head.clone()].split_at(h * h);
        let mut y = vec![0.0; m * h];
        matmul_nt(&x, w, &mut y, m, h, h);
        y.chunks_exact_mut(h).for_each(|row| axpy(1.0, b, row));
        let table = &network.theta[network.places.words.clone()];
        let Some(gradient) = gradient else { return cross_entropy(&y, table, h, &labels, None) };
        let (mut d_y, mut d_table) = (vec![0.0; m * h], vec![0.0; table.len()]);
        let loss = cross_entropy(&y, table, h, &labels, Some(Gradients { x: &mut d_y, items: &mut d_table }));
        if let Some(slot) = network.places.slot(&network.places.words) {
            axpy(1.0, &d_table, &mut gradient[slot]);
        }
        if let Some(slot) = network.places.slot(&network.places.head) {
            let (d_w, d_b) = gradient[slot].split_at_mut(h * h);
            matmul_tn_add(&d_y, &x, d_w, h, h, m);
            d_y.chunks_exact(h).for_each(|row| axpy(1.0, row, d_b));
        }
        matmul_nn(&d_y, w, &mut x, m, h, h);
        passes.iter_mut().zip(&chunks).for_each(|(pass, _)| pass.x.fill(0.0));
        for ((number, row), d) in rows.iter().zip(x.chunks_exact(h)) {
            passes[*number].x[row * h..(row + 1) * h].copy_from_slice(d);
        }
        lanes.par_iter_mut().for_each(|lane| lane.fill(0.0));
        let first = network.places.first_trained();
        let mut dealt: Vec<Vec<_>> = (0..LANES).map(|_| Vec::new()).collect();
        for (number, (pass, _)) in passes.iter_mut().zip(&chunks).enumerate() {
            dealt[number % LANES].push((number, pass));
        }
        let network = &*network;
        lanes.par_iter_mut().zip(dealt).for_each(|(lane, work)| {
            work.into_iter().for_each(|(number, pass)| network.backward(pass, first, noise(number), lane));
        });
        passes.iter().zip(&chunks).for_each(|(pass, _)| network.embed_back(pass, gradient));
        add_up(lanes, network.places.trained_beside_embeddings(), gradient);
        loss
    }
}

impl Learner for Reader {
    fn examples(&self) -> usize {
        self.texts.len()
    }

    fn learn(&mut self, parameters: &[f32], batch: &[u32], seed: u64, gradient: &mut [f32]) -> f64 {
        self.network.set(parameters);
        let all = std::mem::take(&mut self.texts);
        let texts: Vec<&Vec<u32>> = batch.iter().map(|text| &all[*text as usize]).collect();
        let loss = self.go(&texts, seed, self.config.dropout, Some(gradient));
        self.texts = all;
        loss
    }

    /// The loss of held-out texts, the same tokens hidden each time.
    fn check(&mut self, parameters: &[f32]) -> Option<f64> {
        if self.held.is_empty() {
            return None;
        }
        self.network.set(parameters);
        let all = std::mem::take(&mut self.held);
        let mut loss = 0.0;
        for (part, texts) in all.chunks(self.config.training.batch).enumerate() {
            let texts: Vec<&Vec<u32>> = texts.iter().collect();
            loss += self.go(&texts, part as u64, 0.0, None) * texts.len() as f64 / all.len() as f64;
        }
        self.held = all;
        Some(loss)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tutor::tests::tiny;
    use super::*;
    use crate::finetune::{Lora, Matrix};
    use lingxi_train::gradient_check;

    const WORDS: [u32; 2] = [1, 2];

    fn reader(strategy: Strategy, masked: f64) -> Reader {
        let config: Pretrain =
            serde_json::from_value(serde_json::json!({"strategy": strategy, "masked": masked, "dropout": 0.2}))
                .unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let text = |_| {
            let words = (0..rng.random_range(1..7)).map(|_| rng.random_range(3..20)).collect::<Vec<u32>>();
            [&WORDS[..1], &words, &WORDS[1..]].concat()
        };
        let texts: Vec<Vec<u32>> = (0..6).map(text).collect();
        let places = Places::new(&tiny(), &config.strategy, 8 * 9);
        let theta = (0..places.len()).map(|_| rng.random_range(-0.5f32..0.5)).collect();
        let network = Network::new(tiny(), places, theta, lingxi_kernels::Precision::F32);
        let words = Words { mask: 0, plain: WORDS.to_vec() };
        Reader::with(network, &config, words, texts.clone(), texts)
    }

    #[test]
    fn every_strategy_that_reads_has_the_gradient_of_its_loss() {
        let lora = Strategy::Lora(Lora { rank: 2, alpha: 3.0, on: vec![Matrix::Query, Matrix::Up] });
        for strategy in [Strategy::Full, Strategy::Top(1), lora] {
            let mut reader = reader(strategy.clone(), 0.4);
            let (parameters, batch) = (reader.parameters(), [0, 1, 2, 3, 4, 5]);
            let mut gradient = vec![0.0; parameters.len()];
            reader.learn(&parameters, &batch, 5, &mut gradient);
            let loss = |at: &[f32]| reader.learn(at, &batch, 5, &mut vec![0.0; at.len()]);
            if let Err(wrong) = gradient_check(&parameters, &gradient, 1e-2, 0.03, 60, 3, loss) {
                panic!("{}: {wrong:?}", strategy.name());
            }
            let moved = gradient.iter().filter(|g| **g != 0.0).count();
            assert!(moved * 2 > gradient.len(), "{}: {moved} of {}", strategy.name(), gradient.len());
        }
    }

    #[test]
    fn as_many_tokens_are_hidden_as_asked_and_never_those_that_say_nothing() {
        let reader = reader(Strategy::Full, 0.15);
        let text: Vec<u32> = std::iter::once(1).chain((0..4000).map(|i| 3 + i % 17)).chain([2]).collect();
        let hidden = reader.hide(&text, &mut ChaCha8Rng::seed_from_u64(1));
        assert!((500..700).contains(&hidden.at.len()), "{}", hidden.at.len());
        let behind = hidden.at.iter().filter(|at| hidden.ids[**at] == 0).count() as f64 / hidden.at.len() as f64;
        assert!((0.75..0.86).contains(&behind), "{behind}");
        assert_eq!((hidden.ids[0], hidden.ids[4001]), (1, 2));
        assert!(hidden.at.iter().zip(&hidden.were).all(|(at, was)| text[*at] == *was));
        assert_eq!(reader.hide(&[1, 9, 2], &mut ChaCha8Rng::seed_from_u64(3)).were, [9]);
    }

    #[test]
    fn what_cannot_be_read_with_is_refused_by_its_key() {
        for (json, part) in [
            (serde_json::json!({"masked": 0.0}), "pretrain.masked"),
            (serde_json::json!({"strategy": "head"}), "pretrain.strategy"),
            (serde_json::json!({"strategy": {"prefix": {"length": 2}}}), "pretrain.strategy"),
            (serde_json::json!({"held_out": 0.5}), "pretrain.held_out"),
        ] {
            let config: Pretrain = serde_json::from_value(json).unwrap();
            let why = config.check(2, 8).unwrap_err().to_string();
            assert!(why.contains(part), "{part} in {why}");
        }
    }
}

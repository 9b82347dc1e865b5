//! The differentiable part of the joint model: parameters and a batch come in, the mean loss and its gradient go out. Equations and
//! backward as in the module above.

use super::{Joint, JointConfig, JointLoss};
use crate::agreement::{Agreement, Rows};
use crate::graph::propagation::Graph;
use crate::pairs::Lists;
use lingxi_kernels::{axpy, matmul_nn, matmul_tn};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// What one step learns from.
#[derive(Clone, Copy)]
pub(super) struct Batch<'a> {
    /// Shoppers with an item that each took.
    pub taken: &'a [(u32, u32)],
    /// Items drawn beside, the same number for each pair.
    pub drawn: &'a [u32],
    /// Goods whose text and state are held together.
    pub goods: &'a [u32],
}

/// The differentiable part with its buffers.
pub(super) struct Machine {
    loss: JointLoss,
    agreement: Option<Agreement>,
    d: usize,
    k: usize,
    graph: Graph,
    /// Text of shoppers (the mean of their items') and of items, `[m + n, k]`.
    text: Vec<f32>,
    x: Vec<f32>,
    g: Vec<f32>,
    d_x: Vec<f32>,
    d_g: Vec<f32>,
}

impl Machine {
    pub fn new(config: &JointConfig, by_user: &Lists, items_text: &[f32], k: usize) -> Machine {
        let (d, items) = (config.dim, items_text.len() / k);
        let graph = Graph::of(by_user, items, config.layers);
        let mut text = vec![0.0f32; graph.users * k];
        for (user, row) in text.chunks_mut(k).enumerate() {
            let (ids, values) = by_user.row(user);
            let total: f32 = values.iter().sum();
            for (&item, &value) in ids.iter().zip(values) {
                axpy(value / total, &items_text[item as usize * k..(item as usize + 1) * k], row);
            }
        }
        text.extend_from_slice(items_text);
        let room = || vec![0.0f32; (graph.users + items) * d];
        let (x, g, d_x, d_g) = (room(), room(), room(), room());
        Machine { loss: config.loss, agreement: config.agreement, d, k, graph, text, x, g, d_x, d_g }
    }

    /// Where `V`, `E0`, `w` and `b` begin, and the end.
    fn places(&self) -> [usize; 5] {
        let v = self.k * self.d;
        let e = v + self.x.len();
        [0, v, e, e + self.d, e + 2 * self.d]
    }

    pub fn start(&self, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let [_, v, e, w, end] = self.places();
        let spread = (6.0 / (self.k + self.d) as f32).sqrt();
        let mut draw = |n: usize, spread: f32| (0..n).map(|_| rng.random_range(-spread..spread)).collect::<Vec<f32>>();
        let mut parameters = draw(v, spread);
        parameters.extend(draw(e - v, 0.3));
        parameters.extend(draw(w - e, 1.0));
        parameters.extend(vec![0.0; end - w]);
        parameters
    }

    /// `x` and `g` of all nodes.
    fn represent(&mut self, parameters: &[f32]) {
        let [_, v, e, ..] = self.places();
        let nodes = self.x.len() / self.d;
        matmul_nn(&self.text, &parameters[..v], &mut self.x, nodes, self.d, self.k);
        self.g.copy_from_slice(&parameters[v..e]);
        self.graph.propagate(&mut self.g, self.d);
    }

    /// The mean loss of the pairs, each with its share of the drawn items, and that of the goods' agreement; with `gradient`, it
    /// becomes the gradient.
    pub fn step(&mut self, parameters: &[f32], batch: Batch<'_>, gradient: Option<&mut [f32]>) -> f64 {
        let Batch { taken: pairs, drawn, goods } = batch;
        self.represent(parameters);
        let (d, users, each) = (self.d, self.graph.users, drawn.len() / pairs.len().max(1));
        let [_, v, e, w_end, end] = self.places();
        let (w, b) = (&parameters[e..w_end], &parameters[w_end..end]);
        self.d_x.fill(0.0);
        self.d_g.fill(0.0);
        let (mut d_w, mut d_b) = (vec![0.0f32; d], vec![0.0f32; d]);
        let (mut scores, mut slopes) = (vec![0.0f32; each + 1], vec![0.0f32; each + 1]);
        let mut loss = 0.0;
        for (&(user, taken), drawn) in pairs.iter().zip(drawn.chunks(each)) {
            let at = |node: usize| node * d..(node + 1) * d;
            let u = at(user as usize);
            let nodes: Vec<usize> =
                std::iter::once(taken).chain(drawn.iter().copied()).map(|i| users + i as usize).collect();
            for (score, &node) in scores.iter_mut().zip(&nodes) {
                let one = Pair {
                    x_u: &self.x[u.clone()],
                    g_u: &self.g[u.clone()],
                    x_i: &self.x[at(node)],
                    g_i: &self.g[at(node)],
                };
                *score = one.score(w, b);
            }
            loss += self.loss.of(&scores, &mut slopes);
            if gradient.is_none() {
                continue;
            }
            for (slope, &node) in slopes.iter().zip(&nodes) {
                let i = at(node);
                let slope = slope / pairs.len() as f32;
                for c in 0..d {
                    let (x_u, g_u, x_i, g_i) =
                        (self.x[u.start + c], self.g[u.start + c], self.x[i.start + c], self.g[i.start + c]);
                    let (whole, nobody) =
                        (sigma(2.0 * x_i + g_i + x_u + g_u * g_i + b[c]), sigma(2.0 * x_i + g_i + b[c]));
                    d_w[c] += slope * (whole - nobody);
                    let (d_z, d_0) = (slope * w[c] * whole * (1.0 - whole), -slope * w[c] * nobody * (1.0 - nobody));
                    d_b[c] += d_z + d_0;
                    self.d_x[u.start + c] += d_z;
                    self.d_x[i.start + c] += 2.0 * (d_z + d_0);
                    self.d_g[u.start + c] += d_z * g_i;
                    self.d_g[i.start + c] += d_z * (g_u + 1.0) + d_0;
                }
            }
        }
        let apart = self.agreement.map_or(0.0, |agreement| self.agree(&agreement, goods));
        if let Some(gradient) = gradient {
            let nodes = self.x.len() / d;
            matmul_tn(&self.text, &self.d_x, &mut gradient[..v], self.k, d, nodes);
            self.graph.propagate(&mut self.d_g, d);
            gradient[v..e].copy_from_slice(&self.d_g);
            gradient[e..w_end].copy_from_slice(&d_w);
            gradient[w_end..].copy_from_slice(&d_b);
        }
        loss / pairs.len().max(1) as f64 + apart
    }

    /// How far text and state of `goods` are apart; adds to the gradients of both.
    fn agree(&mut self, agreement: &Agreement, goods: &[u32]) -> f64 {
        let (d, k, m) = (self.d, self.k, goods.len());
        let nodes = || goods.iter().map(|item| self.graph.users + *item as usize);
        let rows = |all: &[f32], width: usize| -> Vec<f32> {
            nodes().flat_map(|node| &all[node * width..(node + 1) * width]).copied().collect()
        };
        let (text, language, behaviour) = (rows(&self.text, k), rows(&self.x, d), rows(&self.g, d));
        let (mut d_language, mut d_behaviour) = (vec![0.0; m * d], vec![0.0; m * d]);
        let rows = Rows {
            text: &text,
            language: &language,
            behaviour: &behaviour,
            d_language: &mut d_language,
            d_behaviour: &mut d_behaviour,
        };
        let apart = agreement.learn(m, rows);
        for (at, node) in nodes().enumerate() {
            let (row, part) = (node * d..(node + 1) * d, at * d..(at + 1) * d);
            axpy(1.0, &d_language[part.clone()], &mut self.d_x[row.clone()]);
            axpy(1.0, &d_behaviour[part], &mut self.d_g[row]);
        }
        apart
    }

    pub fn model(&mut self, config: &JointConfig, parameters: &[f32]) -> Joint {
        self.represent(parameters);
        let (d, users) = (self.d, self.graph.users);
        let [_, v, e, w_end, end] = self.places();
        let mut before = parameters[v..e].to_vec();
        self.graph.one_layer_less().propagate(&mut before, d);
        let mut speaks = before[users * d..].to_vec();
        let (text, mut state) = (self.x[users * d..].to_vec(), self.g[users * d..].to_vec());
        for (item, degree) in self.graph.item_degrees().iter().enumerate() {
            let at = item * d..(item + 1) * d;
            if *degree == 0.0 {
                // What nobody took has only its random start: its text alone speaks.
                speaks[at.clone()].fill(0.0);
                state[at].fill(0.0);
            } else {
                speaks[at].iter_mut().for_each(|x| *x /= degree.sqrt());
            }
        }
        let (w, b) = (parameters[e..w_end].to_vec(), parameters[w_end..end].to_vec());
        Joint { config: config.clone(), text, state, speaks, w, b }
    }
}

/// The representations of a shopper and an item.
pub(super) struct Pair<'a> {
    pub x_u: &'a [f32],
    pub g_u: &'a [f32],
    pub x_i: &'a [f32],
    pub g_i: &'a [f32],
}

impl Pair<'_> {
    /// What the shopper adds to `z`, and `z` without them, in one direction.
    pub fn parts(&self, c: usize, b: &[f32]) -> (f32, f32) {
        (self.x_u[c] + self.g_u[c] * self.g_i[c], 2.0 * self.x_i[c] + self.g_i[c] + b[c])
    }

    pub fn score(&self, w: &[f32], b: &[f32]) -> f32 {
        let part = |c: usize| {
            let (moved, alone) = self.parts(c, b);
            w[c] * (sigma(alone + moved) - sigma(alone))
        };
        (0..w.len()).map(part).sum()
    }
}

pub(super) fn sigma(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(1 + e^x)`.
fn softplus(x: f32) -> f64 {
    f64::from((-x.abs()).exp()).ln_1p() + f64::from(x.max(0.0))
}

impl JointLoss {
    /// The loss of scores of which the first is of the taken item, and its slope for each.
    fn of(self, scores: &[f32], slopes: &mut [f32]) -> f64 {
        let share = 1.0 / scores.len() as f32;
        let drawn = (scores.len() - 1).max(1) as f32;
        let mut loss = 0.0;
        match self {
            JointLoss::Mse => {
                for (at, (score, slope)) in scores.iter().zip(slopes).enumerate() {
                    let off = score - if at == 0 { 1.0 } else { 0.0 };
                    loss += f64::from(share * off * off);
                    *slope = 2.0 * share * off;
                }
            }
            JointLoss::CrossEntropy => {
                for (at, (score, slope)) in scores.iter().zip(slopes).enumerate() {
                    let wanted = if at == 0 { 1.0 } else { 0.0 };
                    loss += f64::from(share) * (softplus(*score) - f64::from(wanted * score));
                    *slope = share * (sigma(*score) - wanted);
                }
            }
            JointLoss::Bpr => {
                slopes[0] = 0.0;
                for at in 1..scores.len() {
                    let margin = scores[0] - scores[at];
                    loss += softplus(-margin) / f64::from(drawn);
                    slopes[at] = sigma(-margin) / drawn;
                    slopes[0] -= slopes[at];
                }
            }
            JointLoss::Kl => {
                let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = scores.iter().map(|s| (s - top).exp()).sum();
                loss = f64::from(sum.ln() + top - scores[0]);
                slopes.iter_mut().zip(scores).for_each(|(slope, s)| *slope = (s - top).exp() / sum);
                slopes[0] -= 1.0;
            }
        }
        loss
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::Likeness;
    use crate::graph::train::tests::small;
    use rand::SeedableRng;

    #[test]
    fn the_gradient_of_every_loss_agrees_with_finite_differences() {
        let text: Vec<f32> = (0..9 * 5).map(|i| ((i * 31 + 7) % 19) as f32 / 9.0 - 1.0).collect();
        let pairs = [(0, 0), (1, 2), (3, 3), (5, 2), (0, 6)];
        let drawn = [8, 1, 4, 0, 2, 5, 7, 7, 3, 1];
        let agreement = |loss| Some(Agreement { loss, weight: 0.5, temperature: 0.5, goods: 5 });
        for (loss, agreement) in [
            (JointLoss::Mse, None),
            (JointLoss::CrossEntropy, None),
            (JointLoss::Bpr, None),
            (JointLoss::Kl, None),
            (JointLoss::Kl, agreement(Likeness::InfoNce)),
            (JointLoss::Kl, agreement(Likeness::Kl)),
        ] {
            let config = JointConfig { loss, dim: 4, agreement, ..Default::default() };
            let mut machine = Machine::new(&config, &small().by_user, &text, 5);
            // Large enough that differences stand out from the rounding of f32.
            let start = machine.start(&mut ChaCha8Rng::seed_from_u64(3));
            let parameters: Vec<f32> = start.iter().map(|x| 2.0 * x).collect();
            let mut gradient = vec![0.0; parameters.len()];
            let batch = Batch { taken: &pairs, drawn: &drawn, goods: &[0, 2, 3, 6, 8] };
            machine.step(&parameters, batch, Some(&mut gradient));
            let value = |w: &[f32]| machine.step(w, batch, None);
            lingxi_train::gradient_check(&parameters, &gradient, 2e-2, 0.02, 40, 5, value)
                .unwrap_or_else(|why| panic!("{loss:?}, {agreement:?}: {why:?}"));
        }
    }
}

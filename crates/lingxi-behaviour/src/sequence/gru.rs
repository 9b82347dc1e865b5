//! A memory that is rewritten event by event: GRU4Rec (arXiv 1511.06939) and, with a cell of its own beside it, the LSTM.
//!
//! Shapes: `x [tokens, d]`, memory `h [d]`, zero before the first event. GRU, with `a = W x + b` and `u = U h + c` in three parts:
//!
//! `r = sigmoid(a_r + u_r)`, `z = sigmoid(a_z + u_z)`, `n = tanh(a_n + r u_n)`, `h' = (1 - z) n + z h`;
//!
//! LSTM in four, with a cell `m`: `i, f, o = sigmoid(a + u)`, `n = tanh(a_n + u_n)`, `m' = f m + i n`, `h' = o tanh(m')`.
//!
//! The n-th events of all sequences go through together. `layers` of them one after the other, dropout between.
//!
//! Cost: `tokens 6 d^2` multiplications a layer forwards (LSTM `8 d^2`), twice that back.

use super::network::{Network, Noise};
use lingxi_kernels::backward::{sigmoid, tanh};
use lingxi_train::linear::Linear;
use rand_chacha::ChaCha8Rng;

/// Which memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    Gru,
    Lstm,
}

/// The network with the buffers of one pass.
pub(crate) struct Recurrent {
    memory: Memory,
    d: usize,
    layers: Vec<Layer>,
}

/// What one layer keeps for the way back, all `[tokens, ..]` and in the order of the rows.
#[derive(Default)]
struct Layer {
    x: Vec<f32>,
    /// The parts after their bends; `u_n` of a GRU beside them.
    gates: Vec<f32>,
    u: Vec<f32>,
    h: Vec<f32>,
    cell: Vec<f32>,
}

/// The rows that are the n-th of their sequence, for each n.
fn turns(offsets: &[usize]) -> Vec<Vec<usize>> {
    let longest = offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
    let of = |n: usize| offsets.windows(2).filter(|w| w[1] - w[0] > n).map(|w| w[0] + n).collect();
    (0..longest).map(of).collect()
}

impl Recurrent {
    pub fn new(memory: Memory, d: usize, layers: usize) -> Recurrent {
        Recurrent { memory, d, layers: (0..layers).map(|_| Layer::default()).collect() }
    }

    fn parts(&self) -> usize {
        if self.memory == Memory::Gru { 3 } else { 4 }
    }

    /// Both layers of a cell have this shape: `W, b`, then `U, c`.
    fn linear(&self) -> Linear {
        Linear { k: self.d, n: self.parts() * self.d }
    }
}

impl Network for Recurrent {
    fn parameters(&self) -> usize {
        2 * self.layers.len() * self.linear().len()
    }

    fn start(&self, w: &mut [f32], rng: &mut ChaCha8Rng) {
        w.chunks_exact_mut(self.linear().len()).for_each(|part| self.linear().start(part, rng));
    }

    fn forward(&mut self, w: &[f32], x: &mut [f32], offsets: &[usize], noise: Noise) {
        let (d, linear, memory, parts) = (self.d, self.linear(), self.memory, self.parts());
        let turns = turns(offsets);
        let weights = w.chunks_exact(2 * linear.len());
        for (number, (layer, w)) in self.layers.iter_mut().zip(weights).enumerate() {
            let (input, inner) = w.split_at(linear.len());
            if number > 0 {
                noise.at(number as u32, x);
            }
            layer.x.clear();
            layer.x.extend_from_slice(x);
            layer.gates.resize(x.len() * parts, 0.0);
            linear.forward(input, x, &mut layer.gates);
            layer.u.resize(layer.gates.len(), 0.0);
            layer.h.resize(x.len(), 0.0);
            layer.cell.resize(x.len(), 0.0);
            let (mut before, mut u) = (Vec::new(), Vec::new());
            for (turn, rows) in turns.iter().enumerate() {
                previous(&layer.h, d, rows, turn, &mut before);
                u.resize(rows.len() * linear.n, 0.0);
                linear.forward(inner, &before, &mut u);
                for ((&row, u), before) in rows.iter().zip(u.chunks_exact(linear.n)).zip(before.chunks_exact(d)) {
                    let gates = &mut layer.gates[row * linear.n..(row + 1) * linear.n];
                    layer.u[row * linear.n..(row + 1) * linear.n].copy_from_slice(u);
                    let cell_before = if turn == 0 { None } else { Some((row - 1) * d) };
                    let cells = &mut layer.cell;
                    let h = &mut layer.h[row * d..(row + 1) * d];
                    match memory {
                        Memory::Gru => gru(gates, u, before, h, d),
                        Memory::Lstm => lstm(gates, u, cells, cell_before, row * d, h, d),
                    }
                }
            }
            x.copy_from_slice(&layer.h);
        }
    }

    fn backward(&mut self, w: &[f32], dx: &mut [f32], offsets: &[usize], noise: Noise, g: &mut [f32]) {
        let (d, linear, memory) = (self.d, self.linear(), self.memory);
        let turns = turns(offsets);
        let weights = w.chunks_exact(2 * linear.len()).zip(g.chunks_exact_mut(2 * linear.len()));
        let layers: Vec<_> = self.layers.iter().zip(weights).enumerate().collect();
        for (number, (layer, (w, g))) in layers.into_iter().rev() {
            let (input, inner) = w.split_at(linear.len());
            let (g_input, g_inner) = g.split_at_mut(linear.len());
            // `dx` holds the gradient of every memory, and takes what the next event's gives back.
            let mut d_cell = vec![0.0f32; dx.len()];
            let mut d_gates = vec![0.0f32; layer.gates.len()];
            let (mut before, mut d_u, mut d_before) = (Vec::new(), Vec::new(), Vec::new());
            for (turn, rows) in turns.iter().enumerate().rev() {
                previous(&layer.h, d, rows, turn, &mut before);
                d_u.clear();
                for (&row, before) in rows.iter().zip(before.chunks_exact(d)) {
                    let of = row * linear.n..(row + 1) * linear.n;
                    let d_gate = &mut d_gates[of.clone()];
                    let from = d_u.len();
                    d_u.resize(from + linear.n, 0.0);
                    let cell_before = if turn == 0 { None } else { Some((row - 1) * d) };
                    let d_h = &mut dx[row * d..(row + 1) * d];
                    match memory {
                        Memory::Gru => {
                            gru_back(&layer.gates[of.clone()], &layer.u[of], before, d_h, d_gate, &mut d_u[from..])
                        }
                        Memory::Lstm => {
                            lstm_back(&layer.gates[of], &layer.cell, cell_before, row * d, d_h, &mut d_cell, d_gate);
                            d_u[from..].copy_from_slice(d_gate);
                        }
                    }
                }
                d_before.resize(rows.len() * d, 0.0);
                linear.backward(inner, &before, &d_u, &mut d_before, false, g_inner);
                for (&row, d_before) in rows.iter().zip(d_before.chunks_exact(d)).filter(|_| turn > 0) {
                    // What a GRU keeps goes straight back; it left that in its own place.
                    let (earlier, own) = dx.split_at_mut(row * d);
                    let earlier = &mut earlier[(row - 1) * d..];
                    let kept = if memory == Memory::Gru { Some(&own[..d]) } else { None };
                    for (at, d_h) in earlier.iter_mut().enumerate() {
                        *d_h += d_before[at] + kept.map_or(0.0, |kept| kept[at]);
                    }
                }
            }
            linear.backward(input, &layer.x, &d_gates, dx, false, g_input);
            if number > 0 {
                noise.at(number as u32, dx);
            }
        }
    }
}

/// The memories before the rows of a turn.
fn previous(h: &[f32], d: usize, rows: &[usize], turn: usize, out: &mut Vec<f32>) {
    out.clear();
    out.resize(rows.len() * d, 0.0);
    if turn > 0 {
        out.chunks_exact_mut(d).zip(rows).for_each(|(out, row)| out.copy_from_slice(&h[(row - 1) * d..row * d]));
    }
}

fn gru(gates: &mut [f32], u: &[f32], before: &[f32], h: &mut [f32], d: usize) {
    let (open, new) = gates.split_at_mut(2 * d);
    open.iter_mut().zip(u).for_each(|(a, u)| *a += u);
    sigmoid(open);
    for at in 0..d {
        new[at] += open[at] * u[2 * d + at];
    }
    tanh(new);
    for at in 0..d {
        let z = open[d + at];
        h[at] = (1.0 - z) * new[at] + z * before[at];
    }
}

/// `d_h` is replaced by what goes straight back to the memory before.
fn gru_back(gates: &[f32], u: &[f32], before: &[f32], d_h: &mut [f32], d_gates: &mut [f32], d_u: &mut [f32]) {
    let d = d_h.len();
    for at in 0..d {
        let (r, z, n) = (gates[at], gates[d + at], gates[2 * d + at]);
        let d_n = d_h[at] * (1.0 - z) * (1.0 - n * n);
        let d_z = d_h[at] * (before[at] - n) * z * (1.0 - z);
        let d_r = d_n * u[2 * d + at] * r * (1.0 - r);
        (d_gates[at], d_gates[d + at], d_gates[2 * d + at]) = (d_r, d_z, d_n);
        (d_u[at], d_u[d + at], d_u[2 * d + at]) = (d_r, d_z, d_n * r);
        d_h[at] *= z;
    }
}

/// Parts: in, forget, out, new.
fn lstm(gates: &mut [f32], u: &[f32], cells: &mut [f32], before: Option<usize>, own: usize, h: &mut [f32], d: usize) {
    gates.iter_mut().zip(u).for_each(|(a, u)| *a += u);
    let (open, new) = gates.split_at_mut(3 * d);
    sigmoid(open);
    tanh(new);
    for at in 0..d {
        let old = before.map_or(0.0, |before| cells[before + at]);
        cells[own + at] = open[d + at] * old + open[at] * new[at];
        h[at] = open[2 * d + at] * cells[own + at].tanh();
    }
}

fn lstm_back(
    gates: &[f32],
    cells: &[f32],
    before: Option<usize>,
    own: usize,
    d_h: &[f32],
    d_cell: &mut [f32],
    d_gates: &mut [f32],
) {
    let d = d_h.len();
    for at in 0..d {
        let (i, f, o, n) = (gates[at], gates[d + at], gates[2 * d + at], gates[3 * d + at]);
        let bent = cells[own + at].tanh();
        let d_m = d_cell[own + at] + d_h[at] * o * (1.0 - bent * bent);
        let old = before.map_or(0.0, |before| cells[before + at]);
        d_gates[at] = d_m * n * i * (1.0 - i);
        d_gates[d + at] = d_m * old * f * (1.0 - f);
        d_gates[2 * d + at] = d_h[at] * bent * o * (1.0 - o);
        d_gates[3 * d + at] = d_m * i * (1.0 - n * n);
        if let Some(before) = before {
            d_cell[before + at] += d_m * f;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::network::tests::check;
    use super::*;

    #[test]
    fn the_gradients_of_both_memories_agree_with_finite_differences() {
        for memory in [Memory::Gru, Memory::Lstm] {
            check(|| Box::new(Recurrent::new(memory, 6, 2)), 6);
        }
    }
}

//! One matrix of the network, there and back: `y = x W^T + b`, in the numbers that were asked for, with the products of low rank
//! beside it. Gradients of parameters are always made in f32.

use super::places::{DenseAt, LowAt, Places};
use lingxi_kernels::{Layout, Packed, Part, Precision, Rows, Target, axpy, product_here};

/// A matrix packed for both ways.
pub(crate) struct Dense {
    there: Packed,
    back: Packed,
}

/// Buffers that one call leaves to the next.
#[derive(Default)]
pub(crate) struct Hands {
    rows: Rows,
    thin: Vec<f32>,
    d_thin: Vec<f32>,
}

impl Dense {
    pub fn new(at: &DenseAt, theta: &[f32], precision: Precision) -> Dense {
        let w = &theta[at.weight.clone()];
        let mut turned = vec![0.0; w.len()];
        // Tiles that fit the nearest cache, both ways.
        for rows in (0..at.n).step_by(16) {
            for columns in (0..at.k).step_by(16) {
                for row in rows..(rows + 16).min(at.n) {
                    for column in columns..(columns + 16).min(at.k) {
                        turned[column * at.n + row] = w[row * at.k + column];
                    }
                }
            }
        }
        Dense { there: Packed::new(w, at.n, at.k, precision), back: Packed::new(&turned, at.k, at.n, precision) }
    }

    /// What the way forward takes in memory.
    pub fn bytes(&self) -> usize {
        self.there.bytes()
    }

    /// `y[m,n]`.
    pub fn forward(&self, at: &DenseAt, theta: &[f32], x: &[f32], y: &mut Vec<f32>, hands: &mut Hands) {
        y.resize(x.len() / at.k * at.n, 0.0);
        hands.rows.fill(x, at.k, self.there.precision());
        self.there.product(&hands.rows, &theta[at.bias.clone()], false, Target::Store(y));
        for low in &at.low {
            low.thin(theta, x, at.k, &mut hands.thin);
            let (m, b) = (x.len() / at.k, Part { data: &theta[low.b.clone()], stride: low.n });
            let thin = Part { data: &hands.thin, stride: low.rank };
            product_here(Layout::Nn, thin, b, &mut y[low.column..], at.n, [m, low.n, low.rank], true);
        }
    }

    /// Adds to the gradients `g` of what is trained, and writes `d_x[m,k]`, or adds to it, unless nobody asks.
    pub fn backward(
        &self,
        (at, places, theta): (&DenseAt, &Places, &[f32]),
        x: &[f32],
        d_y: &[f32],
        d_x: Option<(&mut [f32], bool)>,
        g: &mut [f32],
        hands: &mut Hands,
    ) {
        let m = d_y.len() / at.n;
        let (rows, d) = (Part { data: x, stride: at.k }, Part { data: d_y, stride: at.n });
        if let Some(slot) = places.slot(&at.weight) {
            product_here(Layout::Tn, d, rows, &mut g[slot], at.k, [at.n, at.k, m], true);
        }
        if let Some(slot) = places.slot(&at.bias) {
            let g = &mut g[slot];
            d_y.chunks_exact(at.n).for_each(|row| axpy(1.0, row, g));
        }
        for low in at.low.iter().filter(|_| m > 0) {
            low.thin(theta, x, at.k, &mut hands.thin);
            low.gradient((at, places, theta), x, d_y, g, hands);
        }
        let Some((d_x, add)) = d_x else { return };
        hands.rows.fill(d_y, at.n, self.back.precision());
        let target = if add { Target::Add(&mut *d_x) } else { Target::Store(&mut *d_x) };
        self.back.product(&hands.rows, &[], false, target);
        at.low.iter().for_each(|low| low.back((at, theta), d_y, d_x, hands));
    }
}

impl LowAt {
    /// `thin[m,r] = scale x A`.
    fn thin(&self, theta: &[f32], x: &[f32], k: usize, thin: &mut Vec<f32>) {
        let m = x.len() / k;
        thin.resize(m * self.rank, 0.0);
        let a = Part { data: &theta[self.a.clone()], stride: self.rank };
        product_here(Layout::Nn, Part { data: x, stride: k }, a, thin, self.rank, [m, self.rank, k], false);
        thin.iter_mut().for_each(|x| *x *= self.scale);
    }

    /// `d_thin[m,r] = scale d_y B^T`.
    fn d_thin(&self, theta: &[f32], d_y: &[f32], wide: usize, d_thin: &mut Vec<f32>) {
        let m = d_y.len() / wide;
        d_thin.resize(m * self.rank, 0.0);
        let (d, b) =
            (Part { data: &d_y[self.column..], stride: wide }, Part { data: &theta[self.b.clone()], stride: self.n });
        product_here(Layout::Nt, d, b, d_thin, self.rank, [m, self.rank, self.n], false);
        d_thin.iter_mut().for_each(|x| *x *= self.scale);
    }

    /// With [`LowAt::thin`] in hand.
    fn gradient(
        &self,
        (at, places, theta): (&DenseAt, &Places, &[f32]),
        x: &[f32],
        d_y: &[f32],
        g: &mut [f32],
        hands: &mut Hands,
    ) {
        let m = d_y.len() / at.n;
        let d = Part { data: &d_y[self.column..], stride: at.n };
        if let Some(slot) = places.slot(&self.b) {
            let thin = Part { data: &hands.thin, stride: self.rank };
            product_here(Layout::Tn, thin, d, &mut g[slot], self.n, [self.rank, self.n, m], true);
        }
        if let Some(slot) = places.slot(&self.a) {
            self.d_thin(theta, d_y, at.n, &mut hands.d_thin);
            let (x, d) = (Part { data: x, stride: at.k }, Part { data: &hands.d_thin, stride: self.rank });
            product_here(Layout::Tn, x, d, &mut g[slot], self.rank, [at.k, self.rank, m], true);
        }
    }

    /// `d_x += scale d_y B^T A^T`.
    fn back(&self, (at, theta): (&DenseAt, &[f32]), d_y: &[f32], d_x: &mut [f32], hands: &mut Hands) {
        let m = d_y.len() / at.n;
        if m == 0 {
            return;
        }
        self.d_thin(theta, d_y, at.n, &mut hands.d_thin);
        let d = Part { data: &hands.d_thin, stride: self.rank };
        let a = Part { data: &theta[self.a.clone()], stride: self.rank };
        product_here(Layout::Nt, d, a, d_x, at.k, [m, at.k, self.rank], true);
    }
}

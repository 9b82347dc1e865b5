//! Convolution over past events as products: each row with rows before it side by side, and the way back.

/// Row `t` of `out [tokens, taps d]` becomes the rows `t - taps[0]`, `t - taps[1]` .. of its sequence; zeros before it begins.
pub(crate) fn patches(x: &[f32], d: usize, offsets: &[usize], taps: &[usize], out: &mut Vec<f32>) {
    out.clear();
    out.resize(x.len() * taps.len(), 0.0);
    each(d, offsets, taps, |from, to| out[to..to + d].copy_from_slice(&x[from..from + d]));
}

/// Adds the gradients of [`patches`] to those of the rows.
pub(crate) fn patches_back(d_patches: &[f32], d: usize, offsets: &[usize], taps: &[usize], dx: &mut [f32]) {
    each(d, offsets, taps, |to, from| lingxi_kernels::axpy(1.0, &d_patches[from..from + d], &mut dx[to..to + d]));
}

/// Calls with the place of every row that is there, and its place in the patches.
fn each(d: usize, offsets: &[usize], taps: &[usize], mut call: impl FnMut(usize, usize)) {
    for window in offsets.windows(2) {
        for row in window[0]..window[1] {
            for (at, tap) in taps.iter().enumerate().filter(|(_, tap)| row >= window[0] + **tap) {
                call((row - tap) * d, (row * taps.len() + at) * d);
            }
        }
    }
}

/// Numbers below zero become zero.
pub(crate) fn rectify(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = x.max(0.0));
}

/// The way back of [`rectify`], from what went out.
pub(crate) fn rectify_back(y: &[f32], d: &mut [f32]) {
    d.iter_mut().zip(y).for_each(|(d, y)| *d = if *y > 0.0 { *d } else { 0.0 });
}

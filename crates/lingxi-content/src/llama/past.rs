//! Keys and values of the tokens that were read, so that a text is read once and continued many times.

/// What a network keeps of a text.
#[derive(Clone)]
pub struct Past {
    len: usize,
    groups: usize,
    d: usize,
    /// `[layers, groups]`, each `[len, d]`.
    keys: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
}

/// Keys and values of one layer, `[groups]`, each `[len, d]`.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    pub(super) keys: &'a [Vec<f32>],
    pub(super) values: &'a [Vec<f32>],
}

impl Past {
    pub(super) fn new(layers: usize, groups: usize, d: usize) -> Past {
        let empty = vec![Vec::new(); layers * groups];
        Past { len: 0, groups, d, keys: empty.clone(), values: empty }
    }

    /// Tokens that were read.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets all but the first `len` tokens.
    pub fn cut(&mut self, len: usize) {
        self.len = self.len.min(len);
        let most = self.len * self.d;
        self.keys.iter_mut().chain(&mut self.values).for_each(|kept| kept.truncate(most));
    }

    pub(super) fn layer(&self, layer: usize) -> Kept<'_> {
        let at = layer * self.groups..(layer + 1) * self.groups;
        Kept { keys: &self.keys[at.clone()], values: &self.values[at] }
    }

    /// Adds the keys and values of `qkv[T, (heads + 2 groups) d]` to a layer.
    pub(super) fn keep(&mut self, layer: usize, qkv: &[f32], heads: usize) {
        let (groups, d) = (self.groups, self.d);
        for token in qkv.chunks_exact((heads + 2 * groups) * d) {
            let (keys, values) = token[heads * d..].split_at(groups * d);
            for group in 0..groups {
                self.keys[layer * groups + group].extend(&keys[group * d..(group + 1) * d]);
                self.values[layer * groups + group].extend(&values[group * d..(group + 1) * d]);
            }
        }
    }

    /// All layers have so many tokens more.
    pub(super) fn grow(&mut self, tokens: usize) {
        self.len += tokens;
    }
}

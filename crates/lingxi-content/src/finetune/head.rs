//! What is learned of a text's vector: its class, a number, or which other text it belongs to.
//!
//! Vectors `z [texts,h]` come in, the loss and its gradients go out. Classes and numbers have a layer `z W' + b` of their own;
//! pairs are compared by their cosine and have no parameters.

use super::next;
use lingxi_kernels::{axpy, dot, log_sum_exp, matmul_nn, matmul_nt, matmul_tn_add, softmax_rows};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Head {
    /// Cross-entropy of a class.
    Classification {
        /// Share of the target that is spread over all classes.
        #[serde(default)]
        smoothing: f32,
        /// Vectors are brought to this length before the layer, which then begins with the mean vector of each class: what the
        /// encoder knew before stays in use. Default none: vectors as they are, and a layer of zeros.
        #[serde(default)]
        scale: Option<f32>,
    },
    /// Squared error of a number.
    Regression,
    /// `-log softmax(cos / temperature)` of the right text among those of the batch and the hard ones (van den Oord et al. 2018,
    /// arXiv 1807.03748).
    InfoNce {
        /// Default .05.
        #[serde(default = "temperature")]
        temperature: f32,
    },
    /// For each text of a group the mean over its companions of `-log softmax(cos / temperature)` among all other texts of the
    /// batch (Khosla et al. 2020, arXiv 2004.11362, equation 2).
    Companions {
        /// Default .05.
        #[serde(default = "temperature")]
        temperature: f32,
    },
    /// What a shopper took next: `-log softmax(q . z / temperature)` of its text among those of all rivals but the past ones, where `q` is
    /// the weighed mean of the past texts' unit vectors. All rivals are asked every time, so what is taken often needs no correction.
    Next {
        /// Default .05.
        #[serde(default = "temperature")]
        temperature: f32,
    },
    /// `softplus((cos(left, worse) - cos(left, right) + margin) / temperature)` over the hard texts of each pair (RankNet, Burges
    /// et al. 2005, with a margin).
    Pairwise {
        /// Default .1.
        #[serde(default = "margin")]
        margin: f32,
        /// Default .05.
        #[serde(default = "temperature")]
        temperature: f32,
    },
}

fn temperature() -> f32 {
    0.05
}

fn margin() -> f32 {
    0.1
}

/// What is known of the texts.
#[derive(Clone, Debug)]
pub enum Task {
    /// Text `i` is of class `labels[i]` of `classes`.
    Classes {
        /// One a text.
        labels: Vec<u32>,
        /// How many there are.
        classes: usize,
        /// What a teacher says, if there is one.
        teacher: Option<Teacher>,
    },
    /// Text `i` has the number `targets[i]`.
    Values {
        /// One a text.
        targets: Vec<f32>,
    },
    /// Texts that belong together, two by two.
    Pairs(Vec<Pair>),
    /// Texts that belong together, each group at least two: what one shopper took.
    Groups(Vec<Vec<u32>>),
    /// What was taken next, among others.
    Visits {
        /// Numbers of texts, ascending; all that visits name are among them.
        rivals: Vec<u32>,
        /// One an example.
        visits: Vec<Visit>,
    },
}

/// What a shopper had taken, and what came next.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// Numbers of texts and their weights, which sum to one.
    pub past: Vec<(u32, f32)>,
    /// A text's number, none of the past.
    pub next: u32,
}

/// Two texts that belong together, and others that do not belong to the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// A text's number.
    pub left: u32,
    /// A text's number.
    pub right: u32,
    /// Numbers of texts.
    pub worse: Vec<u32>,
}

/// Knowledge distilled from a larger model (Hinton et al. 2015, arXiv 1503.02531).
#[derive(Clone, Debug)]
pub struct Teacher {
    /// Its scores before softmax, `[texts,classes]`.
    pub logits: Vec<f32>,
    /// Both sides are divided by it.
    pub temperature: f32,
    /// Share of its loss; the labels have the rest.
    pub share: f32,
}

/// A loss and its gradients.
pub(crate) struct Slopes {
    pub loss: f64,
    pub z: Vec<f32>,
    pub head: Vec<f32>,
}

impl Task {
    /// Number of examples.
    pub fn len(&self) -> usize {
        match self {
            Task::Classes { labels, .. } => labels.len(),
            Task::Values { targets } => targets.len(),
            Task::Pairs(pairs) => pairs.len(),
            Task::Groups(groups) => groups.len(),
            Task::Visits { visits, .. } => visits.len(),
        }
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers that the head's layer gives for a text.
    pub fn outputs(&self) -> usize {
        match self {
            Task::Classes { classes, .. } => *classes,
            Task::Values { .. } => 1,
            Task::Pairs(_) | Task::Groups(_) | Task::Visits { .. } => 0,
        }
    }

    /// The largest number of a text.
    pub fn most(&self) -> Option<u32> {
        match self {
            Task::Pairs(pairs) => pairs.iter().flat_map(|p| p.worse.iter().chain([&p.left, &p.right])).max().copied(),
            Task::Groups(groups) => groups.iter().flatten().max().copied(),
            Task::Visits { rivals, .. } => rivals.last().copied(),
            Task::Classes { .. } | Task::Values { .. } => (self.len() as u32).checked_sub(1),
        }
    }

    /// The texts that a batch needs. Of classes and numbers each in all its views: all first views, then all second ones; of groups
    /// each once, by number; of visits all rivals.
    pub(crate) fn texts(&self, batch: &[u32], views: usize) -> Vec<u32> {
        match self {
            Task::Pairs(pairs) => {
                let of = |get: fn(&Pair) -> &[u32]| batch.iter().flat_map(move |i| get(&pairs[*i as usize]));
                let left = of(|pair| std::slice::from_ref(&pair.left));
                left.chain(of(|pair| std::slice::from_ref(&pair.right)))
                    .chain(of(|pair| &pair.worse))
                    .copied()
                    .collect()
            }
            Task::Groups(groups) => texts_of(groups, batch),
            Task::Visits { rivals, .. } => rivals.clone(),
            Task::Classes { .. } | Task::Values { .. } => batch.repeat(views),
        }
    }
}

/// How strongly two views of a text are held to agree, and how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Views {
    pub count: usize,
    pub agreement: f32,
}

impl Head {
    /// The loss of a batch: `z` are the vectors of [`Task::texts`], `w` the layer `[outputs,h]` and its bias.
    pub(crate) fn learn(self, task: &Task, batch: &[u32], views: Views, z: &[f32], h: usize, w: &[f32]) -> Slopes {
        match (self, task) {
            (Head::Classification { smoothing, scale }, Task::Classes { labels, classes, teacher }) => {
                let (rows, lengths) = scale.map_or_else(|| (z.to_vec(), vec![]), |scale| scaled(z, h, scale));
                let z = &rows;
                let labels: Vec<u32> = batch.repeat(views.count).iter().map(|i| labels[*i as usize]).collect();
                let mut y = outputs(z, h, w, *classes);
                let soft = teacher.as_ref().map(|teacher| soft_targets(teacher, batch, views.count, *classes));
                let alone = soft.is_some() as u8 as f32 * teacher.as_ref().map_or(0.0, |t| t.share);
                let (mut loss, mut d) = cross_entropy(&y, &labels, *classes, smoothing);
                if let (Some(soft), Some(teacher)) = (soft, teacher) {
                    let (more, slopes) = distil(&y, &soft, *classes, teacher.temperature);
                    loss = (1.0 - f64::from(alone)) * loss + f64::from(alone) * more;
                    d.iter_mut().zip(slopes).for_each(|(d, s)| *d = (1.0 - alone) * *d + alone * s);
                }
                if views.count == 2 && views.agreement > 0.0 {
                    loss += agree(&mut y, *classes, views.agreement, &mut d);
                }
                let mut slopes = back(loss, d, z, h, w, *classes);
                if let Some(scale) = scale {
                    scaled_back(&mut slopes.z, z, &lengths, h, scale);
                }
                slopes
            }
            (Head::Regression, Task::Values { targets }) => {
                let y = outputs(z, h, w, 1);
                let targets = batch.repeat(views.count).into_iter().map(|i| targets[i as usize]);
                let far: Vec<f32> = y.iter().zip(targets).map(|(y, t)| y - t).collect();
                let n = far.len() as f32;
                let loss = far.iter().map(|x| f64::from(x * x)).sum::<f64>() / f64::from(n);
                back(loss, far.iter().map(|x| 2.0 * x / n).collect(), z, h, w, 1)
            }
            (Head::InfoNce { temperature }, Task::Pairs(pairs)) => info_nce(pairs, batch, z, h, temperature),
            (Head::Companions { temperature }, Task::Groups(groups)) => companions(groups, batch, z, h, temperature),
            (Head::Next { temperature }, Task::Visits { rivals, visits }) => {
                let batch = batch.iter().map(|at| &visits[*at as usize]).collect();
                next::learn(&next::Asked { rivals, batch }, z, h, temperature)
            }
            (Head::Pairwise { margin, temperature }, Task::Pairs(pairs)) => {
                pairwise(pairs, batch, z, h, margin, temperature)
            }
            _ => unreachable!("heads and tasks are matched when a tutor is made"),
        }
    }

    /// What the layer says of text vectors: `[texts, outputs]`.
    pub(crate) fn answer(self, z: &[f32], h: usize, w: &[f32], n: usize) -> Vec<f32> {
        match self {
            Head::Classification { scale: Some(scale), .. } => outputs(&scaled(z, h, scale).0, h, w, n),
            _ => outputs(z, h, w, n),
        }
    }

    /// Whether this loss can be learned from these examples.
    pub(crate) fn fits(self, task: &Task) -> bool {
        match self {
            Head::Classification { .. } => matches!(task, Task::Classes { .. }),
            Head::Regression => matches!(task, Task::Values { .. }),
            Head::InfoNce { .. } | Head::Pairwise { .. } => matches!(task, Task::Pairs(_)),
            Head::Companions { .. } => matches!(task, Task::Groups(_)),
            Head::Next { .. } => matches!(task, Task::Visits { .. }),
        }
    }
}

/// Rows brought to a length, and what each was.
fn scaled(z: &[f32], h: usize, scale: f32) -> (Vec<f32>, Vec<f32>) {
    let (mut rows, lengths) = unit(z, h);
    rows.iter_mut().for_each(|x| *x *= scale);
    (rows, lengths)
}

/// From the gradient of rows at a length to that of the rows before.
fn scaled_back(d: &mut [f32], rows: &[f32], lengths: &[f32], h: usize, scale: f32) {
    let rows: Vec<f32> = rows.iter().map(|x| x / scale).collect();
    d.iter_mut().for_each(|d| *d *= scale);
    unit_back(d, &rows, lengths, h);
}

/// The layer that a scaled head begins with: the mean of each class's unit vectors, brought to length 1; no bias.
pub(crate) fn centres(z: &[f32], h: usize, labels: &[u32], classes: usize) -> Vec<f32> {
    let (rows, _) = unit(z, h);
    let mut sums = vec![0.0; classes * h];
    rows.chunks_exact(h).zip(labels).for_each(|(row, label)| axpy(1.0, row, &mut sums[*label as usize * h..][..h]));
    let mut layer = unit(&sums, h).0;
    layer.resize(classes * (h + 1), 0.0);
    layer
}

/// `z W' + b`, `[texts, outputs]`.
pub(crate) fn outputs(z: &[f32], h: usize, w: &[f32], outputs: usize) -> Vec<f32> {
    let mut y = vec![0.0; z.len() / h * outputs];
    let (matrix, bias) = w.split_at(outputs * h);
    matmul_nt(z, matrix, &mut y, z.len() / h, outputs, h);
    y.chunks_exact_mut(outputs).for_each(|row| axpy(1.0, bias, row));
    y
}

fn back(loss: f64, d: Vec<f32>, z: &[f32], h: usize, w: &[f32], outputs: usize) -> Slopes {
    let m = z.len() / h;
    let (mut dz, mut head) = (vec![0.0; z.len()], vec![0.0; w.len()]);
    matmul_nn(&d, &w[..outputs * h], &mut dz, m, h, outputs);
    let (matrix, bias) = head.split_at_mut(outputs * h);
    matmul_tn_add(&d, z, matrix, outputs, h, m);
    d.chunks_exact(outputs).for_each(|row| axpy(1.0, row, bias));
    Slopes { loss, z: dz, head }
}

/// The mean loss of scores `y`, and its gradient.
fn cross_entropy(y: &[f32], labels: &[u32], classes: usize, smoothing: f32) -> (f64, Vec<f32>) {
    let (n, spread) = (labels.len() as f32, smoothing / classes as f32);
    let mut d = y.to_vec();
    softmax_rows(&mut d, classes);
    let mut loss = 0.0;
    for ((y, d), label) in y.chunks_exact(classes).zip(d.chunks_exact_mut(classes)).zip(labels) {
        let (whole, label) = (log_sum_exp(y), *label as usize);
        let mean = y.iter().sum::<f32>() / classes as f32;
        loss += f64::from(whole - (1.0 - smoothing) * y[label] - smoothing * mean);
        d.iter_mut().for_each(|d| *d -= spread);
        d[label] -= 1.0 - smoothing;
        d.iter_mut().for_each(|d| *d /= n);
    }
    (loss / f64::from(n), d)
}

/// What the teacher says of each text, as shares.
fn soft_targets(teacher: &Teacher, batch: &[u32], views: usize, classes: usize) -> Vec<f32> {
    let rows = batch.repeat(views);
    let logits = rows.iter().flat_map(|i| &teacher.logits[*i as usize * classes..][..classes]);
    let mut soft: Vec<f32> = logits.map(|x| x / teacher.temperature).collect();
    softmax_rows(&mut soft, classes);
    soft
}

/// Cross-entropy with shares at a temperature, times its square, so that gradients keep their size.
fn distil(y: &[f32], soft: &[f32], classes: usize, temperature: f32) -> (f64, Vec<f32>) {
    let n = (y.len() / classes) as f32;
    let warm: Vec<f32> = y.iter().map(|y| y / temperature).collect();
    let mut d = warm.clone();
    softmax_rows(&mut d, classes);
    let mut loss = 0.0;
    for (warm, soft) in warm.chunks_exact(classes).zip(soft.chunks_exact(classes)) {
        loss += f64::from(temperature * temperature * (log_sum_exp(warm) - dot(warm, soft)));
    }
    d.iter_mut().zip(soft).for_each(|(d, s)| *d = (*d - s) * temperature / n);
    (loss / f64::from(n), d)
}

/// Half the sum of both divergences between two views (R-Drop, Liang et al. 2021, arXiv 2106.14448), its gradient added to `d`.
fn agree(y: &mut [f32], classes: usize, weight: f32, d: &mut [f32]) -> f64 {
    softmax_rows(y, classes);
    let half = y.len() / 2;
    let (n, (p, q), (d_p, d_q)) = ((half / classes) as f32, y.split_at(half), d.split_at_mut(half));
    let mut loss = 0.0;
    let rows = p.chunks_exact(classes).zip(q.chunks_exact(classes));
    for ((p, q), (d_p, d_q)) in rows.zip(d_p.chunks_exact_mut(classes).zip(d_q.chunks_exact_mut(classes))) {
        let apart: Vec<f32> = p.iter().zip(q).map(|(p, q)| (p.max(1e-12) / q.max(1e-12)).ln()).collect();
        let (along_p, along_q) = (dot(p, &apart), -dot(q, &apart));
        loss += f64::from(weight * (along_p + along_q)) / 2.0;
        for (((d_p, d_q), (p, q)), apart) in d_p.iter_mut().zip(d_q).zip(p.iter().zip(q)).zip(&apart) {
            // Of KL(p|q): p (ln p/q - KL) for p's scores and q - p for q's; of KL(q|p) the other way round.
            *d_p += weight / 2.0 / n * (p * (apart - along_p) + p - q);
            *d_q += weight / 2.0 / n * (q * (-apart - along_q) + q - p);
        }
    }
    loss / f64::from(n)
}

/// Rows brought to length 1, and what each was divided by.
pub(super) fn unit(z: &[f32], h: usize) -> (Vec<f32>, Vec<f32>) {
    let lengths: Vec<f32> = z.chunks_exact(h).map(|row| dot(row, row).sqrt().max(1e-12)).collect();
    let rows = z.chunks_exact(h).zip(&lengths).flat_map(|(row, length)| row.iter().map(move |x| x / length)).collect();
    (rows, lengths)
}

/// From the gradient of unit rows to that of the rows.
pub(super) fn unit_back(d: &mut [f32], rows: &[f32], lengths: &[f32], h: usize) {
    for ((d, row), length) in d.chunks_exact_mut(h).zip(rows.chunks_exact(h)).zip(lengths) {
        let along = dot(d, row);
        d.iter_mut().zip(row).for_each(|(d, x)| *d = (*d - along * x) / length);
    }
}

/// Each left text among all right and worse texts of the batch; a text that is its own or its partner's twin is no rival.
fn info_nce(pairs: &[Pair], batch: &[u32], z: &[f32], h: usize, temperature: f32) -> Slopes {
    let n = batch.len();
    let pair = |i: usize| &pairs[batch[i] as usize];
    let others: Vec<u32> = (0..n).map(|i| pair(i).right).chain((0..n).flat_map(|i| pair(i).worse.clone())).collect();
    let (rows, lengths) = unit(z, h);
    let (left, right) = rows.split_at(n * h);
    let mut scores = vec![0.0; n * others.len()];
    matmul_nt(left, right, &mut scores, n, others.len(), h);
    let mut loss = 0.0;
    for (i, scores) in scores.chunks_exact_mut(others.len()).enumerate() {
        scores.iter_mut().for_each(|s| *s /= temperature);
        for (j, score) in scores.iter_mut().enumerate() {
            if j != i && (others[j] == pair(i).right || others[j] == pair(i).left) {
                *score = f32::NEG_INFINITY;
            }
        }
        loss += f64::from(log_sum_exp(scores) - scores[i]) / n as f64;
    }
    softmax_rows(&mut scores, others.len());
    for (i, scores) in scores.chunks_exact_mut(others.len()).enumerate() {
        scores[i] -= 1.0;
        scores.iter_mut().for_each(|s| *s /= n as f32 * temperature);
    }
    let mut d = vec![0.0; z.len()];
    let (d_left, d_right) = d.split_at_mut(n * h);
    matmul_nn(&scores, right, d_left, n, h, others.len());
    matmul_tn_add(&scores, left, d_right, others.len(), h, n);
    unit_back(&mut d, &rows, &lengths, h);
    Slopes { loss, z: d, head: vec![] }
}

/// Each text of some groups once, by number.
fn texts_of(groups: &[Vec<u32>], batch: &[u32]) -> Vec<u32> {
    let all: BTreeSet<u32> = batch.iter().flat_map(|i| &groups[*i as usize]).copied().collect();
    all.into_iter().collect()
}

/// Each text among all others of the batch; a text may be in several groups, whose members are all its companions.
fn companions(groups: &[Vec<u32>], batch: &[u32], z: &[f32], h: usize, temperature: f32) -> Slopes {
    let texts = texts_of(groups, batch);
    let n = texts.len();
    let place = |text: &u32| texts.binary_search(text).expect("a group's texts are those of its batch");
    let mut together = vec![false; n * n];
    for group in batch.iter().map(|i| &groups[*i as usize]) {
        for (a, b) in group.iter().flat_map(|a| group.iter().map(move |b| (a, b))).filter(|(a, b)| a != b) {
            together[place(a) * n + place(b)] = true;
        }
    }
    let (rows, lengths) = unit(z, h);
    let mut scores = vec![0.0; n * n];
    matmul_nt(&rows, &rows, &mut scores, n, n, h);
    let mut loss = 0.0;
    for (i, (scores, together)) in scores.chunks_exact_mut(n).zip(together.chunks_exact(n)).enumerate() {
        scores.iter_mut().for_each(|s| *s /= temperature);
        scores[i] = f32::NEG_INFINITY;
        let friends = together.iter().filter(|x| **x).count();
        if friends == 0 {
            scores.fill(0.0);
            continue;
        }
        let share = 1.0 / friends as f32;
        let whole = log_sum_exp(scores);
        loss += together
            .iter()
            .zip(&*scores)
            .filter(|(x, _)| **x)
            .map(|(_, s)| f64::from(share * (whole - s)))
            .sum::<f64>();
        for (s, together) in scores.iter_mut().zip(together) {
            let taken = if *together { share } else { 0.0 };
            *s = ((*s - whole).exp() - taken) / (n as f32 * temperature);
        }
    }
    let mut d = vec![0.0; z.len()];
    // A score has two texts: the one that looks and the one that is seen.
    matmul_nn(&scores, &rows, &mut d, n, h, n);
    matmul_tn_add(&scores, &rows, &mut d, n, h, n);
    unit_back(&mut d, &rows, &lengths, h);
    Slopes { loss: loss / n as f64, z: d, head: vec![] }
}

/// Each pair against its own worse texts.
fn pairwise(pairs: &[Pair], batch: &[u32], z: &[f32], h: usize, margin: f32, temperature: f32) -> Slopes {
    let n = batch.len();
    let (rows, lengths) = unit(z, h);
    let row = |i: usize| &rows[i * h..(i + 1) * h];
    let (mut d, mut loss, mut worse) = (vec![0.0; z.len()], 0.0, 2 * n);
    let count = batch.iter().map(|i| pairs[*i as usize].worse.len()).sum::<usize>().max(1) as f32;
    for (i, at) in batch.iter().enumerate() {
        for _ in &pairs[*at as usize].worse {
            let x = (dot(row(i), row(worse)) - dot(row(i), row(n + i)) + margin) / temperature;
            loss += f64::from(x.max(0.0) + (-x.abs()).exp().ln_1p()) / f64::from(count);
            let slope = 1.0 / (1.0 + (-x).exp()) / temperature / count;
            for at in 0..h {
                d[i * h + at] += slope * (rows[worse * h + at] - rows[(n + i) * h + at]);
                d[(n + i) * h + at] -= slope * rows[i * h + at];
                d[worse * h + at] += slope * rows[i * h + at];
            }
            worse += 1;
        }
    }
    unit_back(&mut d, &rows, &lengths, h);
    Slopes { loss, z: d, head: vec![] }
}

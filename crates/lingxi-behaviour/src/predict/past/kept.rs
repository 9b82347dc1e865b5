//! What is known of the past as plain columns in a file, and back.

use super::Past;
use crate::error::{Result, same_length};
use crate::predict::goods::Goods;
use lingxi_data::artefact::{Reader, Writer};

/// Length of a vector, and names of further columns.
pub(crate) type Shape = (usize, Vec<String>);

/// All that a [`Past`] is, in plain columns.
pub(crate) struct Columns {
    shape: Shape,
    earned: Vec<f32>,
    times: Vec<i64>,
    pairs: Vec<u32>,
    counts: Vec<f32>,
    vectors: Vec<f32>,
    numbers: Vec<f32>,
}

impl Columns {
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub fn write<'a>(&'a self, writer: Writer<'a>) -> Writer<'a> {
        writer
            .column("earned", &[self.earned.len()], &self.earned)
            .column("times", &[self.times.len()], &self.times)
            .column("pairs", &[self.pairs.len()], &self.pairs)
            .column("counts", &[self.counts.len()], &self.counts)
            .column("vectors", &[self.vectors.len()], &self.vectors)
            .column("numbers", &[self.numbers.len()], &self.numbers)
    }
}

impl Past {
    /// As plain columns, to be kept.
    pub(crate) fn to_columns(&self) -> Columns {
        let mut earned = Vec::with_capacity(self.earned.len() * 6);
        let mut times = Vec::with_capacity(self.earned.len() * 4);
        for of in &self.earned {
            earned.extend(of.count.iter().chain(&of.lately));
            times.extend(of.last.iter().chain([&of.first]).map(|at| at.unwrap_or(i64::MIN)));
        }
        let mut pairs: Vec<((u32, u32), f32)> = self.pairs.iter().map(|(key, n)| (*key, *n)).collect();
        pairs.sort_unstable_by_key(|(key, _)| *key);
        let names = self.goods.columns.iter().map(|(name, _)| name.clone()).collect();
        Columns {
            shape: (self.goods.dim, names),
            earned,
            times,
            pairs: pairs.iter().flat_map(|((a, b), _)| [*a, *b]).collect(),
            counts: pairs.iter().map(|(_, n)| *n).collect(),
            vectors: self.goods.vectors.to_vec(),
            numbers: self.goods.columns.iter().flat_map(|(_, column)| column.iter().copied()).collect(),
        }
    }

    /// What [`Past::to_columns`] gave.
    pub(crate) fn from_columns(file: &Reader, (dim, names): Shape) -> Result<Past> {
        let (earned, times): (Vec<f32>, Vec<i64>) = (file.column("earned")?, file.column("times")?);
        let (pairs, counts): (Vec<u32>, Vec<f32>) = (file.column("pairs")?, file.column("counts")?);
        let (vectors, numbers): (Vec<f32>, Vec<f32>) = (file.column("vectors")?, file.column("numbers")?);
        let n = earned.len() / 6;
        same_length("load predict: earnings", n * 6, earned.len())?;
        same_length("load predict: times", n * 4, times.len())?;
        same_length("load predict: pairs", counts.len() * 2, pairs.len())?;
        same_length("load predict: numbers", n * names.len(), numbers.len())?;
        let columns = names.into_iter().zip(numbers.chunks(n.max(1)).map(<[f32]>::to_vec)).collect();
        let mut past = Past::new(n, Goods { dim, vectors: vectors.into(), columns })?;
        let some = |at: i64| (at > i64::MIN).then_some(at);
        for ((of, earned), times) in past.earned.iter_mut().zip(earned.chunks_exact(6)).zip(times.chunks_exact(4)) {
            of.count.copy_from_slice(&earned[..3]);
            of.lately.copy_from_slice(&earned[3..]);
            of.last = std::array::from_fn(|at| some(times[at]));
            of.first = some(times[3]);
        }
        past.pairs = pairs.chunks_exact(2).zip(counts).map(|(pair, n)| ((pair[0], pair[1]), n)).collect();
        Ok(past)
    }
}

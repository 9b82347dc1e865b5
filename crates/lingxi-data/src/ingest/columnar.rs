//! Parquet in record batches, only the wanted columns. Whatever the column types, four are left after a vectorised
//! cast: whole numbers, numbers, times in seconds, text. One thread decodes while another takes the rows.

use super::lines::share;
use super::table::{Cell, Row, Visit, unreadable};
use crate::{DataError, InputError, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampSecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_cast::cast;
use arrow_cast::display::array_value_to_string;
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::borrow::Cow;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

const BATCH: usize = 8192;
/// Batches that wait for the thread that takes the rows.
const AHEAD: usize = 2;
const MAX_FIXED_BYTES: i32 = 1 << 16;

/// An opened Parquet file.
pub(crate) struct Columnar {
    path: PathBuf,
    names: Vec<String>,
    builder: ParquetRecordBatchReaderBuilder<File>,
}

impl Columnar {
    pub(crate) fn open(path: &Path) -> Result<Columnar> {
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let size = file.metadata().map_err(|e| unreadable(path, &e))?.len();
        let builder = guarded(path, || {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| e.to_string())?;
            believable(&builder, size).map(|()| builder)
        })?;
        let names = builder.schema().fields().iter().map(|f| f.name().clone()).collect();
        Ok(Columnar { path: path.into(), names, builder })
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn rows(self, wanted: &[usize], visit: &mut Visit<'_>) -> Result<()> {
        let total = u64::try_from(self.builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        // The reader gives columns in file order, whatever the order of asking.
        let mut order: Vec<usize> = wanted.to_vec();
        order.sort_unstable();
        order.dedup();
        let slots: Vec<usize> = wanted.iter().map(|w| order.partition_point(|o| o < w)).collect();
        let mask = ProjectionMask::roots(self.builder.parquet_schema(), order);
        let builder = self.builder.with_projection(mask).with_batch_size(BATCH);
        let reader = guarded(&self.path, || builder.build().map_err(|e| e.to_string()))?;
        let (decoded, batches) = sync_channel(AHEAD);
        std::thread::scope(|scope| {
            // If the rows are not taken to the end, the channel closes and the thread ends.
            scope.spawn(|| decode(&self.path, reader, decoded));
            let mut row = 0u64;
            for columns in batches {
                let columns: Vec<Typed> = columns.map_err(|e| after_row(e, row))?;
                let n = columns.first().map_or(0, Typed::len);
                let mut cells = Vec::with_capacity(slots.len());
                for i in 0..n {
                    row += 1;
                    cells.clear();
                    cells.extend(slots.iter().map(|&s| columns[s].cell(i)));
                    visit(Row { line: row, cells: Ok(&cells), done: share(row, total) })?;
                }
            }
            Ok(())
        })
    }
}

/// Sends batch after batch until the file ends, is found damaged, or nobody listens.
fn decode(path: &Path, mut reader: ParquetRecordBatchReader, to: SyncSender<Result<Vec<Typed>>>) {
    loop {
        let batch = guarded(path, || {
            reader.next().map(|batch| batch.map_err(|e| e.to_string()).and_then(|b| typed_columns(&b))).transpose()
        });
        let last = batch.is_err();
        let Some(batch) = batch.transpose() else { return };
        if to.send(batch).is_err() || last {
            return;
        }
    }
}

/// The reader reserves memory by what the footer says, so the footer must fit the file before it is believed.
pub(crate) fn believable(
    builder: &ParquetRecordBatchReaderBuilder<File>,
    size: u64,
) -> std::result::Result<(), String> {
    for column in builder.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        let (start, length) = column.byte_range();
        if start.checked_add(length).is_none_or(|end| end > size) {
            return Err(format!("column {} at byte {start} of {size}", column.column_path().string()));
        }
    }
    let wide = builder.parquet_schema().columns().iter().find(|column| column.type_length() > MAX_FIXED_BYTES);
    wide.map_or(Ok(()), |column| Err(format!("column {} of {} bytes a value", column.name(), column.type_length())))
}

/// Says behind which row a file broke off.
fn after_row(error: DataError, row: u64) -> DataError {
    match error {
        DataError::Input(mut input) => {
            input.line = Some(row + 1);
            DataError::Input(input)
        }
        other => other,
    }
}

/// Runs a step of the Parquet reader. It may panic on a damaged file, which is the file's fault and so an error.
pub(crate) fn guarded<T>(path: &Path, step: impl FnOnce() -> std::result::Result<T, String>) -> Result<T> {
    let remedy = "the file is damaged or cut short: export or download it again";
    let fail = |got: String| InputError::new(path, "a sound Parquet file", got, remedy).into();
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => result.map_err(fail),
        Err(_) => Err(fail("damage that the Parquet reader did not survive".into())),
    }
}

/// A column after the cast.
enum Typed {
    Int(ArrayRef),
    Float(ArrayRef),
    Time(ArrayRef),
    Text(StringArray),
    Bytes(ArrayRef),
}

fn typed_columns(batch: &RecordBatch) -> std::result::Result<Vec<Typed>, String> {
    batch.columns().iter().map(typed).collect()
}

fn typed(array: &ArrayRef) -> std::result::Result<Typed, String> {
    use DataType as T;
    let to = |kind: T| cast(array, &kind).map_err(|e| e.to_string());
    Ok(match array.data_type() {
        T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::UInt8 | T::UInt16 | T::UInt32 => Typed::Int(to(T::Int64)?),
        T::Float16 | T::Float32 | T::Float64 | T::Decimal32(..) | T::Decimal64(..) | T::Decimal128(..) => {
            Typed::Float(to(T::Float64)?)
        }
        T::Timestamp(..) | T::Date32 | T::Date64 => Typed::Time(to(T::Timestamp(TimeUnit::Second, None))?),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => Typed::Bytes(to(T::Binary)?),
        T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Dictionary(..) | T::Boolean | T::UInt64 => {
            Typed::Text(to(T::Utf8)?.as_string::<i32>().clone())
        }
        T::List(_) | T::LargeList(_) => Typed::Text(joined_lists(array)?),
        other => {
            return Err(format!("a column of type {other}, which is neither number, text, time nor a list of them"));
        }
    })
}

/// Lists as text, joined by `, `.
fn joined_lists(array: &ArrayRef) -> std::result::Result<StringArray, String> {
    let joined = |i: usize| -> std::result::Result<Option<String>, String> {
        if array.is_null(i) {
            return Ok(None);
        }
        let values: Arc<dyn Array> = match array.data_type() {
            DataType::List(_) => array.as_list::<i32>().value(i),
            _ => array.as_list::<i64>().value(i),
        };
        let words: std::result::Result<Vec<String>, _> =
            (0..values.len()).map(|j| array_value_to_string(&values, j).map_err(|e| e.to_string())).collect();
        Ok(Some(words?.join(", ")))
    };
    let texts: std::result::Result<Vec<Option<String>>, String> = (0..array.len()).map(joined).collect();
    Ok(StringArray::from(texts?))
}

impl Typed {
    fn len(&self) -> usize {
        match self {
            Typed::Int(a) | Typed::Float(a) | Typed::Time(a) | Typed::Bytes(a) => a.len(),
            Typed::Text(a) => a.len(),
        }
    }

    fn cell(&self, i: usize) -> Cell<'_> {
        match self {
            Typed::Int(a) | Typed::Float(a) | Typed::Time(a) | Typed::Bytes(a) if a.is_null(i) => Cell::Missing,
            Typed::Text(a) if a.is_null(i) => Cell::Missing,
            Typed::Int(a) => Cell::Int(a.as_primitive::<Int64Type>().value(i)),
            Typed::Float(a) => match a.as_primitive::<Float64Type>().value(i) {
                x if x.is_nan() => Cell::Missing,
                x if x.is_infinite() => Cell::Text(Cow::Owned(x.to_string().into_bytes())),
                x => Cell::Float(x),
            },
            Typed::Time(a) => Cell::Seconds(a.as_primitive::<TimestampSecondType>().value(i)),
            Typed::Text(a) => Cell::of_bytes(a.value(i).as_bytes()),
            Typed::Bytes(a) => Cell::of_bytes(a.as_binary::<i32>().value(i)),
        }
    }
}

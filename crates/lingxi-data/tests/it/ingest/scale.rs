//! Ten million events in at most 1.5 GB, measured in a process of its own.

use super::read;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use parquet::arrow::ArrowWriter;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const ROWS: u64 = 10_000_000;
const PEAK_MB: u64 = 1536;

/// User, item and time of row `i`: a million shoppers, a hundred thousand items, spread without order.
fn row(i: u64) -> (u64, u64, u64) {
    let mixed = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed >> 20) % 1_000_000, (mixed >> 40) % 100_000, 1_500_000_000 + mixed % 31_536_000)
}

fn write_csv(path: &Path) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    writeln!(file, "user_id,item_id,timestamp,quantity").unwrap();
    for i in 0..ROWS {
        let (user, item, at) = row(i);
        writeln!(file, "user-{user:07},item-{item:06},{at},{}", i % 4 + 1).unwrap();
    }
    file.flush().unwrap();
}

fn write_parquet(path: &Path) {
    let batch = |from: u64, to: u64| {
        let column = |f: &dyn Fn(u64) -> i64| (from..to).map(f).collect::<Vec<i64>>();
        RecordBatch::try_from_iter([
            ("user_id", Arc::new(Int64Array::from(column(&|i| row(i).0 as i64))) as ArrayRef),
            ("item_id", Arc::new(StringArray::from_iter_values((from..to).map(|i| format!("item-{:06}", row(i).1))))),
            ("time", Arc::new(TimestampMillisecondArray::from(column(&|i| row(i).2 as i64 * 1000)))),
            ("quantity", Arc::new(Int64Array::from(column(&|i| i as i64 % 4 + 1)))),
        ])
        .unwrap()
    };
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch(0, 1).schema(), None).unwrap();
    for from in (0..ROWS).step_by(100_000) {
        writer.write(&batch(from, from + 100_000)).unwrap();
    }
    writer.close().unwrap();
}

/// Reads the file named by LINGXI_INGEST_FILE; the slow test starts this binary again to run only this.
#[test]
#[ignore = "is started by ten_million_events_fit_in_memory"]
fn in_a_process_of_its_own() {
    let path = std::env::var_os("LINGXI_INGEST_FILE").expect("started by the slow test");
    let path = Path::new(&path);
    let name = path.file_name().unwrap().to_str().unwrap();
    let start = std::time::Instant::now();
    let data = read(path.parent().unwrap(), &format!("[[events]]\npath='{name}'\nkind='buy'\n")).unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak =
        status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB").to_string();
    println!("RESULT {} {} {seconds:.1}", data.interactions.len(), peak.trim());
    println!("{}", data.report);
}

#[test]
fn ten_million_events_fit_in_memory() {
    if std::env::var_os("LINGXI_SLOW").is_none() {
        eprintln!("SKIPPED: set LINGXI_SLOW=1 to read ten million events");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (csv, parquet) = (dir.path().join("e.csv"), dir.path().join("e.parquet"));
    write_csv(&csv);
    write_parquet(&parquet);
    for path in [csv, parquet] {
        let out = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "ingest::scale::in_a_process_of_its_own", "--nocapture"])
            .env("LINGXI_INGEST_FILE", &path)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let at = text.find("RESULT ").unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&out.stderr)));
        let fields: Vec<&str> = text[at..].lines().next().unwrap().split(' ').collect();
        let (rows, peak_mb): (u64, u64) = (fields[1].parse().unwrap(), fields[2].parse::<u64>().unwrap() / 1024);
        println!("{}: {rows} rows kept, peak {peak_mb} MB, {} s", path.display(), fields[3]);
        assert!(rows > ROWS * 99 / 100, "{text}");
        assert!(peak_mb <= PEAK_MB, "peak {peak_mb} MB");
    }
}

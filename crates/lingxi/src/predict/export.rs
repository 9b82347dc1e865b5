//! Rows, answers, parts and probabilities as CSV, for other programs: what a peer needs to be measured on the same.

use super::Prepared;
use super::measure::Measured;
use crate::failure::UserError;
use anyhow::Result;
use std::path::Path;

/// Writes `rows.csv` into `folder`: `part` (train, valid, test), `shopper`, `came`, `ours_CANDIDATE` and `ours` (the chosen one; both
/// empty but on the test), then the features. Rows of no part and without an answer are left out.
///
/// # Errors
/// A folder that cannot be written.
pub fn export(folder: &Path, prepared: &Prepared, measured: &Measured) -> Result<()> {
    let failed = |why: String| {
        UserError::new(format!("cannot write {}", folder.display()), "name another folder with --export").because(why)
    };
    std::fs::create_dir_all(folder).map_err(|why| failed(why.to_string()))?;
    let mut out = csv::Writer::from_path(folder.join("rows.csv")).map_err(|why| failed(why.to_string()))?;
    let lessons = &prepared.lessons;
    let mut header: Vec<String> = ["part", "shopper", "came", "ours"].map(str::to_owned).to_vec();
    header.extend(measured.rows.iter().map(|row| format!("ours_{}", row.name)));
    header.extend(lessons.table.columns.iter().cloned());
    out.write_record(&header).map_err(|why| failed(why.to_string()))?;
    for (part, rows) in [("train", &lessons.train), ("valid", &lessons.valid), ("test", &prepared.test)] {
        let (rows, came) = lessons.answered(rows);
        for (at, (row, came)) in rows.iter().zip(came).enumerate() {
            let of =
                |probabilities: &Vec<f64>| if part == "test" { probabilities[at].to_string() } else { String::new() };
            let mut record =
                vec![part.to_owned(), prepared.shoppers[*row as usize].to_string(), u8::from(came).to_string()];
            record.push(of(&measured.foretold[measured.chosen]));
            record.extend(measured.foretold.iter().map(of));
            record.extend(lessons.table.row(*row as usize).iter().map(f32::to_string));
            out.write_record(&record).map_err(|why| failed(why.to_string()))?;
        }
    }
    Ok(out.flush().map_err(|why| failed(why.to_string()))?)
}

//! Curves for TensorBoard: named numbers of a step come in, records of its event file go out.
//!
//! A record is the length, its checksum, an `Event` message (wall time, step, and a summary of tag and value), and its checksum;
//! checksums are CRC-32C, turned and shifted so that a checksum of checksums differs (TensorFlow's TFRecord).

use crate::run_log::TrainError;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// An open event file.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins an event file in `folder`; `now`, in unix seconds, is part of its name, as TensorBoard wants.
    ///
    /// # Errors
    /// [`TrainError::RunLog`] with what the file system says.
    pub fn create(folder: &Path, now: f64) -> Result<EventFile, TrainError> {
        let path = folder.join(format!("events.out.tfevents.{:010}.{}.lingxi", now as u64, std::process::id()));
        let made = std::fs::create_dir_all(folder).and_then(|()| File::create(&path));
        let file = made.map_err(|why| TrainError::RunLog { path: path.clone(), why })?;
        let mut events = EventFile { path, file };
        let mut event = vec![0x09];
        event.extend(now.to_le_bytes());
        bytes_field(&mut event, 0x1a, b"brain.Event:2");
        events.record(&event)?;
        Ok(events)
    }

    /// Adds one step's numbers; those that are no number are left out.
    ///
    /// # Errors
    /// [`TrainError::RunLog`] with what the file system says.
    pub fn log(&mut self, now: f64, step: u64, values: &[(&str, f64)]) -> Result<(), TrainError> {
        let mut summary = Vec::new();
        for (tag, value) in values.iter().filter(|(_, value)| value.is_finite()) {
            let mut one = Vec::new();
            bytes_field(&mut one, 0x0a, tag.as_bytes());
            one.push(0x15);
            one.extend((*value as f32).to_le_bytes());
            bytes_field(&mut summary, 0x0a, &one);
        }
        let mut event = vec![0x09];
        event.extend(now.to_le_bytes());
        event.push(0x10);
        varint(&mut event, step);
        bytes_field(&mut event, 0x2a, &summary);
        self.record(&event)
    }

    fn record(&mut self, event: &[u8]) -> Result<(), TrainError> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked(&length).to_le_bytes());
        record.extend(event);
        record.extend(masked(event).to_le_bytes());
        self.file.write_all(&record).map_err(|why| TrainError::RunLog { path: self.path.clone(), why })
    }
}

/// A field of bytes with its key in front.
fn bytes_field(out: &mut Vec<u8>, key: u8, bytes: &[u8]) {
    out.push(key);
    varint(out, bytes.len() as u64);
    out.extend(bytes);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), a bit at a time: records are small.
fn crc32c(bytes: &[u8]) -> u32 {
    let fold = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    };
    !bytes.iter().fold(!0, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // The check value of RFC 3720, and 32 zeros from its appendix.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }
}

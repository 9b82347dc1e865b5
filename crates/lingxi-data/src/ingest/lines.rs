//! Lines of a text file, one at a time, none longer than a limit, so that a file without line ends cannot fill memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// Longest line (or CSV record) that is read.
pub(crate) const MAX_LINE: usize = 16 << 20;

/// A text file as lines.
pub(crate) struct Lines {
    file: BufReader<File>,
    size: u64,
    behind: u64,
    line: u64,
}

/// What came of reading a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The line is in the buffer, without its end.
    Line,
    /// It was longer than [`MAX_LINE`] and was passed over.
    TooLong,
    /// The file is at its end.
    End,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> std::io::Result<Lines> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        // A byte order mark is no part of the first name.
        let mut mark = [0; 3];
        let n = file.read(&mut mark)?;
        if &mark[..n] != b"\xef\xbb\xbf" {
            file = File::open(path)?;
        }
        Ok(Lines { file: BufReader::with_capacity(1 << 18, file), size, behind: 0, line: 0 })
    }

    /// Reads the next line into `buffer`.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<Next> {
        buffer.clear();
        let limit = MAX_LINE as u64 + 1;
        let n = self.file.by_ref().take(limit).read_until(b'\n', buffer)? as u64;
        self.behind += n;
        if n == 0 {
            return Ok(Next::End);
        }
        self.line += 1;
        if n == limit && buffer.last() != Some(&b'\n') {
            buffer.clear();
            self.skip_line()?;
            return Ok(Next::TooLong);
        }
        if buffer.last() == Some(&b'\n') {
            buffer.pop();
        }
        if buffer.last() == Some(&b'\r') {
            buffer.pop();
        }
        Ok(Next::Line)
    }

    fn skip_line(&mut self) -> std::io::Result<()> {
        loop {
            let chunk = self.file.fill_buf()?;
            let end = chunk.iter().position(|b| *b == b'\n');
            let used = end.map_or(chunk.len(), |at| at + 1);
            self.file.consume(used);
            self.behind += used as u64;
            if end.is_some() || used == 0 {
                return Ok(());
            }
        }
    }

    /// Number of the line read last, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Share of the file that is read.
    pub(crate) fn done(&self) -> f32 {
        share(self.behind, self.size)
    }
}

/// `part` of `whole`, 0 to 1.
pub(crate) fn share(part: u64, whole: u64) -> f32 {
    if whole == 0 { 1.0 } else { (part as f64 / whole as f64).min(1.0) as f32 }
}

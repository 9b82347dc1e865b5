//! In which numbers a tensor is kept, and what they are in f32. Blocks of 32 numbers share a scale, some a least value too.

use half::{bf16, f16};

/// The kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types)]
pub enum Kind {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 16-bit floats with the range of f32.
    Bf16,
    /// Four bits and a scale.
    Q4_0,
    /// Four bits, a scale and a least value.
    Q4_1,
    /// Five bits and a scale.
    Q5_0,
    /// Five bits, a scale and a least value.
    Q5_1,
    /// Bytes and a scale.
    Q8_0,
}

/// Kind, its number in a file, its name, numbers of a block, bytes of a block.
const ALL: [(Kind, u32, &str, usize, usize); 8] = [
    (Kind::F32, 0, "F32", 1, 4),
    (Kind::F16, 1, "F16", 1, 2),
    (Kind::Bf16, 30, "BF16", 1, 2),
    (Kind::Q4_0, 2, "Q4_0", 32, 18),
    (Kind::Q4_1, 3, "Q4_1", 32, 20),
    (Kind::Q5_0, 6, "Q5_0", 32, 22),
    (Kind::Q5_1, 7, "Q5_1", 32, 24),
    (Kind::Q8_0, 8, "Q8_0", 32, 34),
];

impl Kind {
    /// The kind of this number in a file.
    pub fn of(code: u32) -> Option<Kind> {
        ALL.iter().find(|row| row.1 == code).map(|row| row.0)
    }

    /// All names, for a message.
    pub fn names() -> String {
        ALL.map(|row| row.2).join(", ")
    }

    /// As GGUF writes it.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    /// Its number in a file.
    pub fn code(self) -> u32 {
        self.row().1
    }

    /// Numbers of a block.
    pub fn block(self) -> usize {
        self.row().3
    }

    /// Bytes of a block.
    pub fn bytes(self) -> usize {
        self.row().4
    }

    fn row(self) -> &'static (Kind, u32, &'static str, usize, usize) {
        ALL.iter().find(|row| row.0 == self).expect("every kind has its row")
    }

    /// What whole blocks say, in f32.
    pub fn to_f32(self, bytes: &[u8]) -> Vec<f32> {
        let mut out = Vec::with_capacity(bytes.len() / self.bytes() * self.block());
        for b in bytes.chunks_exact(self.bytes()) {
            let half = |at: usize| f16::from_le_bytes([b[at], b[at + 1]]).to_f32();
            match self {
                Kind::F32 => out.push(f32::from_le_bytes([b[0], b[1], b[2], b[3]])),
                Kind::F16 => out.push(half(0)),
                Kind::Bf16 => out.push(bf16::from_le_bytes([b[0], b[1]]).to_f32()),
                Kind::Q8_0 => out.extend(b[2..].iter().map(|q| f32::from(*q as i8) * half(0))),
                Kind::Q4_0 => out.extend(nibbles(&b[2..]).map(|q| (f32::from(q) - 8.0) * half(0))),
                Kind::Q4_1 => out.extend(nibbles(&b[4..]).map(|q| f32::from(q) * half(0) + half(2))),
                Kind::Q5_0 => out.extend(fives(&b[2..]).map(|q| (f32::from(q) - 16.0) * half(0))),
                Kind::Q5_1 => out.extend(fives(&b[4..]).map(|q| f32::from(q) * half(0) + half(2))),
            }
        }
        out
    }
}

/// The lower halves of 16 bytes, then the upper ones.
fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().map(|b| b & 15).chain(bytes.iter().map(|b| b >> 4))
}

/// The same with a fifth bit each, kept in the first four bytes.
fn fives(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let fifths = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    nibbles(&bytes[4..]).enumerate().map(move |(i, q)| q | ((fifths >> i & 1) as u8) << 4)
}

//! Products on the tiles of AMX (Sapphire Rapids and later): 16 rows of 64 bytes a register, one instruction per 16 x 16
//! sums and 16 steps.
//!
//! The compiler's intrinsics for tiles are not stable, so the instructions are written out. A process has to ask Linux for the
//! tiles once. What is done with them is written against [`Registers`], which the processor has in silicon and the tests in
//! plain Rust, so that the order of loads, strides and remainders is held on machines without AMX too.

use super::{Line, PANEL, Precision, Sums};

/// Rows of a tile, and steps of a row of it.
const SIDE: usize = 16;

/// The eight tile registers: what the loop needs of them.
trait Registers {
    /// Clears all and gives register `t` the shape `rows[t]` times `bytes[t]`.
    fn configure(&mut self, shapes: &Shapes);
    /// Fills register `T` with rows that lie `stride` bytes apart.
    ///
    /// # Safety
    /// As many rows as the register has can be read there.
    unsafe fn load<const T: usize>(&mut self, from: *const u32, stride: usize);
    /// Register `T` becomes zero.
    fn zero<const T: usize>(&mut self);
    /// Adds the product of registers `A` and `B` to `T`.
    fn multiply<const T: usize, const A: usize, const B: usize>(&mut self, precision: Precision);
    /// Writes register `T` to rows that lie `stride` bytes apart.
    ///
    /// # Safety
    /// As many rows as the register has can be written there.
    unsafe fn store<const T: usize>(&mut self, to: *mut f32, stride: usize);
}

/// The argument of `ldtilecfg`.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// Registers 0 to 3 hold the sums of two times two tiles, 4 and 5 the rows, 6 and 7 the panel.
    fn of(upper: usize, lower: usize) -> Shapes {
        let mut shapes = Shapes { palette: 1, start: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        for (register, rows) in [upper, upper, lower, lower, upper, lower, SIDE, SIDE].into_iter().enumerate() {
            // A register that is not used still needs a shape that may be loaded.
            (shapes.rows[register], shapes.bytes[register]) = (rows.max(1) as u8, 64);
        }
        shapes
    }
}

/// Up to 32 rows that begin `stride` apart in `x`, times a panel of a multiple of 16 steps.
#[inline(always)]
fn block<R: Registers>(
    tiles: &mut R,
    precision: Precision,
    x: &[u32],
    stride: usize,
    rows: usize,
    panel: &[Line],
    sums: &mut Sums,
) {
    let steps = panel.len();
    assert!((1..=2 * SIDE).contains(&rows) && steps.is_multiple_of(SIDE) && (rows - 1) * stride + steps <= x.len());
    let (upper, lower) = (rows.min(SIDE), rows.saturating_sub(SIDE));
    tiles.configure(&Shapes::of(upper, lower));
    tiles.zero::<0>();
    tiles.zero::<1>();
    tiles.zero::<2>();
    tiles.zero::<3>();
    let line = size_of::<Line>();
    for step in (0..steps).step_by(SIDE) {
        let lines = panel[step..step + SIDE].as_ptr().cast::<u32>();
        // SAFETY: 16 lines follow `lines`, each of two halves; `upper` rows of `x` begin at 0 and `lower` at row 16, and
        // each has 16 steps from `step`.
        unsafe {
            tiles.load::<4>(x.as_ptr().add(step), stride * 4);
            tiles.load::<6>(lines, line);
            tiles.load::<7>(lines.add(SIDE), line);
            if lower > 0 {
                tiles.load::<5>(x.as_ptr().add(SIDE * stride + step), stride * 4);
            }
        }
        tiles.multiply::<0, 4, 6>(precision);
        tiles.multiply::<1, 4, 7>(precision);
        if lower > 0 {
            tiles.multiply::<2, 5, 6>(precision);
            tiles.multiply::<3, 5, 7>(precision);
        }
    }
    let out = sums.0.as_mut_ptr().cast::<f32>();
    // SAFETY: `sums` has 32 rows of 32 numbers: two times two tiles.
    unsafe {
        tiles.store::<0>(out, PANEL * 4);
        tiles.store::<1>(out.add(SIDE), PANEL * 4);
        if lower > 0 {
            tiles.store::<2>(out.add(SIDE * PANEL), PANEL * 4);
            tiles.store::<3>(out.add(SIDE * PANEL + SIDE), PANEL * 4);
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod silicon {
    use super::*;
    use std::arch::asm;
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    use std::sync::OnceLock;

    /// Whether this processor has tiles of bf16 and bytes and Linux lets this process use them.
    pub fn granted() -> bool {
        static GRANTED: OnceLock<bool> = OnceLock::new();
        *GRANTED.get_or_init(|| {
            if __cpuid(0).eax < 7 {
                return false;
            }
            // Leaf 7, edx: 22 AMX-BF16, 24 AMX-TILE, 25 AMX-INT8.
            let wanted = 1 << 22 | 1 << 24 | 1 << 25;
            __cpuid_count(7, 0).edx & wanted == wanted && ask()
        })
    }

    /// `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`, for all threads from now on.
    fn ask() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const REQUEST: i64 = 0x1023;
        const TILE_DATA: i64 = 18;
        let answer: i64;
        // SAFETY: a system call of two numbers that touches no memory of ours; rcx and r11 are overwritten by it.
        unsafe {
            asm!("syscall", inlateout("rax") ARCH_PRCTL => answer, in("rdi") REQUEST, in("rsi") TILE_DATA,
                out("rcx") _, out("r11") _, options(nostack));
        }
        answer == 0
    }

    pub struct Silicon;

    impl Registers for Silicon {
        #[inline(always)]
        fn configure(&mut self, shapes: &Shapes) {
            // SAFETY: tiles were granted before a `Silicon` is made; the shapes are of palette 1 and within its bounds.
            unsafe { asm!("ldtilecfg [{}]", in(reg) shapes, options(nostack, readonly)) }
        }

        #[inline(always)]
        unsafe fn load<const T: usize>(&mut self, from: *const u32, stride: usize) {
            // SAFETY: the caller's promise.
            unsafe {
                match T {
                    4 => asm!("tileloadd tmm4, [{} + {}*1]", in(reg) from, in(reg) stride, options(nostack, readonly)),
                    5 => asm!("tileloadd tmm5, [{} + {}*1]", in(reg) from, in(reg) stride, options(nostack, readonly)),
                    6 => asm!("tileloadd tmm6, [{} + {}*1]", in(reg) from, in(reg) stride, options(nostack, readonly)),
                    7 => asm!("tileloadd tmm7, [{} + {}*1]", in(reg) from, in(reg) stride, options(nostack, readonly)),
                    _ => unreachable!("registers 0 to 3 hold sums"),
                }
            }
        }

        #[inline(always)]
        fn zero<const T: usize>(&mut self) {
            // SAFETY: changes a tile register only.
            unsafe {
                match T {
                    0 => asm!("tilezero tmm0", options(nostack, nomem)),
                    1 => asm!("tilezero tmm1", options(nostack, nomem)),
                    2 => asm!("tilezero tmm2", options(nostack, nomem)),
                    3 => asm!("tilezero tmm3", options(nostack, nomem)),
                    _ => unreachable!("only sums begin at zero"),
                }
            }
        }

        #[inline(always)]
        fn multiply<const T: usize, const A: usize, const B: usize>(&mut self, precision: Precision) {
            // SAFETY: changes a tile register only.
            unsafe {
                match (T, precision) {
                    (0, Precision::Bf16) => asm!("tdpbf16ps tmm0, tmm4, tmm6", options(nostack, nomem)),
                    (1, Precision::Bf16) => asm!("tdpbf16ps tmm1, tmm4, tmm7", options(nostack, nomem)),
                    (2, Precision::Bf16) => asm!("tdpbf16ps tmm2, tmm5, tmm6", options(nostack, nomem)),
                    (3, Precision::Bf16) => asm!("tdpbf16ps tmm3, tmm5, tmm7", options(nostack, nomem)),
                    (0, Precision::Int8) => asm!("tdpbusd tmm0, tmm4, tmm6", options(nostack, nomem)),
                    (1, Precision::Int8) => asm!("tdpbusd tmm1, tmm4, tmm7", options(nostack, nomem)),
                    (2, Precision::Int8) => asm!("tdpbusd tmm2, tmm5, tmm6", options(nostack, nomem)),
                    (3, Precision::Int8) => asm!("tdpbusd tmm3, tmm5, tmm7", options(nostack, nomem)),
                    _ => unreachable!("tiles hold bf16 or bytes"),
                }
            }
        }

        #[inline(always)]
        unsafe fn store<const T: usize>(&mut self, to: *mut f32, stride: usize) {
            // SAFETY: the caller's promise.
            unsafe {
                match T {
                    0 => asm!("tilestored [{} + {}*1], tmm0", in(reg) to, in(reg) stride, options(nostack)),
                    1 => asm!("tilestored [{} + {}*1], tmm1", in(reg) to, in(reg) stride, options(nostack)),
                    2 => asm!("tilestored [{} + {}*1], tmm2", in(reg) to, in(reg) stride, options(nostack)),
                    3 => asm!("tilestored [{} + {}*1], tmm3", in(reg) to, in(reg) stride, options(nostack)),
                    _ => unreachable!("only sums are stored"),
                }
            }
        }
    }

    impl Drop for Silicon {
        fn drop(&mut self) {
            // SAFETY: gives the tiles back, so that a switch of threads need not save them.
            unsafe { asm!("tilerelease", options(nostack, nomem)) }
        }
    }
}

/// Whether this processor has tiles of bf16 and bytes and the system lets this process use them.
pub(crate) fn granted() -> bool {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return silicon::granted();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    false
}

/// Up to 32 rows times a panel.
#[cfg(target_arch = "x86_64")]
pub(super) fn multiply(precision: Precision, x: &[u32], stride: usize, rows: usize, panel: &[Line], sums: &mut Sums) {
    assert!(granted(), "amx: the tiles were not granted");
    #[cfg(target_os = "linux")]
    block(&mut silicon::Silicon, precision, x, stride, rows, panel, sums);
    #[cfg(not(target_os = "linux"))]
    let _ = (precision, x, stride, rows, panel, sums);
}

#[cfg(test)]
mod tests {
    use super::super::tiles::plain_body;
    use super::*;

    /// Tiles in plain Rust, by the manual's pseudo-code: instructions outside a register's shape read and write nothing.
    struct Emulated {
        shapes: Shapes,
        tiles: [[[u32; SIDE]; SIDE]; 8],
    }

    impl Registers for Emulated {
        fn configure(&mut self, s: &Shapes) {
            assert_eq!((s.palette, s.start, size_of::<Shapes>()), (1, 0, 64));
            assert!((0..8).all(|t| (1..=16).contains(&s.rows[t]) && s.bytes[t] == 64) && s.rows[8..] == [0; 8]);
            self.shapes = Shapes { reserved: [0; 14], bytes: s.bytes, rows: s.rows, ..*s };
            self.tiles = [[[0; SIDE]; SIDE]; 8];
        }
        unsafe fn load<const T: usize>(&mut self, from: *const u32, stride: usize) {
            self.tiles[T] = [[0; SIDE]; SIDE];
            for row in 0..self.shapes.rows[T] as usize {
                // SAFETY: the caller's promise.
                self.tiles[T][row] = unsafe { from.byte_add(row * stride).cast::<[u32; SIDE]>().read() };
            }
        }
        fn zero<const T: usize>(&mut self) {
            self.tiles[T] = [[0; SIDE]; SIDE];
        }
        fn multiply<const T: usize, const A: usize, const B: usize>(&mut self, precision: Precision) {
            // The manual faults when the shapes of the three do not fit.
            assert_eq!((self.shapes.rows[T], self.shapes.rows[B]), (self.shapes.rows[A], 16));
            for row in 0..self.shapes.rows[T] as usize {
                for step in 0..SIDE {
                    let a = self.tiles[A][row][step];
                    for column in 0..SIDE {
                        let (b, sum) = (self.tiles[B][step][column], &mut self.tiles[T][row][column]);
                        match precision {
                            Precision::Bf16 => {
                                let part =
                                    |x: u32, high: bool| f32::from_bits(if high { x & 0xffff_0000 } else { x << 16 });
                                let first = part(a, false).mul_add(part(b, false), f32::from_bits(*sum));
                                *sum = part(a, true).mul_add(part(b, true), first).to_bits();
                            }
                            _ => {
                                let fours = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
                                let dot: i32 = fours.map(|(a, b)| i32::from(a) * i32::from(b as i8)).sum();
                                *sum = (*sum as i32 + dot) as u32;
                            }
                        }
                    }
                }
            }
        }
        unsafe fn store<const T: usize>(&mut self, to: *mut f32, stride: usize) {
            for row in 0..self.shapes.rows[T] as usize {
                let numbers = self.tiles[T][row].map(f32::from_bits);
                // SAFETY: the caller's promise.
                unsafe { to.byte_add(row * stride).cast::<[f32; SIDE]>().write(numbers) };
            }
        }
    }

    #[test]
    fn the_order_of_tiles_gives_the_sums_of_the_plain_loop_for_any_number_of_rows() {
        for precision in [Precision::Bf16, Precision::Int8] {
            for (rows, steps) in (1..=32).flat_map(|rows| [(rows, 16), (rows, 48)]) {
                // Small whole numbers: exact in bf16 and in any order.
                let number = |i: usize| match precision {
                    Precision::Bf16 => {
                        (((i * 7 % 5) as f32 - 2.0).to_bits() >> 16)
                            | (((i * 3 % 7) as f32 - 3.0).to_bits() & 0xffff_0000)
                    }
                    _ => (i as u32).wrapping_mul(2_654_435_761),
                };
                let x: Vec<u32> = (0..rows * steps).map(number).collect();
                let panel: Vec<Line> =
                    (0..steps).map(|s| Line(std::array::from_fn(|c| number(s * 31 + c * 17 + 5)))).collect();
                let (mut got, mut want) = (Sums([[7.0; PANEL]; 32]), Sums([[7.0; PANEL]; 32]));
                let mut tiles = Emulated { shapes: Shapes::of(16, 16), tiles: [[[9; SIDE]; SIDE]; 8] };
                block(&mut tiles, precision, &x, steps, rows, &panel, &mut got);
                plain_body::<false>(precision, &x, steps, rows, &panel, &mut want);
                for row in 0..rows {
                    assert!(
                        got.0[row].map(f32::to_bits) == want.0[row].map(f32::to_bits),
                        "{precision:?}, row {row} of {rows}, {steps} steps"
                    );
                }
                // Rows that are not there stay as they were (a shape has one row at least).
                assert!(got.0[rows..].iter().flatten().all(|x| *x == 7.0));
            }
        }
    }
}

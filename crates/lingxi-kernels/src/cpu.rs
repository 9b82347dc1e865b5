//! Which instructions does this processor have? One body of portable Rust is compiled once per level, and the level is
//! chosen at run time, so that one binary runs everywhere and is fast on each machine.
//!
//! The environment variable `LINGXI_CPU` (`portable`, `avx2`, `avx512`, `amx`) forces a level, for tests and for measuring.

use std::sync::OnceLock;

/// Vector instructions that the kernels know; a higher level has all of the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Whatever the compiler's target guarantees.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors with fused multiply-add; products of bf16 and of bytes where the processor has them.
    Avx512,
    /// Products of whole tiles of bf16 and of bytes.
    Amx,
}

/// All levels, lowest first, by the names that `LINGXI_CPU` takes.
pub const LEVELS: [(&str, Level); 4] =
    [("portable", Level::Portable), ("avx2", Level::Avx2), ("avx512", Level::Avx512), ("amx", Level::Amx)];

impl Level {
    /// Its name in `LINGXI_CPU`.
    pub fn name(self) -> &'static str {
        LEVELS[self as usize].0
    }
}

/// The level to work at: the highest of this processor, or the one that `LINGXI_CPU` names.
///
/// # Errors
/// If the variable names no level, or one that this processor does not have: what was expected and what came.
pub fn choose() -> Result<Level, String> {
    let highest = highest();
    let Some(named) = std::env::var_os("LINGXI_CPU").filter(|name| !name.is_empty()) else {
        return Ok(highest);
    };
    let having =
        LEVELS.iter().filter(|(_, level)| *level <= highest).map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let named = named.to_string_lossy().into_owned();
    match LEVELS.iter().find(|(name, _)| *name == named) {
        Some(&(_, level)) if level <= highest => Ok(level),
        Some(_) => Err(format!("LINGXI_CPU: this processor has {having}, got {named}")),
        None => Err(format!("LINGXI_CPU: expected one of {having}, got {named:?}")),
    }
}

/// [`choose`], asked once.
///
/// # Panics
/// With the message of [`choose`] if `LINGXI_CPU` is wrong; a program that asks [`choose`] at its start never gets here.
#[inline]
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| choose().unwrap_or_else(|why| panic!("{why}")))
}

/// The highest level of this processor, whatever `LINGXI_CPU` says.
pub fn highest() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return if crate::packed::amx::granted() { Level::Amx } else { Level::Avx512 };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Level::Avx2;
        }
    }
    Level::Portable
}

/// Whether to multiply pairs of bf16 in one instruction.
#[inline]
pub fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return level() >= Level::Avx512 && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether to multiply fours of bytes in one instruction.
#[inline]
pub fn multiplies_bytes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return level() >= Level::Avx512 && is_x86_feature_detected!("avx512vnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Compiles an `#[inline(always)] fn body<const FMA: bool>(..)` once per [`Level`] and writes the function that picks
/// one. `FMA` says whether `f32::mul_add` is one instruction there; elsewhere it would be a slow library call.
macro_rules! per_level {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $(#[$doc])*
        #[inline]
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx2,fma")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $body::<true>($($arg),*)
                }
                match $crate::cpu::level() {
                    // SAFETY: `level` found the features of this arm on the running processor.
                    $crate::cpu::Level::Avx512 | $crate::cpu::Level::Amx => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::cpu::Level::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::cpu::Level::Portable => {}
                }
            }
            $body::<false>($($arg),*)
        }
    };
}
pub(crate) use per_level;

/// `a * b + c`, rounded once where the processor can.
#[inline(always)]
pub(crate) fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

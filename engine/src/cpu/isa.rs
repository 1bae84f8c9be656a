//! Choice of the instruction set, at run time.
//!
//! An [`Isa`] is proof that this machine has the instructions: it can only be had from
//! [`Isa::available`] and [`Isa::choose`], which is what makes the kernels' `unsafe` calls sound.

use crate::error::{Error, Result};

/// Name of the environment variable that forces a path.
pub const ENV: &str = "GRAIL_CPU";

/// The code paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Path {
    /// Plain Rust, any machine.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX2, FMA and AVX-VNNI: processors with VNNI but without AVX-512.
    AvxVnni,
    /// AVX-512 F, BW, DQ, VL and VNNI.
    Avx512,
    /// The AVX-512 kernels over a software model of their intrinsics.
    #[cfg(test)]
    Model512 {
        /// As where 512-bit operations come in halves.
        halves: bool,
    },
}

/// A path this machine can execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isa(Path);

impl Isa {
    /// The path that runs everywhere.
    pub const PORTABLE: Isa = Isa(Path::Portable);

    /// Every path this machine can execute, slowest first.
    pub fn available() -> Vec<Isa> {
        [Path::Portable, Path::Avx2, Path::AvxVnni, Path::Avx512]
            .into_iter()
            .filter(|&path| detected(path))
            .map(Isa)
            .collect()
    }

    /// The path named by `word` (the value of `GRAIL_CPU`): `portable`, `avx2`, `avxvnni` or `avx512`; `None` is the best one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another word or a path this machine lacks.
    pub fn choose(word: Option<&str>) -> Result<Isa> {
        let refuse = |problem: String| Error::Unsupported { what: ENV.to_owned(), problem };
        let path = match word {
            None => return Ok(Isa::available().pop().unwrap_or(Isa::PORTABLE)),
            Some("portable") => Path::Portable,
            Some("avx2") => Path::Avx2,
            Some("avxvnni") => Path::AvxVnni,
            Some("avx512") => Path::Avx512,
            Some(other) => {
                return Err(refuse(format!("{other:?} is none of portable, avx2, avxvnni, avx512")));
            }
        };
        if !detected(path) {
            return Err(refuse(format!("this machine lacks the instructions of {:?}", word.unwrap_or_default())));
        }
        Ok(Isa(path))
    }

    /// The path that the environment variable [`ENV`] names, if it is set and not empty, else the best one.
    ///
    /// # Errors
    /// As [`Isa::choose`].
    pub fn from_environment() -> Result<Isa> {
        Isa::choose(std::env::var(ENV).ok().filter(|word| !word.is_empty()).as_deref())
    }

    /// The path itself.
    pub fn path(self) -> Path {
        self.0
    }

    /// Every available path and the modelled ones.
    #[cfg(test)]
    pub(crate) fn under_test() -> Vec<Isa> {
        let mut all = Isa::available();
        all.extend([false, true].map(|halves| Isa(Path::Model512 { halves })));
        all
    }
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Path::Portable => "portable",
            Path::Avx2 => "avx2",
            Path::AvxVnni => "avxvnni",
            Path::Avx512 => "avx512",
            #[cfg(test)]
            Path::Model512 { halves: false } => "avx512 (modelled)",
            #[cfg(test)]
            Path::Model512 { halves: true } => "avx512 in halves (modelled)",
        })
    }
}

#[cfg(target_arch = "x86_64")]
fn detected(path: Path) -> bool {
    match path {
        Path::Portable => true,
        Path::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        Path::AvxVnni => detected(Path::Avx2) && is_x86_feature_detected!("avxvnni"),
        Path::Avx512 => {
            detected(Path::Avx2)
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
        }
        #[cfg(test)]
        Path::Model512 { .. } => true,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detected(path: Path) -> bool {
    path == Path::Portable
}

/// Compiles one `#[inline(always)]` body once per instruction set and picks at run time: the source, and
/// so every bit of the result, is the same. Fused multiply-add happens only where the body writes `mul_add`.
macro_rules! dispatched {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:path;)*) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(isa: $crate::cpu::isa::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            match isa.path() {
                // SAFETY: an `Isa` exists only for a path this machine was found to have.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::isa::Path::Avx2 | $crate::cpu::isa::Path::AvxVnni => unsafe { avx2($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::isa::Path::Avx512 => unsafe { avx512($($arg),*) },
                _ => $body($($arg),*),
            }
        }
    )*};
}
pub(crate) use dispatched;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_path_or_an_error_that_names_the_variable() {
        assert_eq!(Isa::choose(Some("portable")).unwrap(), Isa::PORTABLE);
        for (word, path) in [("avx2", Path::Avx2), ("avxvnni", Path::AvxVnni), ("avx512", Path::Avx512)] {
            match Isa::choose(Some(word)) {
                Ok(isa) => assert!(detected(path) && isa.path() == path),
                Err(error) => assert!(!detected(path) && error.to_string().contains(ENV), "{error}"),
            }
        }
        for word in ["", "AVX2", "sse", "avx512 "] {
            let error = Isa::choose(Some(word)).unwrap_err();
            assert!(matches!(&error, Error::Unsupported { what, .. } if what == ENV), "{error}");
        }
    }

    #[test]
    fn the_best_path_is_the_last_available_one() {
        let all = Isa::available();
        assert_eq!(all[0], Isa::PORTABLE);
        assert_eq!(Isa::choose(None).unwrap(), *all.last().unwrap());
    }
}

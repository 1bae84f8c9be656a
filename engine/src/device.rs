//! Which device a run was asked to use: `cpu`, `cuda`, `cuda:0,1` or `auto`.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// A device as on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceChoice {
    /// `cpu`.
    Cpu,
    /// `cuda:0,1`: these GPUs, each once and at least one; `cuda` is `cuda:0`.
    Cuda(Vec<usize>),
    /// `auto`: the first GPU that can be used, else the CPU.
    Auto,
}

/// What a [`DeviceChoice`] comes to on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// The CPU, and for [`DeviceChoice::Auto`] why no GPU.
    Cpu {
        /// What a GPU would need; `None` where none was asked for.
        why: Option<String>,
    },
    /// These GPUs, all there and able to run the kernels.
    Cuda(Vec<usize>),
}

impl DeviceChoice {
    /// Looks at the machine. The results of a run are the same whatever comes out.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when a GPU was asked for and something is missing, [`Error::Device`] with the driver's
    /// words when it failed.
    pub fn resolve(&self) -> Result<Chosen> {
        match self {
            Self::Cpu => Ok(Chosen::Cpu { why: None }),
            Self::Cuda(ordinals) => {
                ordinals.iter().try_for_each(|n| usable(*n)).map(|()| Chosen::Cuda(ordinals.clone()))
            }
            Self::Auto => Ok(match first_usable() {
                Ok(ordinal) => Chosen::Cuda(vec![ordinal]),
                Err(error) => Chosen::Cpu { why: Some(error.to_string()) },
            }),
        }
    }
}

#[cfg(feature = "cuda")]
fn usable(ordinal: usize) -> Result<()> {
    crate::cuda::usable(ordinal).map(drop)
}

#[cfg(feature = "cuda")]
fn first_usable() -> Result<usize> {
    crate::cuda::first_usable().map(|info| info.ordinal)
}

#[cfg(not(feature = "cuda"))]
fn usable(_: usize) -> Result<()> {
    first_usable().map(drop)
}

#[cfg(not(feature = "cuda"))]
fn first_usable() -> Result<usize> {
    Err(Error::Unsupported { what: "cuda".into(), problem: "this program was built without its CUDA backend".into() })
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |problem: String| Error::Request { field: "device".into(), problem };
        match text {
            "cpu" => return Ok(Self::Cpu),
            "auto" => return Ok(Self::Auto),
            "cuda" => return Ok(Self::Cuda(vec![0])),
            _ => {}
        }
        let list = text.strip_prefix("cuda:");
        let list = list.ok_or_else(|| wrong(format!("{text:?} is none of cpu, cuda, cuda:0,1 and auto")))?;
        let mut ordinals = Vec::new();
        for word in list.split(',') {
            // Digits only: a sign is no part of a number of a device.
            let number = word.parse().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()));
            let number: usize =
                number.ok_or_else(|| wrong(format!("{word:?} in {text:?} is no number of a device")))?;
            if ordinals.contains(&number) {
                return Err(wrong(format!("device {number} stands twice in {text:?}")));
            }
            ordinals.push(number);
        }
        Ok(Self::Cuda(ordinals))
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Auto => f.write_str("auto"),
            Self::Cuda(ordinals) => {
                let list: Vec<String> = ordinals.iter().map(usize::to_string).collect();
                write!(f, "cuda:{}", list.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_four_forms_mean_what_they_say() {
        let parse = |text: &str| text.parse::<DeviceChoice>().unwrap();
        assert_eq!(parse("cpu"), DeviceChoice::Cpu);
        assert_eq!(parse("auto"), DeviceChoice::Auto);
        assert_eq!(parse("cuda"), DeviceChoice::Cuda(vec![0]));
        assert_eq!(parse("cuda:3"), DeviceChoice::Cuda(vec![3]));
        assert_eq!(parse("cuda:1,0"), DeviceChoice::Cuda(vec![1, 0]));
    }

    #[test]
    fn anything_else_is_refused_and_named() {
        for (text, words) in [
            ("", "\"\" is none of"),
            ("gpu", "\"gpu\" is none of"),
            ("CUDA", "\"CUDA\" is none of"),
            ("cuda0", "\"cuda0\" is none of"),
            ("cuda:", "\"\" in \"cuda:\""),
            ("cuda:0,", "\"\" in \"cuda:0,\""),
            ("cuda:0, 1", "\" 1\" in"),
            ("cuda:-1", "\"-1\" in"),
            ("cuda:+1", "\"+1\" in"),
            ("cuda:99999999999999999999999", "is no number of a device"),
            ("cuda:2,1,2", "device 2 stands twice"),
        ] {
            let error = text.parse::<DeviceChoice>().unwrap_err().to_string();
            assert!(error.starts_with("device: ") && error.contains(words), "{text:?}: {error}");
        }
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(DeviceChoice::Cpu.resolve().unwrap(), Chosen::Cpu { why: None });
    }

    proptest! {
        #[test]
        fn what_is_shown_parses_to_itself(ordinals in proptest::collection::hash_set(any::<usize>(), 1..9)) {
            let choice = DeviceChoice::Cuda(ordinals.into_iter().collect());
            prop_assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(cuda:)?[0-9,+ a-z-]{0,12}") {
            if let Ok(choice) = text.parse::<DeviceChoice>() {
                prop_assert_eq!(choice.to_string().parse::<DeviceChoice>().unwrap(), choice);
            }
        }
    }
}

//! Launches that the stand-in driver recorded (`kernels/host/driver/record.cpp` has the format): the same kernel on the
//! same memory, from the compiled code, must leave the same bytes.

use crate::{Counters, Device, Finding, Module, Options, Ptr, Shape};

/// One launch and the memory its parameters point into, before and after.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub kernel: String,
    pub shape: Shape,
    pub params: Vec<u8>,
    pub regions: Vec<Region>,
}

#[derive(Clone, Debug)]
pub struct Region {
    pub address: u64,
    pub before: Vec<u8>,
    pub after: Vec<u8>,
}

/// How a launch run again differs from the record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    #[error("a damaged record: {0}")]
    Damaged(&'static str),
    #[error(transparent)]
    Finding(#[from] Box<Finding>),
    #[error(
        "{kernel}: byte {offset} of the {bytes} that parameter byte {param} points to is {got:#04x}, expected {want:#04x}"
    )]
    Differs { kernel: String, param: usize, bytes: usize, offset: usize, got: u8, want: u8 },
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, n: usize) -> Result<&'a [u8], ReplayError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(ReplayError::Damaged("it ends too early"))?;
        self.0 = tail;
        Ok(head)
    }

    fn word(&mut self) -> Result<u32, ReplayError> {
        Ok(self.bytes(4)?.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)))
    }

    fn long(&mut self) -> Result<u64, ReplayError> {
        Ok(u64::from(self.word()?) | u64::from(self.word()?) << 32)
    }

    fn text(&mut self) -> Result<&'a [u8], ReplayError> {
        let n = self.word()? as usize;
        self.bytes(n)
    }
}

impl Recorded {
    /// Reads a record.
    ///
    /// # Errors
    /// [`ReplayError::Damaged`].
    pub fn read(bytes: &[u8]) -> Result<Self, ReplayError> {
        let mut from = Reader(bytes);
        if from.bytes(9)? != b"launch 1\n" {
            return Err(ReplayError::Damaged("another format"));
        }
        let kernel = String::from_utf8(from.text()?.to_vec()).map_err(|_| ReplayError::Damaged("its kernel's name"))?;
        let mut words = [0; 7];
        for word in &mut words {
            *word = from.word()?;
        }
        let [gx, gy, gz, bx, by, bz, dynamic_shared] = words;
        let shape = Shape { grid: [gx, gy, gz], block: [bx, by, bz], dynamic_shared };
        let params = from.text()?.to_vec();
        let mut regions = Vec::new();
        for _ in 0..from.word()? {
            let address = from.long()?;
            let n = from.long()? as usize;
            regions.push(Region { address, before: from.bytes(n)?.to_vec(), after: from.bytes(n)?.to_vec() });
        }
        Ok(Self { kernel, shape, params, regions })
    }

    /// Runs it on a device of its own and compares every byte.
    ///
    /// # Errors
    /// What the interpreter finds, or the first byte that differs.
    pub fn replay(&self, module: &Module, options: &Options) -> Result<Counters, ReplayError> {
        let mut device = Device::new();
        let mut params = self.params.clone();
        let mut places = Vec::new();
        for region in &self.regions {
            let bytes = region.before.len();
            let mut first = 0;
            let place = device.alloc_from("", &region.before);
            for at in (0..self.params.len() / 8).map(|i| 8 * i).rev() {
                let word = u64::from_le_bytes(self.params[at..at + 8].try_into().expect("eight bytes"));
                if word >= region.address && word - region.address < bytes as u64 {
                    params[at..at + 8].copy_from_slice(&place.offset(word - region.address).0.to_le_bytes());
                    first = at;
                }
            }
            device.rename(place, format!("the memory of parameter byte {first}"));
            places.push((place, first));
        }
        let counters = device.launch(module, &self.kernel, self.shape, &params, options)?;
        for (region, (place, param)) in self.regions.iter().zip(places) {
            self.compare(&device, region, place, param)?;
        }
        Ok(counters)
    }

    fn compare(&self, device: &Device, region: &Region, place: Ptr, param: usize) -> Result<(), ReplayError> {
        let got = device.read(place, region.after.len());
        match first_difference(&got, &region.after) {
            None => Ok(()),
            Some(offset) => Err(ReplayError::Differs {
                kernel: self.kernel.clone(),
                param,
                bytes: got.len(),
                offset,
                got: got[offset],
                want: region.after[offset],
            }),
        }
    }
}

/// Where the record has a host's own NaN, anything will do: it is a row with a fault, whose values are not defined, and what
/// becomes of a device's NaN, which has other bits, may even be a number (NUMERICS 8 adds exponents as integers).
fn first_difference(got: &[u8], want: &[u8]) -> Option<usize> {
    let word = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).ok();
    let differs =
        |(got, want): &(&[u8], &[u8])| got != want && word(want).is_none_or(|word| word & 0x7fff_ffff != 0x7fc0_0000);
    let (at, (got, want)) = got.chunks(4).zip(want.chunks(4)).enumerate().find(|(_, words)| differs(words))?;
    got.iter().zip(want).position(|(got, want)| got != want).map(|inside| 4 * at + inside)
}

//! The rotary table in device memory, for the positions in use.

use crate::Result;
use crate::config::Config;
use crate::cpu::rope::RopeTable;
use crate::cuda::{Device, DeviceBuffer};

/// Positions to begin with.
const FIRST_POSITIONS: usize = 1024;

/// cos and sin, `[position][head_dim / 2]` each.
pub(super) struct Rope {
    table: RopeTable,
    pub cos: DeviceBuffer<f32>,
    pub sin: DeviceBuffer<f32>,
    /// What is on the device; the host may have more after a growth that failed.
    positions: usize,
}

impl Rope {
    pub fn new(device: &Device, c: &Config) -> Result<Self> {
        let empty = || DeviceBuffer::zeroed(device, 0);
        let mut rope = Self { table: RopeTable::new(c), cos: empty()?, sin: empty()?, positions: 0 };
        rope.grow(device, FIRST_POSITIONS.min(c.max_position_embeddings), c)?;
        Ok(rope)
    }

    /// Makes sure of rows for positions below `positions`; whether the buffers are others now.
    ///
    /// # Errors
    /// The device's; the old buffers are then still there.
    pub fn grow(&mut self, device: &Device, positions: usize, c: &Config) -> Result<bool> {
        if positions <= self.positions {
            return Ok(false);
        }
        let positions = positions.next_power_of_two().min(c.max_position_embeddings).max(positions);
        self.table.grow(positions);
        let (cos, sin) = self.table.tables();
        (self.cos, self.sin) = (DeviceBuffer::from_slice(device, cos)?, DeviceBuffer::from_slice(device, sin)?);
        self.positions = positions;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use grail_standin::{Setting, Unavailable, load, set};

    /// In a process of its own: the device's faults are for this test alone.
    #[test]
    #[ignore = "run by a_growth_that_failed_is_made_again"]
    fn growth_fails_once() {
        match load() {
            Err(Unavailable::NoCompiler) => return eprintln!("skipped: {}", Unavailable::NoCompiler),
            other => other.unwrap(),
        }
        let c = Config { max_position_embeddings: 5000, ..Checkpoint::sat_tiny().unwrap().config().clone() };
        let device = Device::open(0).unwrap();
        let mut rope = Rope::new(&device, &c).unwrap();
        assert!(!rope.grow(&device, FIRST_POSITIONS, &c).unwrap());
        let before = rope.sin.to_vec().unwrap();
        // CUDA_ERROR_OUT_OF_MEMORY for sin, once cos has its memory.
        set(0, Setting::Fault("allocation:2:2")).unwrap();
        assert!(rope.grow(&device, 1025, &c).is_err());
        assert_eq!(rope.sin.to_vec().unwrap(), before);
        assert!(rope.grow(&device, 1025, &c).unwrap(), "the device has no row 1024 yet");
        let half = c.head_dim / 2;
        let mut table = RopeTable::new(&c);
        table.grow(2048);
        assert_eq!((rope.cos.len(), rope.sin.len()), (2048 * half, 2048 * half));
        assert_eq!((&rope.cos.to_vec().unwrap()[..], &rope.sin.to_vec().unwrap()[..]), table.tables());
        assert!(rope.grow(&device, 5000, &c).unwrap() && rope.cos.len() == 5000 * half);
    }

    #[test]
    fn a_growth_that_failed_is_made_again() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--include-ignored", "cuda::model::rope::tests::growth_fails_once"]);
        let output = command.output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains("1 passed"), "{told}");
    }
}

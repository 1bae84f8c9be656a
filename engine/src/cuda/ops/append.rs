//! append.cu: a step's answers become the next step's inputs and the host's records.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use super::reading::{Reading, refuse_unless};
use crate::Result;

/// The kernel.
#[derive(Debug, Clone)]
pub struct Append {
    kernel: Kernel<abi::append_params>,
}

/// The inputs of the next step, by its rows.
#[derive(Debug)]
pub struct NextStep<'a> {
    /// Tokens.
    pub token: &'a mut DeviceBuffer<u32>,
    /// Their positions.
    pub position: &'a mut DeviceBuffer<u32>,
}

/// Records of the last steps.
#[derive(Debug)]
pub struct Ring {
    records: DeviceBuffer<abi::record>,
    step: DeviceBuffer<u32>,
    steps: u32,
    questions: u32,
}

impl Ring {
    /// For `steps` steps of up to `questions` questions.
    ///
    /// # Errors
    /// [`crate::Error::Request`] when one is 0, [`crate::Error::Device`] with the driver's words.
    pub fn new(device: &Device, steps: u32, questions: u32) -> Result<Self> {
        refuse_unless(steps > 0 && questions > 0, "ring", || format!("{steps} steps of {questions} questions"))?;
        let records = DeviceBuffer::zeroed(device, steps as usize * questions as usize)?;
        Ok(Self { records, step: DeviceBuffer::zeroed(device, 1)?, steps, questions })
    }

    /// Steps whose records are complete, modulo 2^32, after everything queued.
    ///
    /// # Errors
    /// [`crate::Error::Device`] with the driver's words.
    pub fn steps_done(&self) -> Result<u32> {
        Ok(self.step.read(0, 1)?[0])
    }

    /// Records of a step, by question, as long as no later one has taken their place.
    ///
    /// # Errors
    /// [`crate::Error::Device`] with the driver's words.
    pub fn records(&self, step: u32) -> Result<Vec<abi::record>> {
        self.records.read((step % self.steps) as usize * self.questions as usize, self.questions as usize)
    }
}

impl Append {
    /// Loads it.
    ///
    /// # Errors
    /// As [`Device::kernel`].
    pub fn new(device: &Device) -> Result<Self> {
        Ok(Self { kernel: device.kernel("append", 0)? })
    }

    /// Takes the answers to the questions asked last. `sketch` is by row of the head.
    ///
    /// # Errors
    /// [`crate::Error::Request`] for buffers that are too small, [`crate::Error::Device`] with the driver's words.
    ///
    /// # Safety
    /// `next_row` of every question that was not yet ended lies in `next`.
    pub unsafe fn run(
        &self,
        reading: &mut Reading,
        sketch: Option<&DeviceBuffer<u32>>,
        eos: &DeviceBuffer<u32>,
        next: &mut NextStep<'_>,
        ring: &mut Ring,
    ) -> Result<()> {
        let shape = *reading.shape();
        refuse_unless(ring.questions >= shape.questions, "ring", || format!("{} questions", ring.questions))?;
        refuse_unless(sketch.is_none_or(|s| s.len() >= shape.rows as usize), "sketch", || "a row has none".into())?;
        let context_stride = reading.stride();
        let params = abi::append_params {
            questions: reading.questions_mut().as_mut_ptr(),
            answers: reading.answer_words().as_ptr(),
            count: reading.count().as_ptr(),
            sketch: sketch.map_or(std::ptr::null(), DeviceBuffer::as_ptr),
            eos: eos.as_ptr(),
            token: next.token.as_mut_ptr(),
            position: next.position.as_mut_ptr(),
            context: reading.context_mut().as_mut_ptr(),
            ring: ring.records.as_mut_ptr(),
            step: ring.step.as_mut_ptr(),
            eos_count: eos.len() as u32,
            context_stride,
            ring_steps: ring.steps,
            max_questions: ring.questions,
        };
        // SAFETY: rows, slots and answers are the reading's, checked when the questions were asked; tokens are below the
        // vocabulary, for the kernels before make them; `next_row` is the caller's.
        unsafe { self.kernel.launch(LaunchShape::linear(1, 256), &params) }
    }
}

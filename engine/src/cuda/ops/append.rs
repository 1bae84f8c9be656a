//! append.cu: a step's answers become the next step's inputs and the host's records.

use super::super::{Device, DeviceBuffer, Kernel, LaunchShape, PinnedBuffer, abi};
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

/// Records of the last steps, in host memory that kernels write to. Where a step's questions are asked in several parts,
/// each part counts its own steps.
#[derive(Debug)]
pub struct Ring {
    records: PinnedBuffer<abi::record>,
    step: DeviceBuffer<u32>,
    steps: u32,
    questions: u32,
}

/// Which of a step's questions a reading has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    /// Counted from 0.
    pub index: u32,
    /// Number of its first question, and row of the step that it is asked of.
    pub first: u32,
}

impl Ring {
    /// For `steps` steps of up to `questions` questions in up to `parts` parts.
    ///
    /// # Errors
    /// [`crate::Error::Request`] when one is 0, [`crate::Error::Device`] with the driver's words.
    pub fn new(device: &Device, steps: u32, questions: u32, parts: u32) -> Result<Self> {
        refuse_unless(steps > 0 && questions > 0 && parts > 0, "ring", || {
            format!("{steps} steps of {questions} questions in {parts} parts")
        })?;
        let records = PinnedBuffer::zeroed(device, steps as usize * questions as usize)?;
        Ok(Self { records, step: DeviceBuffer::zeroed(device, parts as usize)?, steps, questions })
    }

    /// Steps there is room for.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// Steps of the first part whose records are complete, modulo 2^32, after everything queued.
    ///
    /// # Errors
    /// [`crate::Error::Device`] with the driver's words.
    pub fn steps_done(&self) -> Result<u32> {
        Ok(self.step.read(0, 1)?[0])
    }

    /// What a step that was waited for says of a question, as long as no later one has taken its place.
    ///
    /// # Panics
    /// When there is no such question.
    pub fn record(&self, step: u32, question: u32) -> abi::record {
        assert!(question < self.questions, "question {question} of {}", self.questions);
        self.records.get((step % self.steps) as usize * self.questions as usize + question as usize)
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

    /// Takes the answers to the questions asked last, which are `part` of the step's. `sketch` is by row of the step.
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
        part: Part,
    ) -> Result<()> {
        let (first, asked, rows) = (part.first as usize, reading.asked(), reading.used_rows());
        refuse_unless(
            first + asked <= ring.questions as usize && (part.index as usize) < ring.step.len(),
            "ring",
            || format!("{asked} questions as {part:?} of {} in {}", ring.questions, ring.step.len()),
        )?;
        refuse_unless(sketch.is_none_or(|s| s.len() >= first + rows), "sketch", || "a row has none".into())?;
        let context_stride = reading.stride();
        let params = abi::append_params {
            questions: reading.questions_mut().as_mut_ptr(),
            answers: reading.answer_words().as_ptr(),
            count: reading.count().as_ptr(),
            sketch: sketch.map_or(std::ptr::null(), |s| s.as_ptr().wrapping_add(first)),
            eos: eos.as_ptr(),
            token: next.token.as_mut_ptr(),
            position: next.position.as_mut_ptr(),
            context: reading.context_mut().as_mut_ptr(),
            ring: ring.records.as_mut_ptr().wrapping_add(first),
            step: ring.step.as_mut_ptr().wrapping_add(part.index as usize),
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

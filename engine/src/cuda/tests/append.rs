//! append.cu and the context tables: what a step leaves for the next one and for the host.

use super::device;
use super::reading::{noise, seed};
use crate::cuda::ops::append::{Append, NextStep, Part, Ring};
use crate::cuda::ops::choose::Choose;
use crate::cuda::ops::context::Context;
use crate::cuda::ops::read_logits::ReadLogits;
use crate::cuda::ops::reading::{Question, Reading, ReadingShape};
use crate::cuda::{Device, DeviceBuffer, abi};
use crate::numerics;
use crate::types::Sampling;

const VOCABULARY: usize = 150;
const LAYER: u32 = 3;

/// Sequences that step together; logits come from the test.
struct Steps {
    reading: Reading,
    append: Append,
    choose: Choose,
    read: ReadLogits,
    token: DeviceBuffer<u32>,
    position: DeviceBuffer<u32>,
    eos: DeviceBuffer<u32>,
    sketch: DeviceBuffer<u32>,
    ring: Ring,
    device: Device,
}

impl Steps {
    /// A sequence per entry: its tokens, and how many more it may have.
    fn new(device: &Device, sequences: &[(&[u32], u32)], sampling: &Sampling, eos: &[u32]) -> Self {
        let count = sequences.len() as u32;
        let shape = ReadingShape {
            vocabulary: VOCABULARY as u32,
            rows: count,
            questions: count,
            slots: count + 1,
            slices: 2,
            layer: LAYER,
        };
        let mut reading = Reading::new(device, shape).unwrap();
        reading.set_sampling(sampling, true, false).unwrap();
        let context = Context::new(device).unwrap();
        let mut questions = Vec::new();
        for (i, &(tokens, more)) in sequences.iter().enumerate() {
            let ids = DeviceBuffer::from_slice(device, tokens).unwrap();
            // By way of another slot, as a rollout takes its prompt's.
            context.start(&mut reading, count, None).unwrap();
            // SAFETY: the sequences hold ids of the vocabulary.
            unsafe { context.mark(&mut reading, count, &ids, 0) }.unwrap();
            context.start(&mut reading, i as u32, Some(count)).unwrap();
            let position = tokens.len() as u32;
            questions.push(Question {
                row: i as u32,
                slot: i as u32,
                position,
                claimed: None,
                seed: seed(i as u8),
                // Rows of the next step in another order than the questions.
                next_row: count - 1 - i as u32,
                last_position: position + more - 1,
            });
        }
        reading.ask(&questions).unwrap();
        Self {
            reading,
            append: Append::new(device).unwrap(),
            choose: Choose::new(device).unwrap(),
            read: ReadLogits::new(device).unwrap(),
            token: DeviceBuffer::zeroed(device, sequences.len()).unwrap(),
            position: DeviceBuffer::zeroed(device, sequences.len()).unwrap(),
            eos: DeviceBuffer::from_slice(device, eos).unwrap(),
            sketch: DeviceBuffer::from_slice(device, &(0..count).map(|i| 100 + i).collect::<Vec<_>>()).unwrap(),
            ring: Ring::new(device, 3, count, 1).unwrap(),
            device: device.clone(),
        }
    }

    fn step(&mut self, rows: &[Vec<f32>]) -> Vec<abi::record> {
        let mut padded = Vec::new();
        for row in rows {
            padded.extend_from_slice(row);
            padded.resize(padded.len().next_multiple_of(128), 0.0);
        }
        let done = self.ring.steps_done().unwrap();
        let logits = DeviceBuffer::from_slice(&self.device, &padded).unwrap();
        self.read.run(&logits, &mut self.reading).unwrap();
        self.choose.run(&mut self.reading).unwrap();
        let mut next = NextStep { token: &mut self.token, position: &mut self.position };
        let (reading, sketch, ring) = (&mut self.reading, Some(&self.sketch), &mut self.ring);
        // SAFETY: `next_row` counts the sequences down, and `next` has a row for each.
        unsafe { self.append.run(reading, sketch, &self.eos, &mut next, ring, Part::default()) }.unwrap();
        assert_eq!(self.ring.steps_done().unwrap(), done + 1);
        (0..self.token.len() as u32).map(|q| self.ring.record(done, q)).collect()
    }
}

/// Seven steps of three sequences against the reference fed with its own tokens; the ring has room for three.
#[test]
fn steps_continue_sequences_as_the_reference_does() {
    let Some(device) = device() else { return };
    for (top_k, top_p) in [(0, 1.0), (20, 0.9), (0, 0.7)] {
        let sampling = Sampling { temperature: 1.0, top_k, top_p, repetition_penalty: 1.05 };
        let mut sequences = [vec![5u32, 9, 5], vec![1], vec![149, 2]];
        let parameters: Vec<(&[u32], u32)> = sequences.iter().map(|s| (s.as_slice(), 1000)).collect();
        let mut steps = Steps::new(&device, &parameters, &sampling, &[]);
        for step in 0..7 {
            // The same few ids lead throughout, so the penalty of those drawn decides.
            let rows: Vec<Vec<f32>> = (0..3).map(|i| noise(VOCABULARY, 20 + i + step % 2, 40.0)).collect();
            let records = steps.step(&rows);
            for (i, (tokens, record)) in sequences.iter_mut().zip(&records).enumerate() {
                let wanted = numerics::sample(&rows[i], tokens, &sampling, &seed(i as u8), tokens.len()).unwrap();
                assert_eq!(
                    (record.token, record.state, record.fault),
                    (wanted.token, abi::QUESTION_LIVE, abi::NO_FAULT)
                );
                assert_eq!(record.raw.to_bits(), wanted.raw_logprobs[record.token as usize].to_bits());
                assert_eq!(record.sampling.to_bits(), wanted.sampling_logprobs[record.token as usize].to_bits());
                assert_eq!(record.sketch, 100 + i as u32);
                assert_eq!(steps.token.read(2 - i, 1).unwrap(), [wanted.token]);
                assert_eq!(steps.position.read(2 - i, 1).unwrap(), [tokens.len() as u32]);
                tokens.push(wanted.token);
            }
        }
        assert!(sequences[0][3..].iter().collect::<std::collections::BTreeSet<_>>().len() < 7, "a token came again");
    }
}

/// The row that draws `token` for sure.
fn forced(token: usize) -> Vec<f32> {
    let mut row = vec![-100.0f32; VOCABULARY];
    row[token] = 50.0;
    row
}

#[test]
fn a_sequence_ends_once_and_its_last_token_passes_through() {
    let Some(device) = device() else { return };
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    let sequences: [(&[u32], u32); 4] = [(&[3], 2), (&[3, 4], 9), (&[8], 9), (&[8], 1)];
    let mut steps = Steps::new(&device, &sequences, &sampling, &[77, 42]);
    let told = |records: &[abi::record]| records.iter().map(|r| (r.token, r.state)).collect::<Vec<_>>();
    let mut rows = vec![forced(10), forced(42), forced(11), forced(77)];
    rows[2][130] = f32::NAN;
    let records = steps.step(&rows);
    // An id of `eos` at the last position is an eos.
    let none = abi::NO_TOKEN;
    let fault = LAYER << 16 | abi::STAGE_LOGITS << 8 | abi::FAULT_LOGITS;
    assert_eq!(
        records.iter().map(|r| r.fault).collect::<Vec<_>>(),
        [abi::NO_FAULT, abi::NO_FAULT, fault, abi::NO_FAULT]
    );
    let (off, live, eos, length) = (abi::QUESTION_OFF, abi::QUESTION_LIVE, abi::QUESTION_EOS, abi::QUESTION_LENGTH);
    assert_eq!(told(&records), [(10, live), (42, eos), (none, live), (77, eos)]);
    assert_eq!(steps.token.to_vec().unwrap(), [77, 0, 42, 10]);
    steps.reading.clear_faults().unwrap();
    // What only the logits after a last token meet is nobody's fault.
    let mut rows = vec![forced(11), forced(12), forced(13), forced(14)];
    rows[1][0] = f32::NAN;
    let records = steps.step(&rows);
    assert_eq!(told(&records), [(11, length), (none, eos), (none, off), (none, eos)]);
    assert_eq!(records.iter().map(|r| r.fault).collect::<Vec<_>>(), [abi::NO_FAULT; 4]);
    assert_eq!(steps.token.to_vec().unwrap(), [77, 0, 42, 11], "ended sequences draw no more");
    let records = steps.step(&rows);
    assert_eq!(told(&records), [(none, length), (none, off), (none, off), (none, off)]);
    assert_eq!(told(&steps.step(&rows)), [(none, off); 4]);
    // A fault of the pass that the last token goes through is its sequence's.
    let mut steps = Steps::new(&device, &[(&[3], 1)], &sampling, &[]);
    assert_eq!(told(&steps.step(&[forced(5)])), [(5, length)]);
    let word = 1 << 16 | abi::STAGE_ATTENTION << 8 | abi::FAULT_ATTENTION;
    steps.reading.fault_mut().write(0, &[word]).unwrap();
    let records = steps.step(&[forced(5)]);
    assert_eq!((told(&records), records[0].fault), (vec![(none, length)], word));
}

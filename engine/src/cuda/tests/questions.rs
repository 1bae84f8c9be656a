//! What the wrappers of the reading kernels refuse, each beside the like that they take.

use super::device;
use super::reading::seed;
use crate::cuda::ops::append::{Append, NextStep, Part, Ring};
use crate::cuda::ops::context::Context;
use crate::cuda::ops::head::{Head, HeadInput};
use crate::cuda::ops::read_logits::ReadLogits;
use crate::cuda::ops::reading::{Question, Reading, ReadingShape};
use crate::cuda::{DeviceBuffer, abi};
use crate::types::Sampling;
use crate::{Error, Result};

const SHAPE: ReadingShape = ReadingShape { vocabulary: 300, rows: 2, questions: 3, slots: 2, slices: 3, layer: 1 };

fn question(row: u32) -> Question {
    Question { row, slot: 1, position: 4, claimed: Some(299), seed: seed(1), next_row: 0, last_position: 9 }
}

fn refused<T>(field: &str, result: Result<T>) {
    match result {
        Err(Error::Request { field: found, .. }) => assert_eq!(found, field),
        Err(other) => panic!("{field}: {other}"),
        Ok(_) => panic!("{field} was taken"),
    }
}

#[test]
fn shapes_that_kernels_do_not_take_are_refused() {
    let Some(device) = device() else { return };
    let new = |change: fn(&mut ReadingShape)| {
        let mut shape = SHAPE;
        change(&mut shape);
        Reading::new(&device, shape)
    };
    assert!(new(|_| ()).is_ok());
    refused("vocabulary", new(|s| s.vocabulary = 0));
    refused("rows", new(|s| s.rows = 0));
    refused("rows", new(|s| s.questions = 1));
    refused("slots", new(|s| s.slots = 0));
    refused("slices", new(|s| s.slices = 0));
    refused("slices", new(|s| s.slices = 4));
    let wide = |s: &mut ReadingShape| (s.vocabulary, s.slices) = (30_000, abi::SLICES_MAX + 1);
    refused("slices", new(wide));
    refused("ring", Ring::new(&device, 0, 1, 1));
    refused("ring", Ring::new(&device, 1, 0, 1));
    refused("ring", Ring::new(&device, 1, 1, 0));
    // Any number of multiprocessors and rows gives slices that are taken.
    let head = Head::new(&device, 64, 70).unwrap();
    for (multiprocessors, rows, vocabulary) in [(1, 1, 1), (132, 70, 300), (500, 1, 151_936), (4, 4000, 151_936)] {
        let slices = head.slices(multiprocessors, rows, vocabulary);
        assert!((1..=vocabulary.div_ceil(128).min(abi::SLICES_MAX)).contains(&slices), "{slices}");
    }
}

#[test]
fn questions_out_of_range_are_refused() {
    let Some(device) = device() else { return };
    let mut reading = Reading::new(&device, SHAPE).unwrap();
    reading.ask(&[question(0), question(1), question(1)]).unwrap();
    assert_eq!(reading.used_rows(), 2);
    reading.ask(&[question(0)]).unwrap();
    let mut ask = |questions: &[Question]| reading.ask(questions);
    refused("questions", ask(&[]));
    refused("questions", ask(&[question(0), question(0), question(1), question(1)]));
    refused("questions", ask(&[question(1)]));
    refused("questions", ask(&[question(0), question(1), question(0)]));
    refused("questions", ask(&[question(0), question(1), question(2)]));
    refused("questions", ask(&[question(0), Question { position: 5, ..question(0) }]));
    refused("questions", ask(&[Question { slot: 2, ..question(0) }]));
    refused("questions", ask(&[Question { claimed: Some(300), ..question(0) }]));
    refused("top_p", reading.set_sampling(&Sampling { top_p: 1.5, ..Sampling::default() }, true, false));
}

#[test]
fn buffers_that_are_too_small_are_refused() {
    let Some(device) = device() else { return };
    let mut reading = Reading::new(&device, SHAPE).unwrap();
    reading.set_sampling(&Sampling::default(), true, false).unwrap();
    reading.ask(&[question(0), question(1)]).unwrap();
    refused("device buffer", reading.logits(0));
    let words = |len: usize| DeviceBuffer::<u32>::zeroed(&device, len).unwrap();
    let append = |reading: &mut Reading, sketches: usize, part: Part| {
        let (mut token, mut position) = (words(8), words(8));
        let mut next = NextStep { token: &mut token, position: &mut position };
        let mut ring = Ring::new(&device, 2, 5, 2).unwrap();
        // SAFETY: the questions' next rows are below 8.
        unsafe {
            Append::new(&device).unwrap().run(reading, Some(&words(sketches)), &words(0), &mut next, &mut ring, part)
        }
    };
    append(&mut reading, 5, Part { index: 1, first: 3 }).unwrap();
    refused("sketch", append(&mut reading, 4, Part { index: 1, first: 3 }));
    refused("ring", append(&mut reading, 9, Part { index: 1, first: 4 }));
    refused("ring", append(&mut reading, 9, Part { index: 2, first: 3 }));
    let logits = |len: usize| DeviceBuffer::<f32>::zeroed(&device, len).unwrap();
    let read = ReadLogits::new(&device).unwrap();
    read.run(&logits(2 * 384), &mut reading).unwrap();
    refused("logits", read.run(&logits(2 * 384 - 1), &mut reading));
    let context = Context::new(&device).unwrap();
    context.start(&mut reading, 1, Some(0)).unwrap();
    refused("slot", context.start(&mut reading, 2, None));
    refused("slot", context.start(&mut reading, 1, Some(1)));
    refused("slot", context.start(&mut reading, 1, Some(2)));
    // 300 ids are 19 tiles, 130 channels 2 blocks; 2 rows are a tile.
    let head = Head::new(&device, 130, 2).unwrap();
    let bytes = |len: usize| DeviceBuffer::<u8>::zeroed(&device, len).unwrap();
    let exponents = |len: usize| DeviceBuffer::<i8>::zeroed(&device, len).unwrap();
    let mut run = |short: [usize; 4]| {
        let input = HeadInput {
            weight: &bytes(38 * 4096 - short[0]),
            weight_g: &exponents(38 * 16 - short[1]),
            x: &bytes(2 * 2048 - short[2]),
            x_g: &exponents(2 * 8 - short[3]),
        };
        head.run(&input, &mut reading)
    };
    run([0; 4]).unwrap();
    refused("head weights", run([1, 0, 0, 0]));
    refused("head weight exponents", run([0, 1, 0, 0]));
    refused("quantized rows", run([0, 0, 1, 0]));
    refused("exponents of quantized rows", run([0, 0, 0, 1]));
}

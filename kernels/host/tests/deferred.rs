//! The deferred mode does nothing that the program has not waited for, so that a missing synchronisation shows. Each
//! law is paired with the eager mode, in which the same mistake does not show.

mod common;

use std::sync::Arc;

use common::{Gpu, Params, address, function, gpu, set, shape};
use cudarc::driver::{CudaSlice, CudaStream, PushKernelArg, result};
use grail_standin::Setting;

const N: usize = 64;

/// Queues y += 3 x.
fn axpy(gpu: &Gpu, stream: &Arc<CudaStream>, x: &CudaSlice<f32>, y: &CudaSlice<f32>) {
    let f = function(gpu, "test_axpy");
    let params = Params { x: address(gpu, x), y: address(gpu, y), n: N as u32, ..Params::default() };
    // SAFETY: both have N elements.
    unsafe { stream.launch_builder(&f).arg(&params).launch(shape(1, N as u32, 0)) }.expect("queued");
}

/// Page-locked memory, which a copy may touch at any time until it has been waited for.
struct Pinned(*mut f32);

impl Pinned {
    fn new(gpu: &Gpu) -> Self {
        gpu.context.bind_to_thread().expect("a context");
        // SAFETY: it is written or waited for before its values count.
        Self(unsafe { result::malloc_host(4 * N, 0) }.expect("memory").cast())
    }

    fn fill(&mut self, value: f32) {
        for i in 0..N {
            // SAFETY: within the allocation; volatile, as in a program that forgot to wait.
            unsafe { self.0.add(i).write_volatile(value) };
        }
    }

    fn all(&self, value: f32) -> bool {
        // SAFETY: as above.
        (0..N).all(|i| unsafe { self.0.add(i).read_volatile() } == value)
    }

    fn slice(&mut self) -> &mut [f32] {
        // SAFETY: N elements, alive as long as self.
        unsafe { std::slice::from_raw_parts_mut(self.0, N) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated by malloc_host and not used any more.
        unsafe { result::free_host(self.0.cast()) }.expect("freed");
    }
}

fn to_pinned(stream: &CudaStream, from: u64, to: &mut Pinned) {
    // SAFETY: both have N elements.
    unsafe { result::memcpy_dtoh_async(to.slice(), from, stream.cu_stream()) }.expect("queued");
}

/// A result read before, and after, its stream was waited for.
fn read_early_and_late(gpu: &Gpu) -> [bool; 2] {
    let x = gpu.stream.clone_htod(&[1.0f32; N]).expect("a copy");
    let y = gpu.stream.alloc_zeros::<f32>(N).expect("memory");
    let mut host = Pinned::new(gpu);
    axpy(gpu, &gpu.stream, &x, &y);
    to_pinned(&gpu.stream, address(gpu, &y), &mut host);
    let early = host.all(3.0);
    gpu.stream.synchronize().expect("it runs");
    [early, host.all(3.0)]
}

#[test]
fn a_result_read_before_it_is_waited_for_is_wrong() {
    let Some(gpu) = gpu() else { return };
    assert_eq!(read_early_and_late(&gpu), [true, true], "eager hides the mistake");
    set(Setting::Mode("deferred"));
    assert_eq!(read_early_and_late(&gpu), [false, true], "deferred shows it");
}

/// Whether the values of a pinned buffer arrive although it is filled again before the copy was waited for.
fn refill_early(gpu: &Gpu) -> bool {
    let y = gpu.stream.alloc_zeros::<f32>(N).expect("memory");
    let mut host = Pinned::new(gpu);
    host.fill(1.0);
    // SAFETY: both have N elements.
    unsafe { result::memcpy_htod_async(address(gpu, &y), host.slice(), gpu.stream.cu_stream()) }.expect("queued");
    host.fill(2.0);
    gpu.stream.clone_dtoh(&y).expect("a copy") == [1.0; N]
}

#[test]
fn a_staging_buffer_refilled_before_its_copy_sends_the_wrong_values() {
    let Some(gpu) = gpu() else { return };
    assert!(refill_early(&gpu), "eager hides the mistake");
    set(Setting::Mode("deferred"));
    assert!(!refill_early(&gpu), "deferred shows it");
}

/// Whether a second stream sees what the first computed, with and without waiting for it.
fn across_streams(gpu: &Gpu, wait: bool) -> bool {
    let x = gpu.stream.clone_htod(&[1.0f32; N]).expect("a copy");
    let y = gpu.stream.alloc_zeros::<f32>(N).expect("memory");
    gpu.stream.synchronize().expect("both are there");
    let other = gpu.context.new_stream().expect("a stream");
    let mut host = Pinned::new(gpu);
    axpy(gpu, &gpu.stream, &x, &y);
    if wait {
        other.join(&gpu.stream).expect("queued");
    }
    to_pinned(&other, address(gpu, &y), &mut host);
    other.synchronize().expect("it runs");
    host.all(3.0)
}

#[test]
fn streams_are_ordered_by_events_alone() {
    let Some(gpu) = gpu() else { return };
    assert!(across_streams(&gpu, false), "eager hides the mistake");
    set(Setting::Mode("deferred"));
    assert!(!across_streams(&gpu, false), "deferred shows it");
    assert!(across_streams(&gpu, true), "an event orders them");
}

#[test]
fn no_more_runs_than_was_waited_for() {
    let Some(gpu) = gpu() else { return };
    set(Setting::Mode("deferred"));
    let x = gpu.stream.clone_htod(&[1.0f32; N]).expect("a copy");
    let y = gpu.stream.alloc_zeros::<f32>(N).expect("memory");
    let launches = || grail_standin::counts(0).expect("loaded").launches;
    let before = launches();
    axpy(&gpu, &gpu.stream, &x, &y);
    let event = gpu.stream.record_event(None).expect("an event");
    axpy(&gpu, &gpu.stream, &x, &y);
    assert_eq!(launches(), before);
    event.synchronize().expect("it runs");
    assert_eq!(launches(), before + 1);
    // who asks again and again gets there, one operation at a time
    let last = gpu.stream.record_event(None).expect("an event");
    let mut asked = 1;
    while !last.is_complete() {
        asked += 1;
        assert!(asked < 10);
    }
    assert!(asked > 1);
    assert_eq!(launches(), before + 2);
    axpy(&gpu, &gpu.stream, &x, &y);
    gpu.context.synchronize().expect("it runs");
    assert_eq!(launches(), before + 3);
}

#[test]
fn copies_to_pageable_memory_and_frees_keep_their_place() {
    let Some(gpu) = gpu() else { return };
    set(Setting::Mode("deferred"));
    let x = gpu.stream.clone_htod(&[1.0f32; N]).expect("a copy");
    let y = gpu.stream.alloc_zeros::<f32>(N).expect("memory");
    axpy(&gpu, &gpu.stream, &x, &y);
    drop(x); // freed in the order of the stream, after the kernel
    assert_eq!(gpu.stream.clone_dtoh(&y).expect("a copy"), [3.0; N], "such a copy returns when it is done");
}

#[test]
fn what_fails_is_told_when_it_is_waited_for() {
    let Some(mut gpu) = gpu() else { return };
    set(Setting::Mode("deferred"));
    set(Setting::Fault("launch:1:719"));
    let x = gpu.stream.clone_htod(&[1.0f32; N]).expect("a copy");
    let y = gpu.stream.alloc_zeros::<f32>(N).expect("memory");
    axpy(&gpu, &gpu.stream, &x, &y); // expects no error
    assert!(gpu.stream.synchronize().is_err());
    assert!(grail_standin::message(0).expect("loaded").contains("injected"));
    gpu.renew();
}

//! Buffers and launches: what is refused, and in whose words.

use super::device;
use crate::Error;
use crate::cuda::ring::HALF_BYTES;
use crate::cuda::{Device, DeviceBuffer, Kernel, LaunchShape, PinnedBuffer, abi};
use grail_standin::{Setting, set};

#[test]
fn what_is_written_is_read_back_and_the_rest_is_zero() {
    let Some(device) = device() else { return };
    let mut buffer = DeviceBuffer::<u32>::zeroed(&device, 1000).unwrap();
    assert_eq!(buffer.to_vec().unwrap(), [0; 1000]);
    let values: Vec<u32> = (1..=300).collect();
    buffer.write(700, &values).unwrap();
    assert_eq!(buffer.read(699, 301).unwrap(), [&[0], &values[..]].concat());
    assert_eq!(buffer.read(0, 700).unwrap(), [0; 700]);
    buffer.clear().unwrap();
    assert_eq!(buffer.to_vec().unwrap(), [0; 1000]);
    assert_eq!(DeviceBuffer::from_slice(&device, &values).unwrap().to_vec().unwrap(), values);
}

#[test]
fn a_buffer_may_be_empty_and_hold_structures() {
    let Some(device) = device() else { return };
    let mut empty = DeviceBuffer::<f32>::from_slice(&device, &[]).unwrap();
    empty.write(0, &[]).unwrap();
    assert!(empty.to_vec().unwrap().is_empty());
    let answer = abi::answer { token: 7, raw: -1.5, sampling: -0.25, fault: abi::NO_FAULT };
    let back = DeviceBuffer::from_slice(&device, &[answer; 3]).unwrap().to_vec().unwrap();
    assert_eq!(
        back.iter().map(|a| (a.token, a.raw, a.sampling, a.fault)).collect::<Vec<_>>(),
        [(7, -1.5, -0.25, abi::NO_FAULT); 3]
    );
}

#[test]
fn a_range_beyond_the_end_is_refused() {
    let Some(device) = device() else { return };
    let mut buffer = DeviceBuffer::<u8>::zeroed(&device, 16).unwrap();
    for (start, len) in [(0, 17), (16, 1), (17, 0), (usize::MAX, 2)] {
        assert!(matches!(buffer.read(start, len), Err(Error::Request { .. })), "{start} {len}");
    }
    assert!(matches!(buffer.write(15, &[1, 2]), Err(Error::Request { .. })));
    assert_eq!(buffer.to_vec().unwrap(), [0; 16]);
}

#[test]
fn out_of_memory_is_an_error_in_the_drivers_words() {
    let Some(device) = device() else { return };
    let free = device.free_bytes().unwrap();
    let error = DeviceBuffer::<u8>::zeroed(&device, free as usize + 1).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cuda:0: allocating {} bytes: ", free + 1)), "{error}");
    assert!(error.ends_with("(CUDA_ERROR_OUT_OF_MEMORY)"), "{error}");
    // Nothing is lost by it.
    assert_eq!(DeviceBuffer::from_slice(&device, &[5u8; 64]).unwrap().to_vec().unwrap(), [5; 64]);
}

#[test]
fn a_kernel_is_refused_by_name_and_by_the_size_of_its_parameter() {
    let Some(device) = device() else { return };
    let unknown = device.kernel::<abi::embed_params>("no_such_kernel", 0).unwrap_err().to_string();
    assert_eq!(unknown, "cuda:0: no file in kernels/ has the line KERNEL(no_such_kernel)");
    device.kernel::<abi::embed_params>("embed", 0).unwrap();
    let bytes = size_of::<abi::embed_params>();
    let other = device.kernel::<[u32; 3]>("embed", 0).unwrap_err().to_string();
    assert_eq!(other, format!("cuda:0: kernel embed: its parameter has {bytes} bytes in the image and 12 here"));
}

#[test]
fn a_launch_with_more_shared_memory_than_was_asked_for_is_refused() {
    let Some(device) = device() else { return };
    let kernel: Kernel<abi::append_params> = device.kernel("append", 1024).unwrap();
    // SAFETY: zero bits are null addresses; the launch is refused before anything runs.
    let params = unsafe { std::mem::zeroed() };
    let shape = LaunchShape { shared_bytes: 1025, ..LaunchShape::linear(1, 32) };
    // SAFETY: as above.
    let error = unsafe { kernel.launch(shape, &params) }.unwrap_err().to_string();
    assert_eq!(error, "cuda:0: launching append: 1025 bytes of shared memory, 1024 were allowed");
}

#[test]
fn pinned_memory_is_zeroed_and_copied_from_without_waiting() {
    let Some(device) = device() else { return };
    let mut pinned = PinnedBuffer::<u16>::zeroed(&device, 100).unwrap();
    assert!((0..100).all(|i| pinned.get(i) == 0));
    pinned.set(99, 7);
    // SAFETY: nothing was queued.
    unsafe { pinned.fill(10, &[1, 2, 3]) };
    let mut buffer = DeviceBuffer::<u16>::zeroed(&device, 4).unwrap();
    // SAFETY: both live until `to_vec` has waited.
    unsafe {
        buffer.queue_write(0, &pinned, 10, 3).unwrap();
        buffer.queue_write(3, &pinned, 99, 1).unwrap();
        assert!(matches!(buffer.queue_write(0, &pinned, 98, 3), Err(Error::Request { .. })));
        assert!(matches!(buffer.queue_write(2, &pinned, 0, 3), Err(Error::Request { .. })));
    }
    assert_eq!(buffer.to_vec().unwrap(), [1, 2, 3, 7]);
}

/// Whether values of five halves of the ring arrive, in pieces of many sizes, each forgotten by the host at once.
fn queued_values_arrive(device: &Device, careless: bool) -> bool {
    device.ring().unwrap().careless = careless;
    let len = 5 * HALF_BYTES / 4 + 7;
    let value = |i: usize| (i as u32).wrapping_mul(0x9e37_79b9);
    let mut buffer = DeviceBuffer::<u32>::zeroed(device, len).unwrap();
    let (mut at, mut step) = (0, 1);
    while at < len {
        let end = (at + step).min(len);
        let mut values: Vec<u32> = (at..end).map(value).collect();
        buffer.queue(at, &values).unwrap();
        values.fill(0);
        (at, step) = (end, (3 * step + 1) % (HALF_BYTES / 2));
    }
    buffer.to_vec().unwrap().into_iter().enumerate().all(|(i, found)| found == value(i))
}

/// On the second device: modes are a device's, and other tests run beside this one.
#[test]
fn a_ring_waits_for_the_copies_of_what_it_forgets() {
    if device().is_none() {
        return;
    }
    let device = Device::open(1).unwrap();
    assert!(queued_values_arrive(&device, false));
    assert!(queued_values_arrive(&device, true), "where work runs at once, a missing wait does not show");
    set(1, Setting::Mode("deferred")).unwrap();
    assert!(queued_values_arrive(&device, false));
    let missed = queued_values_arrive(&device, true);
    set(1, Setting::Mode("eager")).unwrap();
    assert!(!missed, "a half that is filled before its copies have run sends other values");
}

#[test]
fn what_is_queued_to_pinned_memory_is_there_after_a_wait() {
    let Some(device) = device() else { return };
    let buffer = DeviceBuffer::from_slice(&device, &[1u16, 2, 3, 4]).unwrap();
    let mut pinned = PinnedBuffer::zeroed(&device, 6).unwrap();
    // SAFETY: both live until the wait, and the elements are read after it.
    unsafe {
        buffer.queue_read(1, 3, &mut pinned, 2).unwrap();
        assert!(matches!(buffer.queue_read(1, 4, &mut pinned, 0), Err(Error::Request { .. })));
        assert!(matches!(buffer.queue_read(0, 3, &mut pinned, 4), Err(Error::Request { .. })));
    }
    device.synchronize().unwrap();
    assert_eq!((0..6).map(|i| pinned.get(i)).collect::<Vec<_>>(), [0, 0, 2, 3, 4, 0]);
}

#[test]
fn bits_are_set_and_the_rest_is_left_alone() {
    let Some(device) = device() else { return };
    let mut buffer = DeviceBuffer::from_slice(&device, &[7u32; 5]).unwrap();
    buffer.set_bits(3).unwrap();
    assert_eq!(buffer.to_vec().unwrap(), [u32::MAX, u32::MAX, u32::MAX, 7, 7]);
    assert!(matches!(buffer.set_bits(6), Err(Error::Request { .. })));
}

#[test]
fn a_recorded_step_runs_when_launched_and_as_often() {
    let Some(device) = device() else { return };
    let mut buffer = DeviceBuffer::from_slice(&device, &[1u32, 2, 3]).unwrap();
    let graph = device.record(|| buffer.clear()).unwrap();
    assert_eq!(buffer.to_vec().unwrap(), [1, 2, 3], "recording runs nothing");
    for _ in 0..2 {
        buffer.write(0, &[4, 5, 6]).unwrap();
        // SAFETY: the buffer lives.
        unsafe { graph.launch() }.unwrap();
        assert_eq!(buffer.to_vec().unwrap(), [0; 3]);
    }
}

#[test]
fn a_recording_that_fails_leaves_a_device_that_works() {
    let Some(device) = device() else { return };
    let wrong = || Error::Request { field: "test".into(), problem: "no step".into() };
    assert!(matches!(device.record(|| Err(wrong())).unwrap_err(), Error::Request { .. }));
    // Waiting is no part of a step.
    assert!(matches!(device.record(|| device.synchronize()).unwrap_err(), Error::Device { .. }));
    assert_eq!(DeviceBuffer::from_slice(&device, &[1u8, 2]).unwrap().to_vec().unwrap(), [1, 2]);
}

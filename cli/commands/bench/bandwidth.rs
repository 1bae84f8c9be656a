//! How fast this machine reads memory with several threads: the limit of decoding.

use std::hint::black_box;
use std::time::Instant;

/// Well beyond any cache, little enough for any machine that holds a model.
const WORDS_PER_THREAD: usize = 16 << 20;
const PASSES: usize = 5;

/// Bytes per second, the best of a few passes over fresh memory.
pub fn measure(threads: usize) -> f64 {
    let buffers: Vec<Vec<u64>> = (0..threads).map(|i| vec![i as u64 + 1; WORDS_PER_THREAD]).collect();
    let bytes = (threads * WORDS_PER_THREAD * size_of::<u64>()) as f64;
    let pass = |_| {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for buffer in &buffers {
                scope.spawn(|| black_box(sum(black_box(buffer))));
            }
        });
        bytes / begun.elapsed().as_secs_f64()
    };
    (0..PASSES).map(pass).fold(0.0, f64::max)
}

/// Eight sums side by side, so that memory and not addition sets the speed.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0_u64; 8];
    for chunk in words.as_chunks::<8>().0 {
        sums.iter_mut().zip(chunk).for_each(|(s, w)| *s = s.wrapping_add(*w));
    }
    sums.iter().fold(0, |a, b| a.wrapping_add(*b))
}

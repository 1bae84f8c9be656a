//! Rows of matrices, dealt out to threads.

use super::memory::Shared;
use super::pool::Pool;

/// Calls `f(row, elements)` once for each row of `width` elements of `x`.
pub fn for_each_row<T: Send>(pool: &Pool, grain: usize, x: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    assert!(width > 0 && x.len().is_multiple_of(width), "whole rows of {width}");
    let (rows, x) = (x.len() / width, Shared::new(x));
    pool.for_each(rows, grain, |range| {
        for row in range {
            // SAFETY: inside `x`; each row is dealt out once.
            f(row, unsafe { std::slice::from_raw_parts_mut(x.at(row * width), width) });
        }
    });
}

/// The same for rows of two matrices of as many rows.
pub fn for_each_row2<T: Send, U: Send>(
    pool: &Pool,
    grain: usize,
    (x, x_width): (&mut [T], usize),
    (y, y_width): (&mut [U], usize),
    f: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    assert!(y_width > 0 && y.len().is_multiple_of(y_width) && x.len() / x_width == y.len() / y_width, "as many rows");
    let y = Shared::new(y);
    for_each_row(pool, grain, x, x_width, |row, x| {
        // SAFETY: inside `y` by the check above; each row is dealt out once.
        f(row, x, unsafe { std::slice::from_raw_parts_mut(y.at(row * y_width), y_width) });
    });
}

//! Scans of a row of logits that look for few elements.

use crate::cpu::isa::dispatched;

dispatched! {
    /// Appends (y, id) of every element with y = `logits[i] * k` above `floor`, ids counting from `first`, ascending.
    pub fn collect_above(logits: &[f32], k: f32, floor: f32, first: u32, out: &mut Vec<(f32, u32)>) = collect_above_body;
}

#[inline(always)]
fn collect_above_body(logits: &[f32], k: f32, floor: f32, first: u32, out: &mut Vec<(f32, u32)>) {
    for (chunk, x) in logits.chunks(64).enumerate() {
        let any = x.iter().fold(false, |any, x| any | (x * k > floor));
        if any {
            for (i, x) in x.iter().enumerate() {
                let y = x * k;
                if y > floor {
                    out.push((y, first + (chunk * 64 + i) as u32));
                }
            }
        }
    }
}

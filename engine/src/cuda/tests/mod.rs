//! The kernels against the scalar reference to the bit, through the unmodified driver interface.

mod ahead;
mod append;
mod attention;
mod bench;
mod devices;
mod embed;
mod final_norm;
mod head;
mod instructions;
mod memory;
mod model;
mod norm_quantize;
mod nvrtc;
mod operands;
mod products;
mod quantize_rows;
mod quantize_weights;
mod questions;
mod reading;
mod sanitized;

use super::Device;

/// The stand-in's first device; `None`, and said aloud, where there is no C++ compiler to make kernels run.
fn device() -> Option<Device> {
    match grail_standin::load() {
        Ok(()) => Some(Device::open(0).expect("the stand-in has a device")),
        Err(grail_standin::Unavailable::NoCompiler) => {
            eprintln!("skipped: {}", grail_standin::Unavailable::NoCompiler);
            None
        }
        Err(broken) => panic!("{broken}"),
    }
}

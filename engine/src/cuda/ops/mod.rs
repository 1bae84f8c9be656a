//! One wrapper a kernel file: checks every shape, takes typed buffers, launches.

pub mod append;
pub mod choose;
pub mod context;
pub mod head;
pub mod read_logits;
pub mod reading;

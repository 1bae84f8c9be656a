//! One wrapper a kernel file: checks every shape, takes typed buffers, launches.

pub mod append;
pub mod attend_chunks;
pub mod attend_prefill;
pub mod choose;
pub mod combine_chunks;
pub mod context;
pub mod embed;
pub mod final_norm;
pub mod gemm;
pub mod gemv;
pub mod head;
pub mod norm_quantize;
pub mod operands;
pub mod pages;
pub mod products;
pub mod quantize_rows;
pub mod quantize_weights;
pub mod read_logits;
pub mod reading;
pub mod rotate_store;

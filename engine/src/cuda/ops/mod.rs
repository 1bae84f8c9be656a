//! One wrapper a kernel file: checks every shape, takes typed buffers, launches.

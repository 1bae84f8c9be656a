//! The kernels against the scalar reference to the bit, through the unmodified driver interface.

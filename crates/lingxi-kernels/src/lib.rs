//! lingxi-kernels.

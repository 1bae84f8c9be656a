//! GRAIL proofs.
#![warn(missing_docs)]

//! The `grail` program as a library.

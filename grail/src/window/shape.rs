//! Types of the fields that an environment adds to the format.

/// A JSON type. Nothing is optional and lists may have any length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`.
    Bool,
    /// A number by the grammar of integers.
    Integer,
    /// Any finite number.
    Real,
    /// A string.
    Text,
    /// A list of one type.
    List(&'static Shape),
}

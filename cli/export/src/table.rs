//! Rows into the bytes of a Parquet file: one row group, Snappy, every column required.

use std::sync::Arc;

use grail_protocol::environment::Environment;
use grail_protocol::json::{Style, Value};
use grail_protocol::window::{GroupText, Inference, Schema, WindowFile};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use crate::columns::{Column, Kind, columns};
use crate::row::{member, row};

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A field of a rollout is not what its column holds.
    #[error("rollout {rollout}: {column}: expected {expected}, found {found}")]
    Field {
        /// Its place in the file.
        rollout: usize,
        /// The column.
        column: &'static str,
        /// What the column holds.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The window file's own numbers, or the rollout's text.
    #[error("rollout {rollout}: {problem}")]
    Rollout {
        /// Its place in the file.
        rollout: usize,
        /// In words.
        problem: String,
    },
    /// The format's library.
    #[error("Parquet: {0}")]
    Parquet(#[from] ParquetError),
}

/// What is exported: a window file that was found valid.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file.
    pub file: &'a WindowFile,
    /// First block of its window, as derived.
    pub window: u64,
    /// The time of the export, in UTC as ISO 8601 has it.
    pub uploaded_at: &'a str,
}

/// A Parquet file of all rollouts of a window file, one row each, in their order.
///
/// # Errors
/// [`ExportError`]; none for a file that was found valid and whose numbers fit 64 bits.
pub fn table<E: Environment>(source: Source<'_>) -> Result<Vec<u8>, ExportError> {
    let mut values: Vec<Values> = columns().iter().map(|column| Values::of(column.kind)).collect();
    for (i, entry) in source.file.inferences.iter().enumerate() {
        let rollout = read::<E>(entry).map_err(|problem| ExportError::Rollout { rollout: i, problem })?;
        let base = row(&rollout, source.window).map_err(|problem| ExportError::Rollout { rollout: i, problem })?;
        for (column, values) in columns().iter().zip(&mut values) {
            let value = find(column, &base, &rollout, &source);
            values.push(&value).map_err(|(expected, found)| ExportError::Field {
                rollout: i,
                column: column.name,
                expected,
                found,
            })?;
        }
    }
    write(&values)
}

fn read<E: Environment>(entry: &Inference) -> Result<Value, String> {
    let text = GroupText::new(std::slice::from_ref(entry), &Schema::of::<E>());
    Value::read("rollout", text.line()).map_err(|error| error.to_string())
}

/// A column's value; null where there is none, which no column takes.
fn find(column: &Column, base: &Value, rollout: &Value, source: &Source<'_>) -> Value {
    let file = source.file;
    match column.name {
        "uploaded_at" => source.uploaded_at.into(),
        "proof_version" => file.proof_version.as_str().into(),
        "network_id" => file.network_id.as_str().into(),
        "window_length" => Value::Integer(file.window_length),
        "block_timestamp_ms" => Value::Integer(file.block.timestamp_ms),
        "beacon_round" => Value::Integer(file.beacon.round),
        "beacon_signature" => file.beacon.signature.as_str().into(),
        name if column.path.is_empty() => member(base, name).cloned().unwrap_or(Value::Null),
        _ => {
            let found = column.path.iter().try_fold(rollout, |value, key| member(value, key));
            match found {
                // Lists as JSON text, as those of PROTOCOL 8.1.
                Some(list @ Value::List(_)) => Value::Text(list.to_text(Style::Python)),
                other => other.cloned().unwrap_or(Value::Null),
            }
        }
    }
}

enum Values {
    Text(Vec<ByteArray>),
    Integer(Vec<i64>),
    Real(Vec<f64>),
    Bool(Vec<bool>),
}

impl Values {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(Vec::new()),
            Kind::Integer => Self::Integer(Vec::new()),
            Kind::Real => Self::Real(Vec::new()),
            Kind::Bool => Self::Bool(Vec::new()),
        }
    }

    /// Adds a value, or says what was expected and what found.
    fn push(&mut self, value: &Value) -> Result<(), (&'static str, String)> {
        let found = || value.to_text(Style::Canonical);
        match (self, value) {
            (Self::Text(texts), Value::Text(text)) => texts.push(text.as_bytes().to_vec().into()),
            (Self::Integer(integers), Value::Integer(integer)) => {
                integers.push(i64::try_from(*integer).map_err(|_| ("an integer of 64 bits", found()))?);
            }
            (Self::Real(reals), Value::Real(real)) => reals.push(*real),
            (Self::Bool(bools), Value::Bool(bool)) => bools.push(*bool),
            (Self::Text(_), _) => return Err(("a text", found())),
            (Self::Integer(_), _) => return Err(("an integer", found())),
            (Self::Real(_), _) => return Err(("a real", found())),
            (Self::Bool(_), _) => return Err(("true or false", found())),
        }
        Ok(())
    }
}

fn write(values: &[Values]) -> Result<Vec<u8>, ExportError> {
    let field = |column: &Column| {
        let physical = match column.kind {
            Kind::Text => Physical::BYTE_ARRAY,
            Kind::Integer => Physical::INT64,
            Kind::Real => Physical::DOUBLE,
            Kind::Bool => Physical::BOOLEAN,
        };
        let logical = (column.kind == Kind::Text).then_some(LogicalType::String);
        let field = Type::primitive_type_builder(column.name, physical).with_logical_type(logical);
        field.with_repetition(Repetition::REQUIRED).build().map(Arc::new)
    };
    let fields = columns().iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Arc::new(Type::group_type_builder("rollout").with_fields(fields).build()?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for values in values {
        let column = group.next_column()?;
        let mut column = column.ok_or_else(|| ParquetError::General("fewer columns than in the schema".to_owned()))?;
        match values {
            Values::Text(texts) => column.typed::<ByteArrayType>().write_batch(texts, None, None)?,
            Values::Integer(integers) => column.typed::<Int64Type>().write_batch(integers, None, None)?,
            Values::Real(reals) => column.typed::<DoubleType>().write_batch(reals, None, None)?,
            Values::Bool(bools) => column.typed::<BoolType>().write_batch(bools, None, None)?,
        };
        column.close()?;
    }
    group.close()?;
    Ok(writer.into_inner()?)
}

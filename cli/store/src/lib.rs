//! Objects in S3: window files, records.

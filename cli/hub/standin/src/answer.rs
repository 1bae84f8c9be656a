//! Requests as they arrive, and what they come to.

use serde_json::{Value, json};

/// A request, whole.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, PUT ...
    pub method: String,
    /// As it was sent, without what follows a question mark.
    pub path: String,
    /// What follows it.
    pub query: String,
    /// Of the header `Authorization`, after `Bearer `.
    pub token: Option<String>,
    /// Of the header `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, but for the length.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(value: &Value) -> Self {
        Self::of(200, &[("content-type", "application/json")], value.to_string().into_bytes())
    }

    pub(crate) fn of(status: u16, headers: &[(&str, &str)], body: Vec<u8>) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { status, headers, body }
    }

    /// A refusal as the hub words it: a code for programs, a message for people.
    pub(crate) fn refused(status: u16, code: &str, message: &str) -> Self {
        let mut headers = vec![("content-type", "application/json"), ("x-error-message", message)];
        if !code.is_empty() {
            headers.push(("x-error-code", code));
        }
        Self::of(status, &headers, json!({ "error": message }).to_string().into_bytes())
    }

    pub(crate) fn no_repo() -> Self {
        Self::refused(404, "RepoNotFound", "Repository not found")
    }

    pub(crate) fn no_revision(revision: &str) -> Self {
        Self::refused(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"))
    }

    pub(crate) fn no_entry() -> Self {
        Self::refused(404, "EntryNotFound", "Entry not found")
    }
}

//! What a data set has.

use serde_json::{Value, json};

use super::{Asked, body};
use crate::repo::{Commit, File};
use crate::server::decoded;
use crate::{Answer, State, large};

pub(super) fn revision(asked: &Asked<'_>, state: &mut State) -> Answer {
    let repo = &state.repos[&asked.id];
    let Some(commit) = repo.head(&asked.revision) else {
        return Answer::no_revision(&asked.revision);
    };
    let siblings: Vec<Value> = commit.files.keys().map(|path| json!({ "rfilename": path })).collect();
    Answer::json(&json!({
        "id": asked.id,
        "sha": commit.id,
        "private": repo.private,
        "gated": false,
        "disabled": false,
        "downloads": 0,
        "likes": 0,
        "tags": [],
        "siblings": siblings,
    }))
}

pub(super) fn tree(asked: &Asked<'_>, state: &mut State) -> Answer {
    let Some(commit) = state.repos[&asked.id].head(&asked.revision) else {
        return Answer::no_revision(&asked.revision);
    };
    let is_recursive = asked.request.query.split('&').any(|part| part.eq_ignore_ascii_case("recursive=true"));
    if !is_recursive {
        return Answer::refused(400, "", "only recursive listings are served here");
    }
    let below =
        |path: &str| asked.path.is_empty() || path.strip_prefix(&asked.path).is_some_and(|rest| rest.starts_with('/'));
    let files = commit.files.iter().filter(|(path, _)| below(path));
    Answer::json(&files.map(|(path, file)| entry(path, file)).collect())
}

pub(super) fn paths(asked: &Asked<'_>, state: &mut State) -> Answer {
    let Some(commit) = state.repos[&asked.id].head(&asked.revision) else {
        return Answer::no_revision(&asked.revision);
    };
    let found = asked_paths(asked).into_iter().filter_map(|path| Some(entry(&path, commit.files.get(&path)?)));
    Answer::json(&found.collect())
}

/// In JSON, or as a form.
fn asked_paths(asked: &Asked<'_>) -> Vec<String> {
    if asked.request.content_type.starts_with("application/json") {
        let told = body(asked.request);
        return told["paths"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    let form = String::from_utf8_lossy(&asked.request.body).into_owned();
    form.split('&').filter_map(|part| part.strip_prefix("paths=")).map(decoded).collect()
}

fn entry(path: &str, file: &File) -> Value {
    match file {
        File::Regular(content) => {
            json!({ "type": "file", "path": path, "oid": file.oid(), "size": content.len() })
        }
        File::Large { sha256, bytes } => json!({
            "type": "file",
            "path": path,
            "oid": file.oid(),
            "size": bytes,
            "lfs": { "oid": sha256, "size": bytes, "pointerSize": 134 },
        }),
    }
}

/// A file: its bytes, or for a large one where they are.
pub(super) fn resolve(asked: &Asked<'_>, state: &mut State) -> Answer {
    let Some(Commit { id, files, .. }) = state.repos[&asked.id].head(&asked.revision) else {
        return Answer::no_revision(&asked.revision);
    };
    match files.get(&asked.path) {
        None => Answer::no_entry(),
        Some(file @ File::Regular(content)) => {
            let headers = [("x-repo-commit", id.as_str()), ("etag", &format!("\"{}\"", file.oid()))];
            Answer::of(200, &headers, content.clone())
        }
        Some(File::Large { sha256, bytes }) => {
            let headers = [
                ("location", large::address(asked.shared, "GET", sha256)),
                ("x-repo-commit", id.clone()),
                ("x-linked-etag", format!("\"{sha256}\"")),
                ("x-linked-size", bytes.to_string()),
            ];
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            Answer::of(302, &headers, Vec::new())
        }
    }
}

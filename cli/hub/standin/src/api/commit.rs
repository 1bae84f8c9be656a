//! Commits: lines of JSON, the first about the commit, the others one file each.

use serde_json::{Value, json};

use super::Asked;
use crate::repo::File;
use crate::{Answer, State};

pub(super) fn commit(asked: &Asked<'_>, state: &mut State) -> Answer {
    let State { repos, objects, .. } = state;
    let Some(repo) = repos.get_mut(&asked.id) else {
        return Answer::no_repo();
    };
    let Some(head) = repo.branches.get(&asked.revision).cloned() else {
        return Answer::no_revision(&asked.revision);
    };
    let text = String::from_utf8_lossy(&asked.request.body).into_owned();
    let lines: Result<Vec<Value>, _> = text.lines().filter(|line| !line.is_empty()).map(serde_json::from_str).collect();
    let lines = match lines {
        Ok(lines) if lines.first().is_some_and(|line| line["key"] == "header") => lines,
        _ => return Answer::refused(400, "", "expected lines of JSON, the first a header"),
    };
    let header = &lines[0]["value"];
    let Some(summary) = header["summary"].as_str().filter(|summary| !summary.is_empty()) else {
        return Answer::refused(400, "", "summary: required");
    };
    if header["parentCommit"].as_str().is_some_and(|parent| parent != head) {
        return Answer::refused(412, "", "A commit has happened since. Please refresh and try again.");
    }
    let mut files = repo.commits[&head].files.clone();
    for line in &lines[1..] {
        let value = &line["value"];
        let file = match line["key"].as_str() {
            Some("lfsFile") => large(value, objects),
            Some("file") => regular(value),
            key => Err(format!("key: {key:?} is not served here")),
        };
        match (value["path"].as_str(), file) {
            (Some(path), Ok(file)) => files.insert(path.to_owned(), file),
            (None, _) => return Answer::refused(400, "", "path: required"),
            (_, Err(problem)) => return Answer::refused(400, "", &problem),
        };
    }
    let id = repo.add(&asked.revision, summary, files);
    let url = format!("{}/datasets/{}/commit/{id}", asked.shared.url, asked.id);
    Answer::json(&json!({ "success": true, "commitOid": id, "commitUrl": url, "hookOutput": "" }))
}

fn large(value: &Value, objects: &std::collections::BTreeMap<String, Vec<u8>>) -> Result<File, String> {
    let (Some("sha256"), Some(oid), Some(bytes)) =
        (value["algo"].as_str(), value["oid"].as_str(), value["size"].as_u64())
    else {
        return Err("lfsFile: algo sha256, oid and size".into());
    };
    match objects.get(oid) {
        Some(object) if object.len() as u64 == bytes => Ok(File::Large { sha256: oid.to_owned(), bytes }),
        Some(object) => Err(format!("LFS pointer of {bytes} bytes to an object of {}", object.len())),
        None => Err("LFS pointer pointed to a file that does not exist".into()),
    }
}

fn regular(value: &Value) -> Result<File, String> {
    let (Some("base64"), Some(content)) = (value["encoding"].as_str(), value["content"].as_str()) else {
        return Err("file: content in base64".into());
    };
    let content = base64_simd::STANDARD.decode_to_vec(content);
    content.map(File::Regular).map_err(|_| "file: content is no base64".into())
}

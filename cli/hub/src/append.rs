//! The commit: what is not there yet, on top of the head that was looked at.

use serde_json::{Value, json};

use crate::dataset::{Dataset, Staged, Stored};
use crate::error::HubError;
use crate::http::{ATTEMPTS, Call, odd};
use crate::name::is_commit;

/// What a data set has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The branch's commit with all files in it.
    pub commit: String,
    /// Files that were not there when the call began. The others were, with the same bytes.
    pub added: usize,
}

impl Dataset {
    /// Adds files by one commit. Those that are there with the same bytes are not added again, so a call whose answer
    /// was lost can be repeated.
    ///
    /// The commit names its parent. If another commit came first, the new head is looked at and the commit tried again,
    /// a bounded number of times.
    ///
    /// # Errors
    /// [`HubError::Exists`] if a path is there with other bytes, [`HubError::Raced`]; and as [`Dataset::head`].
    pub fn append(&self, files: &[Staged], summary: &str) -> Result<Appended, HubError> {
        let doing = format!("adding to {}", self.id);
        let url = self.branch_url("commit");
        let headers = [("content-type", "application/x-ndjson")];
        let mut attempt = 1;
        let mut absent = None;
        loop {
            let head = self.head()?;
            let missing = self.missing(&head, files)?;
            let added = *absent.get_or_insert(missing.len());
            // Nothing was to be done, or it was done by an attempt whose answer did not arrive.
            if missing.is_empty() {
                return Ok(Appended { commit: head, added });
            }
            let body = operations(&missing, summary, &head);
            let call = Call { headers: &headers, ..self.ask(&doing, "POST", &url, Some(&body)) };
            let wait = match self.http.once(&call) {
                Ok(answer) if matches!(answer.status, 409 | 412) => {
                    if attempt >= ATTEMPTS {
                        return Err(HubError::Raced { dataset: self.id.to_string(), attempts: attempt });
                    }
                    None
                }
                Ok(answer) => {
                    let told = answer.success(&call)?.json(&call)?;
                    let commit = told["commitOid"].as_str().filter(|oid| is_commit(oid));
                    let commit = commit.ok_or_else(|| odd(&call, "commitOid", "40 hex digits", &told["commitOid"]))?;
                    return Ok(Appended { commit: commit.to_owned(), added });
                }
                Err(trouble) if trouble.passes && attempt < ATTEMPTS => trouble.wait(),
                Err(trouble) => return Err(trouble.told(&call, attempt)),
            };
            self.http.pause(attempt, wait);
            attempt += 1;
        }
    }

    /// The files that a commit does not have.
    fn missing<'a>(&self, commit: &str, files: &'a [Staged]) -> Result<Vec<&'a Staged>, HubError> {
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let mut missing = Vec::new();
        for (file, found) in files.iter().zip(self.find_all(commit, &paths)?) {
            match found {
                None => missing.push(file),
                Some(found) if self.is_same(commit, file, &found)? => {}
                Some(_) => {
                    return Err(HubError::Exists { dataset: self.id.to_string(), path: file.path.clone() });
                }
            }
        }
        Ok(missing)
    }

    fn is_same(&self, commit: &str, file: &Staged, found: &Stored) -> Result<bool, HubError> {
        if found.bytes != file.bytes {
            return Ok(false);
        }
        match &found.sha256 {
            Some(sha256) => Ok(*sha256 == file.sha256),
            None => Ok(crate::dataset::sha256(&self.read(commit, &file.path, found)?) == file.sha256),
        }
    }
}

/// A commit as the hub takes it: one JSON object a line, the first about the commit.
fn operations(files: &[&Staged], summary: &str, parent: &str) -> Vec<u8> {
    let header = json!({ "key": "header", "value": { "summary": summary, "description": "", "parentCommit": parent } });
    let operation = |file: &&Staged| match &file.content {
        None => json!({
            "key": "lfsFile",
            "value": { "path": file.path, "algo": "sha256", "oid": file.sha256, "size": file.bytes },
        }),
        Some(content) => {
            let content = base64_simd::STANDARD.encode_to_string(content);
            json!({ "key": "file", "value": { "path": file.path, "content": content, "encoding": "base64" } })
        }
    };
    let lines: Vec<Value> = std::iter::once(header).chain(files.iter().map(operation)).collect();
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

//! The hub's own address: which request is what, who may make it, and what goes wrong with it.

mod commit;
mod read;

use serde_json::{Value, json};

use crate::fault::{Kind, Step, next};
use crate::repo::{Repo, is_large};
use crate::server::decoded;
use crate::{Answer, OWNER, READER, Request, Seen, Shared, State, WRITER, large};

/// A request as its handler sees it.
pub(crate) struct Asked<'a> {
    pub shared: &'a Shared,
    pub request: &'a Request,
    /// `owner/name`.
    pub id: String,
    /// Branch or commit; empty where there is none.
    pub revision: String,
    /// What follows it.
    pub path: String,
    /// Whether bytes that are stored or sent are to be altered.
    pub is_damaged: bool,
}

type Work = fn(&Asked<'_>, &mut State) -> Answer;

pub(crate) fn answer(shared: &Shared, request: &Request) -> Option<Answer> {
    let parts: Vec<String> = request.path.trim_start_matches('/').split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let is_read = matches!(request.method.as_str(), "GET" | "HEAD");
    let is_post = request.method == "POST";
    let (step, writes, work, id, revision, path): (_, _, Work, _, _, &[&str]) = match parts[..] {
        ["api", "whoami-v2"] if is_read => return Some(whoami(request)),
        ["api", "repos", "create"] if is_post => (Step::Create, true, create, String::new(), "", &[]),
        ["api", "datasets", owner, name] if is_read => {
            (Step::Revision, false, read::revision, format!("{owner}/{name}"), "main", &[])
        }
        ["api", "datasets", owner, name, what, revision, ref path @ ..] => {
            let (step, writes, work): (_, _, Work) = match what {
                "revision" if is_read => (Step::Revision, false, read::revision),
                "tree" if is_read => (Step::Paths, false, read::tree),
                "paths-info" if is_post => (Step::Paths, false, read::paths),
                "preupload" if is_post => (Step::Preupload, true, preupload),
                "commit" if is_post => (Step::Commit, true, commit::commit),
                _ => return Some(Answer::no_entry()),
            };
            (step, writes, work, format!("{owner}/{name}"), revision, path)
        }
        ["datasets", owner, name, "info", "lfs", "objects", what] if is_post && name.ends_with(".git") => {
            let (step, work): (_, Work) = match what {
                "batch" => (Step::Batch, large::batch),
                "verify" => (Step::Verify, large::verify),
                _ => return Some(Answer::no_entry()),
            };
            (step, true, work, format!("{owner}/{}", name.trim_end_matches(".git")), "", &[])
        }
        ["datasets", owner, name, "resolve", revision, ref path @ ..] if is_read => {
            (Step::Resolve, false, read::resolve, format!("{owner}/{name}"), revision, path)
        }
        _ => return Some(Answer::no_entry()),
    };
    let asked = Asked { shared, request, id, revision: revision.to_owned(), path: path.join("/"), is_damaged: false };
    run(step, asked, |asked, state| match may(asked, state, writes) {
        Ok(()) => work(asked, state),
        Err(refusal) => refusal,
    })
}

/// Does what a request asks for, unless something is to go wrong with it.
pub(crate) fn run(
    step: Step,
    mut asked: Asked<'_>,
    work: impl FnOnce(&Asked<'_>, &mut State) -> Answer,
) -> Option<Answer> {
    let mut state = asked.shared.state();
    let state = &mut *state;
    state.seen.push(Seen {
        method: asked.request.method.clone(),
        path: asked.request.path.clone(),
        has_token: asked.request.token.is_some(),
        is_storage: matches!(step, Step::Put | Step::Fetch),
    });
    match next(&mut state.faults, step) {
        None => Some(work(&asked, state)),
        Some(Kind::Status(status)) => Some(Answer::refused(status, "", "made to fail")),
        Some(Kind::Later(status, seconds)) => {
            let mut answer = Answer::refused(status, "", "made to wait");
            answer.headers.push(("retry-after".into(), seconds.to_string()));
            Some(answer)
        }
        Some(Kind::Dropped) => None,
        Some(Kind::LostAnswer) => {
            work(&asked, state);
            None
        }
        Some(Kind::Race(path, content)) => {
            if let Some(repo) = state.repos.get_mut(&asked.id) {
                repo.put(&asked.revision, &path, &content, &mut state.objects);
            }
            Some(work(&asked, state))
        }
        Some(Kind::Damaged) => {
            asked.is_damaged = true;
            Some(work(&asked, state))
        }
        Some(Kind::Answer(text)) => Some(Answer::of(200, &[("content-type", "application/json")], text.into_bytes())),
    }
}

/// Who may do what; a private data set is told apart from a missing one only by those who may see it.
fn may(asked: &Asked<'_>, state: &State, writes: bool) -> Result<(), Answer> {
    let token = asked.request.token.as_deref();
    if token.is_some_and(|token| token != WRITER && token != READER) {
        return Err(Answer::refused(401, "", "Invalid credentials in Authorization header"));
    }
    let refused =
        |answer| if token.is_none() { Answer::refused(401, "RepoNotFound", "Repository not found") } else { answer };
    if let Some(name) = state.renamed.get(&asked.id).filter(|_| !writes) {
        let location = asked.request.path.replacen(&asked.id, name, 1);
        return Err(Answer::of(307, &[("location", &location)], Vec::new()));
    }
    if !asked.id.is_empty() {
        match state.repos.get(&asked.id) {
            None => return Err(refused(Answer::no_repo())),
            Some(repo) if repo.private && token.is_none() => return Err(refused(Answer::no_repo())),
            Some(_) => {}
        }
    }
    match token {
        _ if !writes => Ok(()),
        Some(WRITER) => Ok(()),
        Some(_) => Err(Answer::refused(403, "", "you must use a write token")),
        None => Err(Answer::refused(401, "", "Invalid username or password.")),
    }
}

fn whoami(request: &Request) -> Answer {
    let role = match request.token.as_deref() {
        Some(WRITER) => "write",
        Some(READER) => "read",
        _ => return Answer::refused(401, "", "Invalid credentials in Authorization header"),
    };
    Answer::json(&json!({ "type": "user", "name": OWNER, "auth": { "accessToken": { "role": role } } }))
}

pub(crate) fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

fn create(asked: &Asked<'_>, state: &mut State) -> Answer {
    let told = body(asked.request);
    let (kind, name, owner) = (told["type"].as_str(), told["name"].as_str(), told["organization"].as_str());
    let (Some("dataset"), Some(name)) = (kind, name) else {
        return Answer::refused(400, "", "Only data sets with a name are made here");
    };
    let owner = owner.unwrap_or(OWNER);
    if owner != OWNER {
        let message = format!("You don't have the rights to create a dataset under the namespace \"{owner}\"");
        return Answer::refused(403, "", &message);
    }
    let private = match told["visibility"].as_str() {
        None | Some("public") => false,
        Some("private") => true,
        Some(_) => return Answer::refused(400, "", "visibility"),
    };
    let id = format!("{owner}/{name}");
    if state.repos.contains_key(&id) {
        return Answer::refused(409, "", "You already created this dataset repo");
    }
    state.repos.insert(id.clone(), Repo::new(private));
    Answer::json(&json!({ "url": format!("{}/datasets/{id}", asked.shared.url), "name": id }))
}

fn preupload(asked: &Asked<'_>, state: &mut State) -> Answer {
    let repo = &state.repos[&asked.id];
    let Some(head) = repo.head(&asked.revision) else {
        return Answer::no_revision(&asked.revision);
    };
    let told = body(asked.request);
    let mut files = Vec::new();
    for file in told["files"].as_array().into_iter().flatten() {
        let (Some(path), Some(bytes), Some(_)) =
            (file["path"].as_str(), file["size"].as_u64(), file["sample"].as_str())
        else {
            return Answer::refused(400, "", "files: path, size and sample");
        };
        let mode = if is_large(path, bytes) { "lfs" } else { "regular" };
        let mut info = json!({ "path": path, "uploadMode": mode, "shouldIgnore": repo.ignores(&asked.revision, path) });
        if let Some(there) = head.files.get(path) {
            info["oid"] = there.oid().into();
        }
        files.push(info);
    }
    Answer::json(&json!({ "files": files }))
}

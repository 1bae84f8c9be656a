//! The large store, by Git LFS's batch interface with its basic transfer: ask where to, put there, let it be checked.

use serde_json::{Value, json};

use crate::dataset::Dataset;
use crate::error::{HubError, Said};
use crate::http::{ATTEMPTS, Call, JSON_BYTES, Trouble, odd};

const MEDIA_TYPE: &str = "application/vnd.git-lfs+json";

/// What came of an attempt that brought nothing.
enum Miss {
    Trouble(Trouble, HubStep),
    /// The store has other bytes.
    Unconfirmed(Said),
    Error(HubError),
}

/// Where an attempt got stuck, for its error.
struct HubStep {
    doing: String,
    url: String,
}

impl From<HubError> for Miss {
    fn from(error: HubError) -> Self {
        Self::Error(error)
    }
}

impl Dataset {
    /// Brings bytes to the large store. Each attempt asks anew where to: those addresses are for a short time.
    pub(crate) fn store(&self, path: &str, sha256: &str, content: &[u8]) -> Result<(), HubError> {
        let mut attempt = 1;
        loop {
            let wait = match self.try_store(path, sha256, content) {
                Ok(()) => return Ok(()),
                Err(Miss::Error(error)) => return Err(error),
                Err(Miss::Trouble(trouble, _)) if trouble.passes && attempt < ATTEMPTS => trouble.wait(),
                Err(Miss::Trouble(trouble, HubStep { doing, url })) => {
                    return Err(trouble.told(&self.ask(&doing, "PUT", &url, None), attempt));
                }
                Err(Miss::Unconfirmed(_)) if attempt < ATTEMPTS => None,
                Err(Miss::Unconfirmed(said)) => {
                    return Err(HubError::Unconfirmed { path: path.to_owned(), attempts: attempt, said });
                }
            };
            self.http.pause(attempt, wait);
            attempt += 1;
        }
    }

    fn try_store(&self, path: &str, sha256: &str, content: &[u8]) -> Result<(), Miss> {
        let doing = format!("storing {path} for {}", self.id);
        let url = format!("{}/datasets/{}.git/info/lfs/objects/batch", self.http.endpoint(), self.id);
        let body = json!({
            "operation": "upload",
            "transfers": ["basic"],
            "objects": [{ "oid": sha256, "size": content.len() }],
            "hash_algo": "sha256",
            "ref": { "name": self.branch.to_string() },
        });
        let body = body.to_string();
        let headers = [("accept", MEDIA_TYPE), ("content-type", MEDIA_TYPE)];
        let batch = Call { headers: &headers, ..self.ask(&doing, "POST", &url, Some(body.as_bytes())) };
        let told = self.once(&batch)?.success(&batch)?.json(&batch)?;
        if let Some(transfer) = told["transfer"].as_str().filter(|transfer| *transfer != "basic") {
            return Err(odd(&batch, "transfer", "basic", &transfer.into()).into());
        }
        let object = &told["objects"][0];
        if object["oid"].as_str() != Some(sha256) {
            return Err(odd(&batch, "objects[0].oid", "that of the file", &object["oid"]).into());
        }
        if let Some(code) = object["error"]["code"].as_u64() {
            let said = Said::new(object["error"]["message"].as_str().unwrap_or_default());
            let status = u16::try_from(code).unwrap_or(u16::MAX);
            return Err(HubError::Refused { doing, host: self.http.host(), status, said }.into());
        }
        // Without an action the store has it.
        let upload = &object["actions"]["upload"];
        if upload.is_null() {
            return Ok(());
        }
        self.put(&doing, upload, content)?;
        match &object["actions"]["verify"] {
            Value::Null => Ok(()),
            verify => self.verify(&doing, verify, sha256, content.len()),
        }
    }

    fn put(&self, doing: &str, action: &Value, content: &[u8]) -> Result<(), Miss> {
        let url = self.http.named(doing, "actions.upload.href", &action["href"])?;
        let headers = headers_of(action);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        // The address itself is the permission, and mostly another host's.
        let call = Call {
            doing,
            method: "PUT",
            url: &url,
            signed: false,
            headers: &headers,
            body: Some(content),
            limit: JSON_BYTES,
        };
        self.once(&call)?.success(&call)?;
        Ok(())
    }

    /// Lets the hub compare what the store has.
    fn verify(&self, doing: &str, action: &Value, sha256: &str, bytes: usize) -> Result<(), Miss> {
        let url = self.http.named(doing, "actions.verify.href", &action["href"])?;
        let given = headers_of(action);
        let mut headers = vec![("accept", MEDIA_TYPE), ("content-type", MEDIA_TYPE)];
        headers.extend(given.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let body = json!({ "oid": sha256, "size": bytes }).to_string();
        let signed =
            self.http.is_own(&url) && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let call = Call { headers: &headers, signed, ..self.ask(doing, "POST", &url, Some(body.as_bytes())) };
        let answer = self.once(&call)?;
        match answer.status {
            // 404: it has none; 409 and 422: others. 400 is what the hub says.
            400 | 404 | 409 | 422 => Err(Miss::Unconfirmed(answer.said())),
            _ => answer.success(&call).map(drop).map_err(Miss::from),
        }
    }

    fn once(&self, call: &Call<'_>) -> Result<crate::http::Answer, Miss> {
        let step = |trouble| Miss::Trouble(trouble, HubStep { doing: call.doing.to_owned(), url: call.url.to_owned() });
        self.http.once(call).map_err(step)
    }
}

/// What an action wants in the request's head.
fn headers_of(action: &Value) -> Vec<(String, String)> {
    let members = action["header"].as_object().into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

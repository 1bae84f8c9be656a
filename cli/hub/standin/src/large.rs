//! The large store: Git LFS's batch interface with its basic transfer, and an address of its own for the bytes.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::api::{Asked, body, run};
use crate::fault::Step;
use crate::{Answer, Request, Shared, State};

/// Where an object's bytes go or are, signed.
pub(crate) fn address(shared: &Shared, method: &str, oid: &str) -> String {
    format!("{}/{oid}?signature={}", shared.storage, signature(method, oid))
}

fn signature(method: &str, oid: &str) -> String {
    hex::encode(&Sha256::digest(format!("storage {method} {oid}"))[..8])
}

/// The storage's address.
pub(crate) fn answer(shared: &Shared, request: &Request) -> Option<Answer> {
    let oid = request.path.trim_start_matches('/').to_owned();
    let step = if request.method == "PUT" { Step::Put } else { Step::Fetch };
    let asked = Asked { shared, request, id: String::new(), revision: String::new(), path: oid, is_damaged: false };
    run(step, asked, |asked, state| {
        let request = asked.request;
        // As S3: an address is either signed, or asked with credentials.
        if request.token.is_some() {
            return Answer::of(400, &[], b"<Error><Code>InvalidArgument</Code></Error>".to_vec());
        }
        if request.query != format!("signature={}", signature(&request.method, &asked.path)) {
            return Answer::of(403, &[], b"<Error><Code>SignatureDoesNotMatch</Code></Error>".to_vec());
        }
        match request.method.as_str() {
            "PUT" => {
                state.arrived.insert(asked.path.clone(), damaged(&request.body, asked.is_damaged));
                Answer::of(200, &[], Vec::new())
            }
            _ => match state.objects.get(&asked.path) {
                Some(object) => Answer::of(200, &[], damaged(object, asked.is_damaged)),
                None => Answer::of(404, &[], Vec::new()),
            },
        }
    })
}

fn damaged(bytes: &[u8], is_damaged: bool) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(last) = bytes.last_mut().filter(|_| is_damaged) {
        *last ^= 1;
    }
    bytes
}

/// Where objects go; without an action for those that are there.
pub(crate) fn batch(asked: &Asked<'_>, state: &mut State) -> Answer {
    let told = body(asked.request);
    let offers_basic = told["transfers"].as_array().is_none_or(|offered| offered.iter().any(|name| name == "basic"));
    if told["operation"] != "upload" || told["hash_algo"] != "sha256" || !offers_basic {
        return Answer::refused(422, "", "only uploads of sha256 objects by basic transfer are served here");
    }
    let verify = format!("{}/datasets/{}.git/info/lfs/objects/verify", asked.shared.url, asked.id);
    let object = |object: &Value| {
        let (Some(oid), Some(bytes)) = (object["oid"].as_str().filter(|oid| is_oid(oid)), object["size"].as_u64())
        else {
            return json!({ "oid": object["oid"], "size": 0, "error": { "code": 422, "message": "no such object" } });
        };
        if state.objects.contains_key(oid) {
            return json!({ "oid": oid, "size": bytes });
        }
        let upload = json!({ "href": address(asked.shared, "PUT", oid) });
        json!({ "oid": oid, "size": bytes, "actions": { "upload": upload, "verify": { "href": verify } } })
    };
    let objects: Vec<Value> = told["objects"].as_array().into_iter().flatten().map(object).collect();
    Answer::json(&json!({ "transfer": "basic", "objects": objects }))
}

fn is_oid(oid: &str) -> bool {
    oid.len() == 64 && oid.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Takes what arrived into the store, if it is what was announced.
pub(crate) fn verify(asked: &Asked<'_>, state: &mut State) -> Answer {
    let told = body(asked.request);
    let (oid, bytes) = (told["oid"].as_str().unwrap_or_default(), told["size"].as_u64());
    let Some(arrived) = state.arrived.remove(oid) else {
        return Answer::refused(404, "", "no such object");
    };
    let (found, size) = (hex::encode(Sha256::digest(&arrived)), arrived.len() as u64);
    if found != oid || Some(size) != bytes {
        return Answer::refused(422, "", &format!("the object has {size} bytes of sha256 {found}"));
    }
    state.objects.insert(oid.to_owned(), arrived);
    Answer::json(&json!({}))
}

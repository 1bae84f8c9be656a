//! A party's own bucket: the pair of keys that writes, and the pair that it publishes.

use std::env::VarError;

use anyhow::{Context, Result, bail};
use grail_localnet::bucket::Access;
use grail_store::{Bucket, ReadCredentials, Settings, Store, r2_endpoint};

use crate::commands::Usage;

/// A bucket to write to, and how others read it.
#[derive(Debug, Clone)]
pub struct OwnBucket {
    /// With the pair that writes.
    pub store: Store,
    /// The pair that only reads.
    pub read: ReadCredentials,
}

impl OwnBucket {
    /// The bucket of a hotkey on a local network.
    ///
    /// # Errors
    /// A configuration that the client refuses.
    pub fn local(endpoint: &str, access: &Access, settings: Settings) -> Result<Self> {
        let bucket = Bucket {
            endpoint: endpoint.to_owned(),
            region: "auto".to_owned(),
            name: access.bucket.clone(),
            access_key_id: access.write.id.clone(),
            secret_access_key: access.write.secret.as_str().into(),
            force_path_style: true,
        };
        let read = ReadCredentials::new(&access.bucket, &access.read.id, &access.read.secret)?;
        Self::new(bucket, read, settings)
    }

    /// The bucket that the environment names, by the variables of PROTOCOL 1.2.
    ///
    /// # Errors
    /// A variable that is missing or wrong, by its name; a published pair that could write.
    pub fn from_env(settings: Settings) -> Result<Self> {
        let account = needed("R2_ACCOUNT_ID")?;
        let name = needed("R2_BUCKET_ID")?;
        if name != account {
            bail!(Usage(format!(
                "R2_BUCKET_ID: {name:?}; readers take the account id for the bucket's name, so both must be equal"
            )));
        }
        let endpoint = match optional("R2_ENDPOINT_URL")? {
            Some(endpoint) => endpoint,
            None => r2_endpoint(&account).context("R2_ACCOUNT_ID")?,
        };
        let force_path_style = match optional("R2_FORCE_PATH_STYLE")?.map(|text| text.to_ascii_lowercase()) {
            None => false,
            Some(text) => match text.as_str() {
                "1" | "true" | "yes" => true,
                "0" | "false" | "no" => false,
                other => bail!(Usage(format!("R2_FORCE_PATH_STYLE: {other:?}; expected true or false"))),
            },
        };
        let bucket = Bucket {
            endpoint,
            region: optional("R2_REGION")?.unwrap_or_else(|| "auto".to_owned()),
            name,
            access_key_id: needed("R2_WRITE_ACCESS_KEY_ID")?,
            secret_access_key: needed("R2_WRITE_SECRET_ACCESS_KEY")?.as_str().into(),
            force_path_style,
        };
        let read =
            ReadCredentials::new(&account, &needed("R2_READ_ACCESS_KEY_ID")?, &needed("R2_READ_SECRET_ACCESS_KEY")?)
                .context("R2_READ_ACCESS_KEY_ID, R2_READ_SECRET_ACCESS_KEY")?;
        Self::new(bucket, read, settings)
    }

    fn new(bucket: Bucket, read: ReadCredentials, settings: Settings) -> Result<Self> {
        read.refuse_write_pair(&bucket)?;
        Ok(Self { store: Store::new(bucket, settings)?, read })
    }
}

/// A variable's text; an empty one counts as not set. No message contains a value.
fn optional(name: &'static str) -> Result<Option<String>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => bail!(Usage(format!("{name}: not Unicode text"))),
    }
}

fn needed(name: &'static str) -> Result<String> {
    optional(name)?.with_context(|| Usage(format!("{name}: not set; a bucket needs it (.env.example shows all)")))
}

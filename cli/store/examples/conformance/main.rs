//! Whether a store keeps the promises that `grail` relies on, tried with `grail`'s own client.
//!
//! `S3_ENDPOINT`, `S3_BUCKET`, `S3_ACCESS_KEY_ID` and `S3_SECRET_ACCESS_KEY` say which; `S3_REGION` is `auto` unless
//! given. The bucket must be empty, and is again in the end. A broken promise ends it with what was found.

mod laws;

use grail_store::{Bucket, Store};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let var = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let bucket = Bucket {
        endpoint: var("S3_ENDPOINT")?,
        region: var("S3_REGION").unwrap_or_else(|_| "auto".to_owned()),
        name: var("S3_BUCKET")?,
        access_key_id: var("S3_ACCESS_KEY_ID")?,
        secret_access_key: var("S3_SECRET_ACCESS_KEY")?.into(),
        force_path_style: true,
    };
    let store = Store::new(bucket, laws::settings())?;
    laws::all(&store).await;
    println!("every law of stores holds at {}", store.bucket().endpoint);
    Ok(())
}

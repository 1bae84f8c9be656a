//! A hub, and a client of it whose waits are written down instead of waited.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use grail_hub::{Appended, Dataset, HubError, Patience, Settings, Staged};
use grail_hub_standin::{Hub, WRITER};

pub const ID: &str = "org/rollouts";
pub const PATH: &str = "data/train-1.parquet";

/// Waits so far, in seconds.
pub type Waits = Arc<Mutex<Vec<u64>>>;

/// A hub with one empty data set.
pub fn hub() -> Hub {
    let hub = Hub::start().unwrap();
    hub.create(ID, false);
    hub
}

pub fn settings(hub: &Hub) -> Settings {
    Settings {
        endpoint: hub.url().to_owned(),
        token: Some(WRITER.to_owned()),
        id: ID.parse().unwrap(),
        branch: "main".parse().unwrap(),
        patience: Patience::from_fn(|_| {}),
    }
}

pub fn dataset(hub: &Hub) -> Dataset {
    Dataset::new(settings(hub)).unwrap()
}

/// A client that writes down how long it would have waited.
pub fn patient(hub: &Hub) -> (Dataset, Waits) {
    let waits = Waits::default();
    let log = Arc::clone(&waits);
    let patience = Patience::from_fn(move |wait: Duration| log.lock().unwrap().push(wait.as_secs()));
    (Dataset::new(Settings { patience, ..settings(hub) }).unwrap(), waits)
}

pub fn stage(dataset: &Dataset, path: &str, content: &[u8]) -> Result<Staged, HubError> {
    dataset.plan(path, content.to_vec()).and_then(|planned| dataset.stage(planned))
}

/// One file, from its bytes to the commit.
pub fn add(dataset: &Dataset, path: &str, content: &[u8]) -> Result<Appended, HubError> {
    let staged = stage(dataset, path, content)?;
    dataset.append(&[staged], "Add rollouts")
}

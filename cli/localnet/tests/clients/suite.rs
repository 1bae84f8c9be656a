//! The laws of stores (`cli/store/examples/conformance`) hold at the local network's, asked directly and through a proxy
//! that changes nothing.

use grail_localnet::bucket::{Access, BucketServer, KeyPair};
use grail_store::{Bucket, Settings, Store};
use tempfile::TempDir;

use crate::fault::FaultProxy;
use crate::laws::all;
pub use crate::laws::{CAP, settings};

pub struct Local {
    pub server: BucketServer,
    pub access: Access,
    pub folder: TempDir,
}

pub async fn local() -> Local {
    let folder = tempfile::tempdir().unwrap();
    let server = BucketServer::start(0, folder.path()).await.unwrap();
    let access = Access::derive(&[1; 32], &[2; 32]);
    server.grant(&access).unwrap();
    Local { server, access, folder }
}

pub fn bucket(endpoint: String, access: &Access, pair: &KeyPair) -> Bucket {
    Bucket {
        endpoint,
        region: "auto".to_owned(),
        name: access.bucket.clone(),
        access_key_id: pair.id.clone(),
        secret_access_key: pair.secret.clone().into(),
        force_path_style: true,
    }
}

impl Local {
    pub fn writer(&self) -> Store {
        self.writer_at(self.server.url(), settings())
    }

    pub fn writer_at(&self, endpoint: String, settings: Settings) -> Store {
        Store::new(bucket(endpoint, &self.access, &self.access.write), settings).unwrap()
    }

    pub fn reader(&self) -> Store {
        self.writer().of(bucket(self.server.url(), &self.access, &self.access.read)).unwrap()
    }
}

#[tokio::test]
async fn the_local_store_keeps_every_promise() {
    let local = local().await;
    all(&local.writer()).await;
}

#[tokio::test]
async fn a_proxy_without_faults_changes_nothing() {
    let local = local().await;
    let proxy = FaultProxy::before(&local.server.url()).await;
    all(&local.writer_at(proxy.url(), settings())).await;
    assert!(proxy.seen().len() > 50, "it was asked");
}

//! The local network's buckets: S3 over a folder (DESIGN 5), for the real client and any S3 tool.
//!
//! Each bucket has two pairs of keys, as at R2: one writes, one only reads and can be published. Objects are files, so
//! they survive the process; a key is refused where a folder of files could not hold it apart from the others. Names
//! of buckets go into the path. It serves loopback only and is not made for strangers.

mod access;
mod guard;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

use crate::serve::Server;
use access::Grants;
pub use access::{Access, GrantError, KeyPair};
use guard::Guard;

/// A running store.
#[derive(Debug)]
pub struct BucketServer {
    server: Server,
    folder: PathBuf,
    grants: Arc<Grants>,
}

/// Why the store does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BucketError {
    /// The folder cannot be made or read.
    #[error("bucket folder {path}: {problem}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        problem: String,
    },
    /// The port cannot be had.
    #[error("bucket port {port}: {source}")]
    Port {
        /// The port.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
}

impl BucketServer {
    /// Serves a folder, which is made if it is not there, on a port of the loopback interface, 0 for any that is free.
    /// No bucket can be used before [`BucketServer::grant`].
    ///
    /// # Errors
    /// [`BucketError`].
    pub async fn start(port: u16, folder: &Path) -> Result<Self, BucketError> {
        let failed = |problem: String| BucketError::Folder { path: folder.to_owned(), problem };
        std::fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
        let files = FileSystem::new(folder).map_err(|error| failed(format!("{error:?}")))?;
        let grants = Arc::new(Grants::default());
        let mut service = S3ServiceBuilder::new(Guard::new(files, folder, Arc::clone(&grants)));
        service.set_auth(access::Auth(Arc::clone(&grants)));
        let server = Server::start(port, service.build()).await;
        let server = server.map_err(|source| BucketError::Port { port, source })?;
        Ok(Self { server, folder: folder.to_owned(), grants })
    }

    /// Opens a bucket to its two pairs of keys, and makes it if it is not there. The same again is no error.
    ///
    /// # Errors
    /// [`GrantError`] for names that are none, a key that opens another bucket, or a folder that cannot be made.
    pub fn grant(&self, access: &Access) -> Result<(), GrantError> {
        access.check()?;
        let path = self.folder.join(&access.bucket);
        std::fs::create_dir_all(&path).map_err(|source| GrantError::Folder { path, source })?;
        self.grants.add(access)
    }

    /// Where it is, as endpoints are configured: `http://host:port`.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Ends it; requests that are being answered are finished.
    pub async fn shutdown(self) {
        self.server.shutdown().await;
    }
}

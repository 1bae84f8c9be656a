//! Writing objects: in one request, or in parts when they are long.
//!
//! A request that was answered and whose answer was lost is sent again, and then finds its own work: the object exists
//! already, or the parts are gone. So every upload carries a random name in the object's metadata, and such a refusal
//! after more than one attempt is settled by looking whose object is there.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::task::JoinSet;

use crate::checksum::{SHA256_KEY, Sums};
use crate::client::{Store, Watch, random_name};
use crate::error::Error;

/// Metadata that tells uploads apart.
const MARK: &str = "grail-upload";

/// What is written.
#[derive(Debug, Clone)]
pub enum Body {
    /// From memory.
    Bytes(Bytes),
    /// From a file, which must not change meanwhile.
    File(PathBuf),
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<PathBuf> for Body {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl Body {
    /// How many bytes it has.
    ///
    /// # Errors
    /// [`Error::File`].
    pub async fn length(&self) -> Result<u64, Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::File(path) => {
                let failed = |source| Error::File { path: path.clone(), source };
                let metadata = tokio::fs::metadata(path).await.map_err(failed)?;
                match metadata.is_file() {
                    true => Ok(metadata.len()),
                    false => Err(failed(std::io::Error::other("not a file"))),
                }
            }
        }
    }

    /// A piece, with its `Content-MD5` and the SHA-256 of it for metadata.
    async fn part(&self, start: u64, bytes: u64) -> Result<(ByteStream, String, String), Error> {
        match self {
            Self::Bytes(all) => {
                // The range is within what `length` said, so it fits.
                let piece = all.slice(start as usize..(start + bytes) as usize);
                let mut sums = Sums::new();
                sums.update(&piece);
                let (md5, sha256) = sums.finish();
                Ok((ByteStream::from(piece), md5, sha256))
            }
            Self::File(path) => {
                let (md5, sha256) = sums_of_file(path, start, bytes).await?;
                let stream = ByteStream::read_from().path(path).offset(start).length(Length::Exact(bytes));
                let failed = |error| Error::File { path: path.clone(), source: std::io::Error::other(error) };
                Ok((stream.build().await.map_err(failed)?, md5, sha256))
            }
        }
    }

    /// SHA-256 of the whole, in hex.
    async fn sha256(&self, bytes: u64) -> Result<String, Error> {
        Ok(match self {
            Self::Bytes(all) => hex::encode(Sha256::digest(all)),
            Self::File(path) => sums_of_file(path, 0, bytes).await?.1,
        })
    }
}

/// Checksums of a piece of a file, which must be that long.
async fn sums_of_file(path: &Path, start: u64, bytes: u64) -> Result<(String, String), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
    file.seek(SeekFrom::Start(start)).await.map_err(failed)?;
    let (mut piece, mut sums, mut buffer) = (file.take(bytes), Sums::new(), vec![0; 1 << 16]);
    loop {
        match piece.read(&mut buffer).await.map_err(failed)? {
            0 if piece.limit() > 0 => return Err(failed(std::io::Error::other("it became shorter"))),
            0 => return Ok(sums.finish()),
            read => sums.update(&buffer[..read]),
        }
    }
}

/// One upload: where it goes, whether it may replace what is there, and its mark.
struct Upload<'a> {
    store: &'a Store,
    key: &'a str,
    new: bool,
    mark: String,
    watch: Watch,
}

impl Store {
    /// No [`Store::put`] of so many bytes takes longer: its parts one after the other, before and after them one request
    /// each.
    #[must_use]
    pub fn longest_put(&self, bytes: u64) -> Duration {
        let requests = bytes / self.settings.part_bytes.max(1) + 4;
        let requests = self.settings.operation_timeout.saturating_mul(u32::try_from(requests).unwrap_or(u32::MAX));
        requests.saturating_add(self.settings.allowance(bytes))
    }

    /// Writes an object, over an older one if there is one.
    ///
    /// # Errors
    /// The kinds of every request; [`Error::File`].
    pub async fn put(&self, key: &str, body: impl Into<Body>) -> Result<(), Error> {
        self.upload("put", key, body.into(), false).await
    }

    /// Writes an object that is not there yet.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`], which leaves the object as it is; the kinds of every request; [`Error::File`].
    pub async fn put_new(&self, key: &str, body: impl Into<Body>) -> Result<(), Error> {
        self.upload("put new", key, body.into(), true).await
    }

    async fn upload(&self, method: &'static str, key: &str, body: Body, new: bool) -> Result<(), Error> {
        let watch = self.watch(method, Some(key));
        let mark = random_name().map_err(|problem| watch.other(problem))?;
        let bytes = body.length().await?;
        let upload = Upload { store: self, key, new, mark, watch };
        let done = match bytes >= self.settings.multipart_bytes {
            false => upload.at_once(&body, bytes).await,
            true => upload.in_parts(&body, bytes).await,
        };
        match done {
            Err(error @ (Error::AlreadyExists { .. } | Error::NotFound { .. })) if upload.watch.attempts() > 1 => {
                if upload.is_there().await {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            done => done,
        }
    }
}

impl Upload<'_> {
    fn condition(&self) -> Option<String> {
        self.new.then(|| "*".to_owned())
    }

    async fn at_once(&self, body: &Body, bytes: u64) -> Result<(), Error> {
        let Self { store, key, mark, watch, .. } = self;
        let (body, md5, sha256) = body.part(0, bytes).await?;
        let asked = store.client.put_object().bucket(&store.bucket.name).key(*key).metadata(MARK, mark);
        let asked = asked.metadata(SHA256_KEY, sha256).content_md5(md5);
        let asked = asked.set_if_none_match(self.condition()).body(body);
        let asked = asked.customize().interceptor(watch.counter()).config_override(store.patience(bytes));
        asked.send().await.map_err(|e| watch.failed(e))?;
        Ok(())
    }

    async fn in_parts(&self, body: &Body, bytes: u64) -> Result<(), Error> {
        let Self { store, key, mark, watch, .. } = self;
        let sha256 = body.sha256(bytes).await?;
        let asked = store.client.create_multipart_upload().bucket(&store.bucket.name).key(*key).metadata(MARK, mark);
        let asked = asked.metadata(SHA256_KEY, sha256);
        let begun = asked.customize().interceptor(watch.counter()).send().await.map_err(|e| watch.failed(e))?;
        let id = begun.upload_id().ok_or_else(|| watch.other("the store began an upload without an id"))?;
        let done = match self.parts(body, bytes, id).await {
            Ok(parts) => self.complete(id, parts).await,
            Err(error) => Err(error),
        };
        if done.is_err() {
            // What was sent is kept, and paid for, until somebody removes it. The first error is the one to tell.
            let abort = store.client.abort_multipart_upload().bucket(&store.bucket.name).key(*key).upload_id(id);
            if let Err(error) = abort.send().await {
                tracing::debug!(key = *key, error = %watch.failed(error), "upload not aborted");
            }
        }
        done
    }

    async fn parts(&self, body: &Body, bytes: u64, id: &str) -> Result<Vec<CompletedPart>, Error> {
        // S3 has at most 10,000 parts.
        let size = self.store.settings.part_bytes.max(bytes.div_ceil(10_000)).max(1);
        let (mut sending, mut done) = (JoinSet::new(), Vec::new());
        for (number, start) in (1_i32..).zip((0..bytes).step_by(usize::try_from(size).unwrap_or(usize::MAX))) {
            if sending.len() >= self.store.settings.parts_at_once.max(1) {
                done.extend(self.one_of(&mut sending).await?);
            }
            let (store, key, id, watch) = (self.store.clone(), self.key.to_owned(), id.to_owned(), self.watch.clone());
            let (body, length) = (body.clone(), size.min(bytes - start));
            sending.spawn(async move {
                let asked = store.client.upload_part().bucket(&store.bucket.name).key(key).upload_id(id);
                let (piece, md5, _) = body.part(start, length).await?;
                let asked = asked.part_number(number).content_md5(md5).body(piece);
                let asked = asked.customize().interceptor(watch.counter()).config_override(store.patience(length));
                let sent = asked.send().await.map_err(|e| watch.failed(e))?;
                Ok(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build())
            });
        }
        while !sending.is_empty() {
            done.extend(self.one_of(&mut sending).await?);
        }
        done.sort_by_key(CompletedPart::part_number);
        Ok(done)
    }

    /// The next part to be done. On an error the others are stopped by the set's end.
    async fn one_of(
        &self,
        sending: &mut JoinSet<Result<CompletedPart, Error>>,
    ) -> Result<Option<CompletedPart>, Error> {
        match sending.join_next().await {
            None => Ok(None),
            Some(Ok(part)) => part.map(Some),
            Some(Err(error)) => Err(self.watch.other(format!("a part's task ended: {error}"))),
        }
    }

    async fn complete(&self, id: &str, parts: Vec<CompletedPart>) -> Result<(), Error> {
        let Self { store, key, watch, .. } = self;
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let asked = store.client.complete_multipart_upload().bucket(&store.bucket.name).key(*key).upload_id(id);
        let asked = asked.set_if_none_match(self.condition()).multipart_upload(parts);
        asked.customize().interceptor(watch.counter()).send().await.map_err(|e| watch.failed(e))?;
        Ok(())
    }

    /// Whether the object that is there is this upload's.
    async fn is_there(&self) -> bool {
        let asked = self.store.client.head_object().bucket(&self.store.bucket.name).key(self.key);
        let head = asked.send().await;
        head.is_ok_and(|head| head.metadata().is_some_and(|m| m.get(MARK).is_some_and(|found| *found == self.mark)))
    }
}

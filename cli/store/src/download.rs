//! Reading an object piece by piece, so that it can be hashed while it comes and need not fit into memory.
//!
//! The length is checked against the caller's limit before anything is read and again while reading; it must be
//! stated, because a body that ends with the connection cannot be told from one that was cut. A connection that breaks
//! is taken up again where it broke, as long as the object is still the same. Where its writer stated the object's hash
//! (`checksum`), the last piece is handed out only if the hash of all is that.

use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use crate::checksum::stated_sha256;
use crate::client::{Store, Watch};
use crate::error::{Cause, Error};

/// Memory that is set aside before anything has come.
const FIRST_CAPACITY: u64 = 1 << 20;

/// An object that is being read.
#[derive(Debug)]
pub struct Download {
    store: Store,
    key: String,
    watch: Watch,
    cap: u64,
    length: u64,
    etag: Option<String>,
    read: u64,
    body: ByteStream,
    breaks: u32,
    /// What the writer stated, and the hash of what was read.
    stated: Option<[u8; 32]>,
    hash: Sha256,
}

impl Store {
    /// Begins to read an object of at most `cap` bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`] and the kinds of every request.
    pub async fn get(&self, key: &str, cap: u64) -> Result<Download, Error> {
        let watch = self.watch("get", Some(key));
        let asked = self.client.get_object().bucket(&self.bucket.name).key(key);
        let answer = asked.customize().interceptor(watch.counter()).send().await.map_err(|e| watch.failed(e))?;
        let length = stated_length(&answer).ok_or_else(|| watch.other("the store does not say how long it is"))?;
        if length > cap {
            return Err(Error::TooLarge { request: Box::new(watch.request()), bytes: length, cap });
        }
        let GetObjectOutput { body, e_tag: etag, metadata, .. } = answer;
        let download = Download {
            store: self.clone(),
            key: key.to_owned(),
            watch,
            cap,
            length,
            etag,
            read: 0,
            body,
            breaks: 0,
            stated: stated_sha256(metadata.as_ref()),
            hash: Sha256::new(),
        };
        // No piece of an empty object comes that would be looked at.
        download.check_end()?;
        Ok(download)
    }

    /// Reads an object of at most `cap` bytes into memory.
    ///
    /// # Errors
    /// As [`Store::get`] and [`Download::chunk`].
    pub async fn get_capped(&self, key: &str, cap: u64) -> Result<Vec<u8>, Error> {
        let mut download = self.get(key, cap).await?;
        let mut bytes = Vec::with_capacity(usize::try_from(download.length.min(FIRST_CAPACITY)).unwrap_or(0));
        while let Some(chunk) = download.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

impl Store {
    /// Reads `bytes` bytes of an object from `start` on: all of them, of one answer, or an error. Their integrity is
    /// the connection's; only whole objects have a hash.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Other`] for a range that is not within the object or that the store does not keep
    /// to, and the kinds of every request.
    pub async fn get_range(&self, key: &str, start: u64, bytes: u64) -> Result<Vec<u8>, Error> {
        let watch = self.watch("get range", Some(key));
        let last = bytes.checked_sub(1).and_then(|more| start.checked_add(more));
        let last = last.ok_or_else(|| watch.other(format!("no range: {bytes} bytes from {start} on")))?;
        let (mut failed, range) = (0, format!("bytes={start}-{last}"));
        loop {
            let asked = self.client.get_object().bucket(&self.bucket.name).key(key).range(&range);
            let answer = asked.customize().interceptor(watch.counter()).send().await.map_err(|e| watch.failed(e))?;
            let kept_to = answer.content_range().is_some_and(|r| r.starts_with(&format!("bytes {start}-{last}/")));
            if !kept_to || stated_length(&answer) != Some(bytes) {
                let found = answer.content_range().unwrap_or("the whole object").to_owned();
                return Err(watch.other(format!("{range} was asked for, {found} came")));
            }
            let problem = match self.all_of(answer.body, bytes, &watch).await {
                Ok(read) => return Ok(read),
                Err(problem) => problem,
            };
            failed += 1;
            let backoff = self.settings.backoff(failed);
            let limit = self.settings.operation_timeout.saturating_add(self.settings.allowance(bytes));
            if watch.attempts() >= self.settings.attempts || watch.elapsed() + backoff >= limit {
                return Err(problem);
            }
            sleep(backoff).await;
        }
    }

    async fn all_of(&self, mut body: ByteStream, bytes: u64, watch: &Watch) -> Result<Vec<u8>, Error> {
        let mut read = Vec::with_capacity(usize::try_from(bytes.min(FIRST_CAPACITY)).unwrap_or(0));
        let limit = self.settings.operation_timeout.saturating_add(self.settings.allowance(bytes));
        while (read.len() as u64) < bytes {
            let wait = self.settings.idle_timeout.min(limit.saturating_sub(watch.elapsed()));
            let place = format!("after {} of {bytes} bytes", read.len());
            let request = || Box::new(watch.request());
            match timeout(wait, body.next()).await {
                Ok(Some(Ok(chunk))) => read.extend_from_slice(&chunk),
                Ok(Some(Err(error))) => {
                    let reason = format!("{place} the connection broke: {error}");
                    return Err(Error::Unreachable { request: request(), reason, source: error.into() });
                }
                Ok(None) => {
                    let reason = format!("{place} the answer ended");
                    return Err(Error::Unreachable { request: request(), source: reason.clone().into(), reason });
                }
                Err(_) => {
                    let reason = format!("{place} nothing more came, or too slowly");
                    return Err(Error::Timeout { request: request(), source: reason.clone().into(), reason });
                }
            }
        }
        match read.len() as u64 == bytes {
            true => Ok(read),
            false => Err(watch.other(format!("{} bytes came where {bytes} were asked for", read.len()))),
        }
    }
}

/// How a body failed to come.
enum Break {
    Ended,
    Slow,
    Failed(Cause),
}

impl Download {
    /// Bytes of the whole object.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// The next piece; `None` after the last, when all bytes have been read.
    ///
    /// # Errors
    /// [`Error::Timeout`] and [`Error::Unreachable`] once the attempts are used up, [`Error::Damaged`] instead of the last
    /// piece of other bytes than were written, [`Error::Other`] for an object that changed meanwhile. The download is
    /// over then.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        while self.read < self.length {
            let wait = self.store.settings.idle_timeout.min(self.time_left());
            let problem = match timeout(wait, self.body.next()).await {
                Ok(Some(Ok(chunk))) if chunk.is_empty() => continue,
                Ok(Some(Ok(chunk))) => return self.accept(chunk).map(Some),
                Ok(Some(Err(error))) => Break::Failed(error.into()),
                Ok(None) => Break::Ended,
                Err(_) => Break::Slow,
            };
            self.resume(problem).await?;
        }
        Ok(None)
    }

    fn accept(&mut self, chunk: Bytes) -> Result<Bytes, Error> {
        self.read += chunk.len() as u64;
        if self.read > self.length.min(self.cap) {
            let request = Box::new(self.watch.request());
            return Err(Error::TooLarge { request, bytes: self.read, cap: self.cap });
        }
        if self.stated.is_some() {
            self.hash.update(&chunk);
        }
        self.check_end()?;
        Ok(chunk)
    }

    /// Once all has come: whether it is what was written.
    fn check_end(&self) -> Result<(), Error> {
        let Some(stated) = self.stated.filter(|_| self.read == self.length) else {
            return Ok(());
        };
        let found: [u8; 32] = self.hash.clone().finalize().into();
        match found == stated {
            true => Ok(()),
            false => Err(Error::Damaged {
                request: Box::new(self.watch.request()),
                stated: hex::encode(stated),
                found: hex::encode(found),
            }),
        }
    }

    fn time_left(&self) -> Duration {
        let settings = &self.store.settings;
        let all = settings.operation_timeout.saturating_add(settings.allowance(self.length));
        all.saturating_sub(self.watch.elapsed())
    }

    /// Asks for the rest, if there is an attempt and the time for it.
    async fn resume(&mut self, problem: Break) -> Result<(), Error> {
        self.breaks += 1;
        let backoff = self.store.settings.backoff(self.breaks);
        if self.watch.attempts() >= self.store.settings.attempts || self.time_left() <= backoff {
            return Err(self.given_up(problem));
        }
        sleep(backoff).await;
        let asked = self.store.client.get_object().bucket(&self.store.bucket.name).key(&self.key);
        let asked = asked.range(format!("bytes={}-", self.read)).set_if_match(self.etag.clone());
        let sent = asked.customize().interceptor(self.watch.counter()).send();
        let answer = match timeout(self.time_left(), sent).await {
            Err(_) => return Err(self.given_up(Break::Slow)),
            Ok(Err(error)) => match self.watch.failed(error) {
                // The condition: not the object that was begun.
                Error::AlreadyExists { .. } => return Err(self.changed()),
                error => return Err(error),
            },
            Ok(Ok(answer)) => answer,
        };
        let whole = format!("bytes {}-{}/{}", self.read, self.length - 1, self.length);
        let rest = Some(self.length - self.read);
        // Not every store looks at the condition or at the range.
        if answer.e_tag != self.etag || answer.content_range() != Some(&whole) || stated_length(&answer) != rest {
            return Err(self.changed());
        }
        self.body = answer.body;
        Ok(())
    }

    fn changed(&self) -> Error {
        self.watch.other("the object changed while it was read, or the store cannot continue a reading")
    }

    fn given_up(&self, problem: Break) -> Error {
        let request = Box::new(self.watch.request());
        let place = format!("after {} of {} bytes", self.read, self.length);
        match problem {
            Break::Slow => {
                let reason = format!("{place} nothing more came, or too slowly");
                Error::Timeout { request, source: reason.clone().into(), reason }
            }
            Break::Ended => {
                let reason = format!("{place} the answer ended");
                Error::Unreachable { request, source: reason.clone().into(), reason }
            }
            Break::Failed(source) => {
                let reason = format!("{place} the connection broke: {source}");
                Error::Unreachable { request, reason, source }
            }
        }
    }
}

fn stated_length(answer: &GetObjectOutput) -> Option<u64> {
    answer.content_length().and_then(|length| u64::try_from(length).ok())
}

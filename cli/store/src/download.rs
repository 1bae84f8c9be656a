//! Reading an object piece by piece, so that it can be hashed while it comes and need not fit into memory.
//!
//! The length is checked against the caller's limit before anything is read and again while reading; it must be
//! stated, because a body that ends with the connection cannot be told from one that was cut. A connection that breaks
//! is taken up again where it broke, as long as the object is still the same.

use std::time::Duration;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tokio::time::{sleep, timeout};

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
        let GetObjectOutput { body, e_tag: etag, .. } = answer;
        Ok(Download { store: self.clone(), key: key.to_owned(), watch, cap, length, etag, read: 0, body, breaks: 0 })
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
    /// [`Error::Timeout`] and [`Error::Unreachable`] once the attempts are used up, [`Error::Other`] for an object that
    /// changed meanwhile. The download is over then.
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
        Ok(chunk)
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

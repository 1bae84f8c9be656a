//! The operations that are served: an explicit list around the library's file store, each with its check. What is not
//! on the list (copies between buckets above all) does not exist.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use s3s::auth::Credentials;
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;

use super::access::Grants;

/// Longest name of a file.
const NAME_BYTES: usize = 255;

pub(super) struct Guard {
    files: FileSystem,
    folder: PathBuf,
    grants: Arc<Grants>,
    /// Objects that are being created on the condition that they do not exist. The file store looks and writes in two
    /// steps; a second writer between them is told of a conflict, as S3 does.
    creating: Mutex<HashSet<(String, String)>>,
}

impl Guard {
    pub(super) fn new(files: FileSystem, folder: &Path, grants: Arc<Grants>) -> Self {
        Self { files, folder: folder.to_owned(), grants, creating: Mutex::default() }
    }

    fn may(&self, who: Option<&Credentials>, bucket: &str, key: Option<&str>, write: bool) -> S3Result<()> {
        self.grants.allow(who, bucket, write)?;
        match key {
            Some(key) => check_key(bucket, key),
            None => Ok(()),
        }
    }

    /// Whether a key is the name of a folder, which the file store would take for an object.
    async fn is_folder(&self, bucket: &str, key: &str) -> bool {
        tokio::fs::metadata(self.folder.join(bucket).join(key)).await.is_ok_and(|metadata| metadata.is_dir())
    }

    async fn refuse_folder(&self, bucket: &str, key: &str) -> S3Result<()> {
        match self.is_folder(bucket, key).await {
            true => Err(s3_error!(InvalidArgument, "objects have keys that begin with this one and a '/'")),
            false => Ok(()),
        }
    }

    /// An error as S3's for an upload that is not going on; the file store would call it denied.
    async fn refuse_ended(&self, upload_id: &str) -> S3Result<()> {
        let plain = upload_id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let path = self.folder.join(format!(".upload-{upload_id}.json"));
        match plain && tokio::fs::try_exists(path).await.unwrap_or(false) {
            true => Ok(()),
            false => Err(s3_error!(NoSuchUpload)),
        }
    }

    /// Holds a key while it is created, if it must not exist.
    fn create(&self, bucket: &str, key: &str, condition: bool) -> S3Result<Creating<'_>> {
        if !condition {
            return Ok(Creating { guard: self, name: None });
        }
        let name = (bucket.to_owned(), key.to_owned());
        match self.creating.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
            true => Ok(Creating { guard: self, name: Some(name) }),
            false => Err(s3_error!(ConditionalRequestConflict, "somebody else is creating this object")),
        }
    }
}

struct Creating<'a> {
    guard: &'a Guard,
    name: Option<(String, String)>,
}

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.guard.creating.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }
}

/// Keys become paths, and names of files beside them.
fn check_key(bucket: &str, key: &str) -> S3Result<()> {
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    if key.split('/').any(odd) || key.contains(|c: char| c.is_control() || c == '\\') {
        return Err(s3_error!(
            InvalidArgument,
            "a key with an empty part, '.', '..', '\\' or a control character cannot be stored"
        ));
    }
    // The file store keeps `.bucket-{}.object-{}.upload-{}.metadata.json` with both names in base64.
    let encoded = |text: &str| (text.len() * 4).div_ceil(3);
    if encoded(bucket) + encoded(key) + 80 > NAME_BYTES || key.split('/').any(|part| part.len() > NAME_BYTES) {
        return Err(s3_error!(KeyTooLongError, "the key is too long for a store of files"));
    }
    Ok(())
}

/// Lists come without an encoding of their keys, also where one is asked for: the file store would state it and not
/// do it, and tools would decode what is not encoded.
#[async_trait::async_trait]
impl S3 for Guard {
    async fn get_object(&self, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, Some(&req.input.key), false)?;
        if self.is_folder(&req.input.bucket, &req.input.key).await {
            return Err(s3_error!(NoSuchKey));
        }
        self.files.get_object(req).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, Some(&req.input.key), false)?;
        if self.is_folder(&req.input.bucket, &req.input.key).await {
            return Err(s3_error!(NoSuchKey));
        }
        self.files.head_object(req).await
    }

    async fn list_objects(&self, mut req: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, None, false)?;
        req.input.encoding_type = None;
        self.files.list_objects(req).await
    }

    async fn list_objects_v2(
        &self,
        mut req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, None, false)?;
        req.input.encoding_type = None;
        self.files.list_objects_v2(req).await
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, None, false)?;
        self.files.head_bucket(req).await
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, None, false)?;
        self.files.get_bucket_location(req).await
    }

    async fn list_buckets(&self, req: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        let name = self.grants.bucket(req.credentials.as_ref())?;
        let bucket = Bucket { name: Some(name), ..Bucket::default() };
        Ok(S3Response::new(ListBucketsOutput { buckets: Some(vec![bucket]), ..ListBucketsOutput::default() }))
    }

    /// Tools that make sure of the bucket first are told that it is theirs.
    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, None, true)?;
        Err(s3_error!(BucketAlreadyOwnedByYou))
    }

    async fn put_object(&self, req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, Some(&req.input.key), true)?;
        self.refuse_folder(&req.input.bucket, &req.input.key).await?;
        let condition = req.input.if_none_match.is_some();
        let _creating = self.create(&req.input.bucket, &req.input.key, condition)?;
        self.files.put_object(req).await
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, Some(&req.input.key), true)?;
        self.refuse_folder(&req.input.bucket, &req.input.key).await?;
        self.files.delete_object(req).await
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, None, true)?;
        for object in &req.input.delete.objects {
            check_key(&req.input.bucket, &object.key)?;
            self.refuse_folder(&req.input.bucket, &object.key).await?;
        }
        self.files.delete_objects(req).await
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, Some(&req.input.key), true)?;
        self.refuse_folder(&req.input.bucket, &req.input.key).await?;
        self.files.create_multipart_upload(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, Some(&req.input.key), true)?;
        self.refuse_ended(&req.input.upload_id).await?;
        self.files.upload_part(req).await
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, Some(&req.input.key), true)?;
        self.refuse_ended(&req.input.upload_id).await?;
        self.files.list_parts(req).await
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, Some(&req.input.key), true)?;
        self.refuse_ended(&req.input.upload_id).await?;
        let condition = req.input.if_none_match.is_some();
        let _creating = self.create(&req.input.bucket, &req.input.key, condition)?;
        self.files.complete_multipart_upload(req).await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.may(req.credentials.as_ref(), &req.input.bucket, Some(&req.input.key), true)?;
        self.refuse_ended(&req.input.upload_id).await?;
        self.files.abort_multipart_upload(req).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_are_no_path_of_their_own_are_refused() {
        let bucket = "0123456789abcdef0123456789abcdef";
        for key in ["a", "grail/windows/file.json.gz", "a..b", ".hidden", "..."] {
            assert!(check_key(bucket, key).is_ok(), "{key}");
        }
        for key in [
            "",
            ".",
            "..",
            "../x",
            "a/../b",
            "a/..",
            "/a",
            "a//b",
            "a/",
            "a/./b",
            "a\\b",
            "a\0b",
            "a\nb",
            &"k".repeat(120),
        ] {
            assert!(check_key(bucket, key).is_err(), "{key}");
        }
    }

    proptest! {
        #[test]
        fn an_accepted_key_stays_within_its_bucket(key in "[a./\\\\]{0,12}") {
            if check_key("bucket", &key).is_ok() {
                let path = Path::new("/srv/bucket").join(&key);
                let plain = path.components().all(|c| !matches!(c, std::path::Component::ParentDir));
                prop_assert!(plain && path.starts_with("/srv/bucket") && path != Path::new("/srv/bucket"));
            }
        }
    }
}

//! Large objects are uploaded in parts, each retried by itself. The last request makes the object, under the same condition that a write
//! in one piece would have had; `object_store` completes without a condition, so this request is signed and sent here.
//!
//! Parts of an upload that was given up cost money until they are removed: a bucket should have a lifecycle rule for them. Not every
//! server keeps the condition when several uploads of one key are completed at the same moment (SeaweedFS 4.48 does not, while it does
//! for writes in one piece), so only very large objects are uploaded in parts on servers other than AWS.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    ClientOptions, Error as RemoteError, PutMode, PutPayload,
    aws::AmazonS3,
    client::{HttpClient, HttpConnector, HttpRequestBody},
    multipart::{MultipartStore, PartId},
    path::Path,
    signer::{HeaderValue, Method, SignedUrlOptions, Signer},
};
use tidemill_core::{Error, Result};

use super::http::Connector;
use crate::{
    error::ServerError,
    remote::{ConditionalPut, retry},
};

/// Bytes of a part; S3 accepts no less than 5 MiB.
const PART_SIZE: usize = 8 << 20;
/// Parts that are sent concurrently.
const MAX_CONCURRENT_PARTS: usize = 3;
/// How often the last request is sent.
const MAX_ATTEMPTS: usize = 5;
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Writes objects in parts.
#[derive(Debug)]
pub(super) struct MultipartWriter {
    s3: Arc<AmazonS3>,
    client: HttpClient,
    /// Bytes; larger objects are uploaded in parts.
    threshold: usize,
}

impl MultipartWriter {
    pub(super) fn new(s3: Arc<AmazonS3>, threshold: usize) -> Result<Self> {
        let client = Connector
            .connect(&ClientOptions::default())
            .map_err(|e| Error::config(format!("no client for the store could be made: {e}")))?;
        Ok(Self { s3, client, threshold })
    }

    async fn upload_parts(&self, path: &Path, upload: &String, bytes: &Bytes) -> object_store::Result<Vec<PartId>> {
        let parts = (0..bytes.len().div_ceil(PART_SIZE)).map(|index| {
            let part = bytes.slice(index * PART_SIZE..bytes.len().min((index + 1) * PART_SIZE));
            self.s3.put_part(path, upload, index, PutPayload::from(part))
        });
        stream::iter(parts).buffered(MAX_CONCURRENT_PARTS).try_collect().await
    }

    async fn complete(&self, path: &Path, upload: &str, parts: &[PartId], mode: &PutMode) -> object_store::Result<()> {
        let is_retryable = |error: &CompleteError| matches!(error, CompleteError::Retryable(_));
        let completed = retry(
            FIRST_RETRY_DELAY,
            MAX_ATTEMPTS,
            || self.try_complete(path, upload, parts, mode),
            is_retryable,
        );
        completed
            .await
            .map_err(|(CompleteError::Permanent(error) | CompleteError::Retryable(error))| error)
    }

    async fn try_complete(&self, path: &Path, upload: &str, parts: &[PartId], mode: &PutMode) -> Result<(), CompleteError> {
        let condition = condition_header(mode).map_err(CompleteError::Permanent)?;
        let mut options = SignedUrlOptions::new().with_query([("uploadId", upload)]);
        if let Some((name, value)) = &condition {
            options = options.with_signed_header(name.clone(), value.clone());
        }
        let signed = self
            .s3
            .signed_url_opts(Method::POST, path, Duration::from_secs(300), &options)
            .await;
        let url = signed.map_err(CompleteError::Retryable)?;
        let mut request = ::http::Request::post(url.as_str());
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        let request = request
            .body(HttpRequestBody::from(completion_body(parts)))
            .map_err(|e| CompleteError::Permanent(generic_error(e)))?;
        let response = self.client.execute(request).await;
        let response = response.map_err(|e| CompleteError::Retryable(generic_error(e)))?;
        let status = response.status();
        let body = response.into_body().bytes().await;
        let body = body.map_err(|e| CompleteError::Retryable(generic_error(e)))?;
        check_completion(path, status, &String::from_utf8_lossy(&body))
    }
}

#[async_trait]
impl ConditionalPut for MultipartWriter {
    fn applies_to(&self, length: usize) -> bool {
        length > self.threshold
    }

    async fn put(&self, path: &Path, bytes: &Bytes, mode: &PutMode) -> object_store::Result<()> {
        let upload = self.s3.create_multipart(path).await?;
        let written = async {
            let parts = self.upload_parts(path, &upload, bytes).await?;
            self.complete(path, &upload, &parts, mode).await
        };
        let written = written.await;
        if written.is_err()
            && let Err(error) = self.s3.abort_multipart(path, &upload).await
        {
            tracing::debug!("parts of `{path}` were left behind: {error}");
        }
        written
    }
}

enum CompleteError {
    Permanent(RemoteError),
    Retryable(RemoteError),
}

/// S3 may answer 200 and report a failure in the body.
fn check_completion(path: &Path, status: ::http::StatusCode, body: &str) -> Result<(), CompleteError> {
    let error = ServerError::parse(body);
    let source = || format!("status {}: {body}", status.as_u16());
    let path = path.to_string();
    match (status.as_u16(), &error) {
        (200, None) => Ok(()),
        (404, Some(error)) if error.code == "NoSuchBucket" => Err(CompleteError::Permanent(generic_text_error(source()))),
        // Gone: the response to an earlier attempt was lost, or the upload was removed.
        (404 | 409 | 412, _) => Err(CompleteError::Permanent(RemoteError::Precondition {
            path,
            source: source().into(),
        })),
        (200 | 429 | 500.., _) => Err(CompleteError::Retryable(generic_text_error(source()))),
        (403, _) => Err(CompleteError::Permanent(RemoteError::PermissionDenied {
            path,
            source: source().into(),
        })),
        _ => Err(CompleteError::Permanent(generic_text_error(source()))),
    }
}

fn condition_header(mode: &PutMode) -> object_store::Result<Option<(::http::HeaderName, HeaderValue)>> {
    Ok(match mode {
        PutMode::Overwrite => None,
        PutMode::Create => Some((::http::header::IF_NONE_MATCH, HeaderValue::from_static("*"))),
        PutMode::Update(version) => {
            let tag = version.e_tag.as_deref().unwrap_or_default();
            Some((::http::header::IF_MATCH, HeaderValue::from_str(tag).map_err(generic_error)?))
        }
    })
}

fn completion_body(parts: &[PartId]) -> String {
    let mut xml = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (index, part) in parts.iter().enumerate() {
        let tag = quick_xml::escape::escape(&part.content_id);
        let _ = write!(xml, "<Part><ETag>{tag}</ETag><PartNumber>{}</PartNumber></Part>", index + 1);
    }
    xml + "</CompleteMultipartUpload>"
}

fn generic_error(error: impl std::error::Error + Send + Sync + 'static) -> RemoteError {
    RemoteError::Generic {
        store: "S3",
        source: Box::new(error),
    }
}

fn generic_text_error(text: String) -> RemoteError {
    RemoteError::Generic {
        store: "S3",
        source: text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_may_be_a_failure() {
        let at = |status: u16, body: &str| check_completion(&Path::from("a"), ::http::StatusCode::from_u16(status).unwrap(), body);
        assert!(at(200, "<CompleteMultipartUploadResult/>").is_ok());
        assert!(matches!(
            at(200, "<Error><Code>InternalError</Code></Error>"),
            Err(CompleteError::Retryable(_))
        ));
        assert!(matches!(at(503, ""), Err(CompleteError::Retryable(_))));
        assert!(matches!(
            at(412, ""),
            Err(CompleteError::Permanent(RemoteError::Precondition { .. }))
        ));
        assert!(matches!(
            at(404, "<Error><Code>NoSuchUpload</Code></Error>"),
            Err(CompleteError::Permanent(RemoteError::Precondition { .. }))
        ));
        assert!(matches!(
            at(404, "<Error><Code>NoSuchBucket</Code></Error>"),
            Err(CompleteError::Permanent(RemoteError::Generic { .. }))
        ));
        assert!(matches!(
            at(403, ""),
            Err(CompleteError::Permanent(RemoteError::PermissionDenied { .. }))
        ));
    }

    #[test]
    fn tags_are_written_as_xml() {
        let part = PartId {
            content_id: "\"a&b\"".into(),
        };
        assert!(completion_body(&[part]).contains("<ETag>&quot;a&amp;b&quot;</ETag><PartNumber>1</PartNumber>"));
    }
}

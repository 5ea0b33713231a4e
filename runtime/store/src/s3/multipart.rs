//! Objects of many megabytes go in parts, each tried again by itself. The last request makes the object, under the same condition that
//! a write in one piece would have had; `object_store` completes without one, so this request is signed and sent here.
//!
//! Parts of an upload that was given up cost money until somebody removes them: a bucket should have a lifecycle rule for them.
//! Not every server keeps the condition when several uploads of one key are completed at the same moment (SeaweedFS 4.48 does not, while
//! it does for writes in one piece), so elsewhere than on AWS only what is very large goes in parts.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    ClientOptions, Error as Remoted, PutMode, PutPayload,
    aws::AmazonS3,
    client::{HttpClient, HttpConnector, HttpRequestBody},
    multipart::{MultipartStore, PartId},
    path::Path,
    signer::{HeaderValue, Method, SignedUrlOptions, Signer},
};
use tidemill_core::{Error, Result};

use super::http::Connector;

/// Bytes of a part; S3 takes no less than 5 MiB.
const PART_SIZE: usize = 8 << 20;
/// Parts on their way at once.
const MAX_CONCURRENT_PARTS: usize = 3;
/// How often the last request is sent.
const MAX_ATTEMPTS: u32 = 5;

/// Writes objects in parts.
#[derive(Debug)]
pub(crate) struct MultipartWriter {
    s3: Arc<AmazonS3>,
    client: HttpClient,
    /// Bytes; what is larger goes in parts.
    threshold: usize,
}

impl MultipartWriter {
    pub(super) fn new(s3: Arc<AmazonS3>, whole: usize) -> Result<Self> {
        let client = Connector
            .connect(&ClientOptions::default())
            .map_err(|e| Error::config(format!("no client for the store could be made: {e}")))?;
        Ok(Self {
            s3,
            client,
            threshold: whole,
        })
    }

    /// Whether an object of so many bytes goes in parts.
    pub(crate) fn applies_to(&self, length: usize) -> bool {
        length > self.threshold
    }

    /// Like a put of the whole. `AlreadyExists` and `Precondition` mean: look at what is there now.
    pub(crate) async fn put(&self, path: &Path, bytes: &Bytes, mode: &PutMode) -> object_store::Result<()> {
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

    async fn upload_parts(&self, path: &Path, upload: &String, bytes: &Bytes) -> object_store::Result<Vec<PartId>> {
        let parts = (0..bytes.len().div_ceil(PART_SIZE)).map(|index| {
            let part = bytes.slice(index * PART_SIZE..bytes.len().min((index + 1) * PART_SIZE));
            self.s3.put_part(path, upload, index, PutPayload::from(part))
        });
        stream::iter(parts).buffered(MAX_CONCURRENT_PARTS).try_collect().await
    }

    async fn complete(&self, path: &Path, upload: &str, parts: &[PartId], mode: &PutMode) -> object_store::Result<()> {
        let mut pause = Duration::from_millis(200);
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.try_complete(path, upload, parts, mode).await {
                Ok(()) => return Ok(()),
                Err(CompleteError::Permanent(error)) => return Err(error),
                Err(CompleteError::Retryable(error)) if attempt >= MAX_ATTEMPTS => return Err(error),
                Err(CompleteError::Retryable(_)) => crate::time::sleep(pause).await,
            }
            pause *= 2;
        }
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
        let answer = self
            .client
            .execute(request)
            .await
            .map_err(|e| CompleteError::Retryable(generic_error(e)))?;
        let status = answer.status();
        let body = answer
            .into_body()
            .bytes()
            .await
            .map_err(|e| CompleteError::Retryable(generic_error(e)))?;
        check_response(path, status, &String::from_utf8_lossy(&body))
    }
}

enum CompleteError {
    Permanent(Remoted),
    Retryable(Remoted),
}

/// S3 may answer 200 and tell of a failure in the body.
fn check_response(path: &Path, status: ::http::StatusCode, body: &str) -> Result<(), CompleteError> {
    let source = || generic_text_error(format!("status {}: {body}", status.as_u16()));
    let path = path.to_string();
    match status.as_u16() {
        200 if !body.contains("<Error>") => Ok(()),
        // Gone: an earlier try was answered to nobody, or somebody removed the upload.
        404 | 409 | 412 if !body.contains("NoSuchBucket") => Err(CompleteError::Permanent(Remoted::Precondition {
            path,
            source: source().into(),
        })),
        200 | 429 | 500.. => Err(CompleteError::Retryable(source())),
        403 => Err(CompleteError::Permanent(Remoted::PermissionDenied {
            path,
            source: source().into(),
        })),
        _ => Err(CompleteError::Permanent(source())),
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
        let tag = part.content_id.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        let _ = write!(xml, "<Part><ETag>{tag}</ETag><PartNumber>{}</PartNumber></Part>", index + 1);
    }
    xml + "</CompleteMultipartUpload>"
}

fn generic_error(error: impl std::error::Error + Send + Sync + 'static) -> Remoted {
    Remoted::Generic {
        store: "S3",
        source: Box::new(error),
    }
}

fn generic_text_error(text: String) -> Remoted {
    Remoted::Generic {
        store: "S3",
        source: text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_be_a_failure() {
        let at = |status: u16, body: &str| check_response(&Path::from("a"), ::http::StatusCode::from_u16(status).unwrap(), body);
        assert!(at(200, "<CompleteMultipartUploadResult/>").is_ok());
        assert!(matches!(
            at(200, "<Error><Code>InternalError</Code></Error>"),
            Err(CompleteError::Retryable(_))
        ));
        assert!(matches!(at(503, ""), Err(CompleteError::Retryable(_))));
        assert!(matches!(at(412, ""), Err(CompleteError::Permanent(Remoted::Precondition { .. }))));
        assert!(matches!(
            at(404, "<Code>NoSuchUpload</Code>"),
            Err(CompleteError::Permanent(Remoted::Precondition { .. }))
        ));
        assert!(matches!(
            at(404, "<Code>NoSuchBucket</Code>"),
            Err(CompleteError::Permanent(Remoted::Generic { .. }))
        ));
        assert!(matches!(
            at(403, ""),
            Err(CompleteError::Permanent(Remoted::PermissionDenied { .. }))
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

//! Errors of remote stores: their kind, and a message that says what to do.
//!
//! The decision is made from types and codes, never from words: [`ServerError`] is what the server answered, [`TransportError`] is why
//! there was no answer.

use std::error::Error as StdError;

use object_store::Error as RemoteError;
use serde::Deserialize;
use tidemill_core::{Error, ErrorKind};

use crate::{
    Bucket,
    transport::{Failure, TransportError},
};

/// A remote store as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The bucket, where the store is one.
    pub(crate) bucket: Option<Bucket>,
    /// The server's address, or `AWS`.
    pub(crate) server: String,
}

/// An error that a server returned, in the words of S3.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ServerError {
    pub(crate) code: String,
    pub(crate) message: String,
    region: Option<String>,
    /// The time of the request, and the server's, where they differ too much.
    request_time: Option<String>,
    server_time: Option<String>,
    /// Services other than S3 nest it.
    error: Option<Box<ServerError>>,
}

impl ServerError {
    /// For SQS, whose answers are parsed elsewhere; a component has no queue.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn new(code: &str, message: &str) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_owned(),
            ..Self::default()
        }
    }

    /// The error in the XML at the end of `text`, if there is one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let xml = text.get(text.find('<')?..)?;
        let mut error: Self = quick_xml::de::from_str(xml).ok()?;
        if let Some(nested) = error.error.take() {
            error = *nested;
        }
        (!error.code.is_empty()).then_some(error)
    }

    /// The error in the body that an `object_store` error holds. The types that hold it are private, so it is read from their text,
    /// which ends in the body; before it, only a URL could contain a `<`, and there it is escaped.
    fn find(error: &RemoteError) -> Option<Self> {
        error.source().and_then(|source| Self::parse(&source.to_string()))
    }
}

/// Codes of a server, the kind of failure, and what it means and asks for. `{bucket}`, `{server}` and `{region}` are filled in.
type CodeMeaning = (&'static [&'static str], ErrorKind, &'static str);

const SKEW_CODES: &[&str] = &["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"];
const SKEW_MEANING: &str =
    "the clocks of this machine and of {server} differ too much for a signature to be accepted; set this machine's clock";

const CODES: &[CodeMeaning] = &[
    (
        &["NoSuchBucket"],
        ErrorKind::Config,
        "{server} has no bucket `{bucket}` (any more); create it, or correct where the store is",
    ),
    (
        &["InvalidBucketName"],
        ErrorKind::Config,
        "`{bucket}` cannot be the name of a bucket; correct where the store is",
    ),
    (
        &["AccessDenied", "AllAccessDisabled", "AccountProblem"],
        ErrorKind::Denied,
        "the credentials in use may not do that in bucket `{bucket}`; give them the right \
         (s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket, and s3:AbortMultipartUpload)",
    ),
    (
        &["AccessDeniedException"],
        ErrorKind::Denied,
        "the credentials in use may not do that; give them sqs:ReceiveMessage and sqs:DeleteMessage",
    ),
    (
        &["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"],
        ErrorKind::Config,
        "the credentials in use have expired; get new ones and start again",
    ),
    (
        &[
            "InvalidAccessKeyId",
            "InvalidToken",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "NotSignedUp",
        ],
        ErrorKind::Config,
        "{server} does not know the credentials in use; correct AWS_ACCESS_KEY_ID (and AWS_SESSION_TOKEN, if they are temporary)",
    ),
    (
        &["SignatureDoesNotMatch"],
        ErrorKind::Config,
        "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID; correct it",
    ),
    (SKEW_CODES, ErrorKind::Transient, SKEW_MEANING),
    (
        &[
            "AuthorizationHeaderMalformed",
            "PermanentRedirect",
            "TemporaryRedirect",
            "IllegalLocationConstraintException",
            "IncorrectEndpoint",
        ],
        ErrorKind::Config,
        "the bucket `{bucket}` is in another region{region}; set AWS_REGION",
    ),
    (
        &[
            "SlowDown",
            "ServiceUnavailable",
            "TooManyRequests",
            "ThrottlingException",
            "RequestThrottled",
        ],
        ErrorKind::Busy,
        "{server} is too busy just now; it is tried again",
    ),
    (
        &["InternalError", "RequestTimeout", "OperationAborted", "ConditionalRequestConflict"],
        ErrorKind::Transient,
        "{server} is too busy or not well just now; it is tried again",
    ),
    (
        &["QuotaExceeded", "InsufficientStorage", "StorageFull", "XMinioStorageFull"],
        ErrorKind::Transient,
        "{server} has no room left in bucket `{bucket}`; make room, it is tried again",
    ),
    (
        &["QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"],
        ErrorKind::Config,
        "{server} has no such queue; create it, or correct its URL",
    ),
    (
        &["EntityTooLarge", "KeyTooLongError"],
        ErrorKind::Limit,
        "it is larger than {server} accepts",
    ),
    (
        &["NotImplemented", "MethodNotAllowed", "XNotImplemented"],
        ErrorKind::Config,
        "{server} lacks what a store needs: it must create if absent (`If-None-Match: *`) and replace if unchanged (`If-Match`)",
    ),
];

/// The kind of a request that got no response, and what it means and asks for.
fn transport_meaning(failure: Failure) -> Option<(ErrorKind, &'static str)> {
    Some(match failure {
        Failure::NotAllowed => (
            ErrorKind::Config,
            "this component may not reach {server}; add its address to `allowed_outbound_hosts` of the component in spin.toml",
        ),
        Failure::Credentials => (
            ErrorKind::Config,
            "there are no credentials for {server}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
             or AWS_PROFILE with a profile in ~/.aws/credentials, or run where a role is attached",
        ),
        Failure::Certificate => (
            ErrorKind::Config,
            "the certificate of {server} is not trusted; name the one that signed it in SSL_CERT_FILE",
        ),
        Failure::NameResolution => (
            ErrorKind::Transient,
            "the name of {server} is not known; is AWS_ENDPOINT_URL right, and is there a network? It is tried again",
        ),
        Failure::Connection => (
            ErrorKind::Transient,
            "{server} cannot be reached; is it up, and is AWS_ENDPOINT_URL right? It is tried again",
        ),
        Failure::Timeout => (
            ErrorKind::Transient,
            "{server} accepted the request and does not answer; it is tried again",
        ),
        Failure::Redirect => (ErrorKind::Config, "the bucket `{bucket}` is in another region; set AWS_REGION"),
        Failure::ClockSkew => (ErrorKind::Transient, SKEW_MEANING),
        Failure::Interrupted => return None,
    })
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Cause {
    Server(ServerError),
    Transport(TransportError),
    Other(String),
}

impl Cause {
    pub(crate) fn from(error: &RemoteError) -> Self {
        if let Some(transport) = TransportError::find(error) {
            return Self::Transport(transport.clone());
        }
        match ServerError::find(error) {
            Some(server) => Self::Server(server),
            None => Self::Other(error.to_string()),
        }
    }

    /// The kind and the message template, where the cause is known.
    fn meaning(&self) -> Option<(ErrorKind, &'static str)> {
        match self {
            Self::Server(error) => {
                let found = CODES.iter().find(|(codes, ..)| codes.contains(&error.code.as_str()));
                found.map(|(_, kind, meaning)| (*kind, *meaning))
            }
            Self::Transport(error) => transport_meaning(error.failure),
            Self::Other(_) => None,
        }
    }

    /// The server's or the transport's own words, in one line.
    fn summary(&self) -> String {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        match self {
            Self::Server(ServerError {
                code,
                request_time: Some(here),
                server_time: Some(there),
                ..
            }) => format!("{code}: it is {here} here and {there} there"),
            Self::Server(error) if error.message.is_empty() => error.code.clone(),
            Self::Server(error) => format!("{}: {}", error.code, error.message.trim().trim_end_matches('.')),
            Self::Transport(error) => flat(&error.text),
            Self::Other(text) => flat(text),
        }
    }
}

impl Endpoint {
    /// The error of an operation (`read`, `written`, …) on `key`.
    pub(crate) fn to_error(&self, doing: &str, key: &str, error: &RemoteError) -> Error {
        let what = match key {
            "" => format!("the store could not be {doing}"),
            key => format!("`{key}` could not be {doing}"),
        };
        let cause = Cause::from(error);
        if cause.meaning().is_some() {
            return self.explain(&what, &cause);
        }
        match error {
            RemoteError::NotFound { .. } => not_found(key),
            RemoteError::InvalidPath { source } => Error::input(format!(
                "{what}: the bucket holds a key that a store cannot have ({source}); remove that object"
            )),
            RemoteError::PermissionDenied { .. } => Error::denied(format!(
                "{what}: the store refused it ({}); give the credentials in use that right",
                cause.summary()
            )),
            RemoteError::Unauthenticated { .. } => Error::config(format!(
                "{what}: the store does not accept the credentials in use ({})",
                cause.summary()
            )),
            _ => self.explain(&what, &cause),
        }
    }

    /// The error of an operation of which the cause is known; `Transient` if nothing is known about the cause.
    pub(crate) fn explain(&self, what: &str, cause: &Cause) -> Error {
        let Some((kind, meaning)) = cause.meaning() else {
            return Error::transient(format!("{what}: {}", cause.summary()));
        };
        let bucket = self.bucket.as_ref().map_or("", |bucket| &bucket.name);
        let region = match cause {
            Cause::Server(ServerError { region: Some(region), .. }) => format!(", `{region}`"),
            _ => String::new(),
        };
        let meaning = meaning
            .replace("{bucket}", bucket)
            .replace("{server}", &self.server)
            .replace("{region}", &region);
        Error::new(kind, format!("{what}: {meaning} ({})", cause.summary()))
    }
}

/// The object does not exist.
pub(crate) fn not_found(key: &str) -> Error {
    Error::not_found(format!("`{key}` is not in the store"))
}

/// The object has more bytes than its reader takes.
pub(crate) fn too_large(key: &str, size: u64, limit: u64) -> Error {
    Error::limit(format!(
        "`{key}` has {size} bytes, and at most {limit} are read here in one piece; remove it if it does not belong there, or put it in parts"
    ))
}

/// Whether a request was refused for the time of its signature.
pub(crate) fn is_clock_skew(error: &RemoteError) -> bool {
    match Cause::from(error) {
        Cause::Transport(error) => error.failure == Failure::ClockSkew,
        Cause::Server(error) => SKEW_CODES.contains(&error.code.as_str()),
        Cause::Other(_) => false,
    }
}

/// Whether a write may have been done although it failed: the request was sent, and no response refused it.
pub(crate) fn is_indeterminate(error: &RemoteError) -> bool {
    if !matches!(error, RemoteError::Generic { .. }) {
        return false;
    }
    match Cause::from(error) {
        Cause::Transport(error) => error.failure.is_sent(),
        cause => cause.meaning().is_none_or(|(kind, _)| kind.is_retryable()),
    }
}

#[cfg(test)]
mod tests {
    use object_store::client::HttpError;

    use super::*;

    fn endpoint() -> Endpoint {
        let bucket = Bucket {
            name: "tide".into(),
            prefix: String::new(),
        };
        Endpoint {
            bucket: Some(bucket),
            server: "AWS".into(),
        }
    }

    fn generic(source: impl Into<Box<dyn StdError + Send + Sync>>) -> RemoteError {
        RemoteError::Generic {
            store: "S3",
            source: source.into(),
        }
    }

    fn xml(code: &str, message: &str) -> RemoteError {
        generic(format!(
            "Error performing PUT https://s3/tide/a%3Cb in 3ms - Server returned non-2xx status code: 400 Bad Request: \
             <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
             <Region>eu-west-1</Region><RequestId>1</RequestId></Error>"
        ))
    }

    fn explained(error: &RemoteError) -> Error {
        endpoint().to_error("read", "raw/a.csv", error)
    }

    #[test]
    fn each_code_has_its_kind_and_says_what_to_do() {
        for (codes, kind, _) in CODES {
            for code in *codes {
                let error = explained(&xml(code, "Why &amp; where."));
                assert_eq!(error.kind, *kind, "{error}");
                assert!(error.message.starts_with("`raw/a.csv` could not be read: "), "{error}");
                assert!(
                    error.message.ends_with(&format!("({code}: Why & where)")) && !error.message.contains('{'),
                    "{error}"
                );
            }
        }
        let nested = "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code></Error></ErrorResponse>";
        assert_eq!(ServerError::parse(nested).unwrap().code, "ExpiredToken");
        assert_eq!(
            ServerError::parse("<CompleteMultipartUploadResult><Key>a</Key></CompleteMultipartUploadResult>"),
            None
        );
        assert_eq!(ServerError::parse("<html>502 Bad Gateway"), None);
    }

    #[test]
    fn a_key_that_is_missing_may_hold_any_words() {
        for key in [
            "datasets/AssumeRole/x.parquet",
            "raw/<Code>NoSuchBucket</Code>",
            "raw/tcp connect error",
        ] {
            let error = RemoteError::NotFound {
                path: key.into(),
                source: "no object".into(),
            };
            assert_eq!(endpoint().to_error("read", key, &error), not_found(key));
        }
    }

    #[test]
    fn a_region_is_named_where_the_server_names_it() {
        let error = explained(&xml("AuthorizationHeaderMalformed", "expecting another"));
        assert!(error.message.contains("in another region, `eu-west-1`; set AWS_REGION"), "{error}");
    }

    #[test]
    fn a_request_without_a_response_says_why() {
        for (failure, kind, words, sent) in [
            (Failure::NotAllowed, ErrorKind::Config, "allowed_outbound_hosts", false),
            (Failure::Credentials, ErrorKind::Config, "AWS_ACCESS_KEY_ID", false),
            (Failure::Certificate, ErrorKind::Config, "SSL_CERT_FILE", false),
            (Failure::NameResolution, ErrorKind::Transient, "is there a network", false),
            (Failure::Connection, ErrorKind::Transient, "cannot be reached", false),
            (Failure::Timeout, ErrorKind::Transient, "does not answer", true),
            (Failure::Redirect, ErrorKind::Config, "another region", false),
            (Failure::ClockSkew, ErrorKind::Transient, "the clocks", false),
            (Failure::Interrupted, ErrorKind::Transient, "a word", true),
        ] {
            // As object_store wraps it.
            let wrapped: HttpError = TransportError::http(failure, "a word");
            let error = generic(wrapped);
            let explained = explained(&error);
            assert_eq!(explained.kind, kind, "{explained}");
            assert!(explained.message.contains(words), "{explained}");
            assert_eq!(is_indeterminate(&error), sent, "{failure:?}");
        }
    }

    #[test]
    fn a_refused_write_was_not_done() {
        assert!(is_indeterminate(&xml("InternalError", "")) && is_indeterminate(&generic("something else")));
        assert!(!is_indeterminate(&xml("ExpiredToken", "")));
        assert_eq!(explained(&generic("something else")).kind, ErrorKind::Transient);
    }
}

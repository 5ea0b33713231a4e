//! Why a remote store did not do what it was asked, for a person: S3 names the reason in the body of its answer, as `<Code>`.

use object_store::Error as Remoted;
use tidemill_core::{Error, ErrorKind};

use crate::Bucket;

/// Where a remote store is, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The bucket, where it is one.
    pub(super) bucket: Option<Bucket>,
    /// The server's address, or `AWS`.
    pub(super) server: String,
}

/// A code of S3's, the kind of failure that it is, and what it means and asks for. `{bucket}` and `{server}` are filled in.
type CodeMeaning = (&'static [&'static str], ErrorKind, &'static str);

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
        ErrorKind::Limit,
        "the credentials in use may not do that in bucket `{bucket}`; give them the right \
         (s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket, and s3:AbortMultipartUpload)",
    ),
    (
        &["AccessDeniedException"],
        ErrorKind::Limit,
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
    (
        &["RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"],
        ErrorKind::Transient,
        "the clocks of this machine and of {server} differ too much for a signature to be taken; set this machine's clock",
    ),
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
            "InternalError",
            "RequestTimeout",
            "OperationAborted",
            "ConditionalRequestConflict",
        ],
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
        "it is larger than {server} takes",
    ),
    (
        &["NotImplemented", "MethodNotAllowed", "XNotImplemented"],
        ErrorKind::Config,
        "{server} lacks what a store needs: it must create if absent (`If-None-Match: *`) and replace if unchanged (`If-Match`)",
    ),
];

/// What is said where there is no code: transport, and answers without a body.
const TRANSPORT_SIGNS: &[CodeMeaning] = &[
    (
        &["HttpRequestDenied"],
        ErrorKind::Config,
        "this component may not reach {server}; add its address to `allowed_outbound_hosts` of the component in spin.toml",
    ),
    (
        &["169.254.169.254", "169.254.170.2", "/latest/api/token", "WebIdentity", "AssumeRole"],
        ErrorKind::Config,
        "there are no credentials for {server}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
         or AWS_PROFILE with a profile in ~/.aws/credentials, or run where a role is attached",
    ),
    (
        &["invalid peer certificate", "UnknownIssuer", "CertificateUnknown"],
        ErrorKind::Config,
        "the certificate of {server} is not trusted; name the one that signed it in SSL_CERT_FILE",
    ),
    (
        &["dns error", "failed to lookup address"],
        ErrorKind::Transient,
        "the name of {server} is not known; is AWS_ENDPOINT_URL right, and is there a network? It is tried again",
    ),
    (
        &["tcp connect error", "Connection refused", "client error (Connect)"],
        ErrorKind::Transient,
        "{server} cannot be reached; is it up, and is AWS_ENDPOINT_URL right? It is tried again",
    ),
    (
        &["the server said nothing"],
        ErrorKind::Transient,
        "{server} took the request and does not answer; it is tried again",
    ),
    (
        &["redirect without LOCATION", "status code: 301", "status code: 307"],
        ErrorKind::Config,
        "the bucket `{bucket}` is in another region; set AWS_REGION",
    ),
];

impl Endpoint {
    /// The error of an operation (`read`, `written`, …) on `key`.
    pub(super) fn to_error(&self, doing: &str, key: &str, error: &Remoted) -> Error {
        let text = error.to_string();
        let what = match key {
            "" => "the store".to_owned(),
            key => format!("`{key}`"),
        };
        // Of what is not there only S3's own code says more: the text names the key, which may hold any words.
        let says_more = !matches!(error, Remoted::NotFound { .. }) || text.contains("<Code>");
        if says_more && self.meaning(&text).is_some() {
            return self.to_error_from_text(&format!("{what} could not be {doing}"), &text);
        }
        match error {
            Remoted::NotFound { .. } => not_found(key),
            Remoted::InvalidPath { source } => Error::input(format!(
                "{what} could not be {doing}: the bucket holds a key that a store cannot have ({source}); remove that object"
            )),
            Remoted::PermissionDenied { .. } => Error::limit(format!(
                "{what} could not be {doing}: the store refused it ({}); give the credentials in use that right",
                summarize(&text)
            )),
            Remoted::Unauthenticated { .. } => Error::config(format!(
                "{what} could not be {doing}: the store does not accept the credentials in use ({})",
                summarize(&text)
            )),
            _ => Error::transient(format!("{what} could not be {doing}: {}", summarize(&text))),
        }
    }

    /// The error of an operation of which only the text is there: `what` is said first.
    pub(super) fn to_error_from_text(&self, what: &str, text: &str) -> Error {
        match self.meaning(text) {
            Some((kind, meaning)) => Error::new(kind, format!("{what}: {meaning} ({})", summarize(text))),
            None => Error::transient(format!("{what}: {}", summarize(text))),
        }
    }

    fn meaning(&self, text: &str) -> Option<(ErrorKind, String)> {
        let by_code = between(text, "<Code>", "</Code>").and_then(|code| CODES.iter().find(|(codes, ..)| codes.contains(&code)));
        let by_sign = || {
            TRANSPORT_SIGNS
                .iter()
                .find(|(signs, ..)| signs.iter().any(|sign| text.contains(sign)))
        };
        let (_, kind, meaning) = by_code.or_else(by_sign)?;
        let bucket = self.bucket.as_ref().map_or("", |bucket| &bucket.name);
        let region = between(text, "<Region>", "</Region>").map(|region| format!(", `{region}`"));
        let filled = meaning
            .replace("{bucket}", bucket)
            .replace("{server}", &self.server)
            .replace("{region}", &region.unwrap_or_default());
        Some((*kind, filled))
    }
}

/// There is no such object.
pub(super) fn not_found(key: &str) -> Error {
    Error::not_found(format!("`{key}` is not in the store"))
}

/// Whether a write may have been done although it failed: the request was sent, and no answer said no.
pub(super) fn is_indeterminate(error: &Remoted) -> bool {
    match error {
        Remoted::Generic { .. } => {
            let text = error.to_string();
            let refused = between(&text, "<Code>", "</Code>").is_some_and(|code| {
                let meaning = CODES.iter().find(|(codes, ..)| codes.contains(&code));
                meaning.is_some_and(|(_, kind, _)| *kind != ErrorKind::Transient)
            });
            !refused && !text.contains("tcp connect error")
        }
        _ => false,
    }
}

/// S3's own words, without what only a log needs.
fn summarize(text: &str) -> String {
    match (between(text, "<Code>", "</Code>"), between(text, "<Message>", "</Message>")) {
        (Some(code), Some(message)) => format!("{code}: {}", message.trim_end_matches('.')),
        (Some(code), None) => code.to_owned(),
        _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let rest = &text[text.find(from)? + from.len()..];
    Some(rest[..rest.find(to)?].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str) -> Error {
        let place = Endpoint {
            bucket: Some(Bucket {
                name: "tide".into(),
                prefix: String::new(),
            }),
            server: "AWS".into(),
        };
        let error = Remoted::Generic {
            store: "S3",
            source: text.into(),
        };
        place.to_error("read", "raw/a.csv", &error)
    }

    #[test]
    fn every_code_has_its_kind_and_says_what_to_do() {
        for (codes, kind, _) in CODES {
            for code in *codes {
                let error = failed(&format!("<Error><Code>{code}</Code><Message>Why.</Message></Error>"));
                assert_eq!(error.kind, *kind, "{error}");
                assert!(error.message.starts_with("`raw/a.csv` could not be read: "), "{error}");
                assert!(
                    error.message.ends_with(&format!("({code}: Why)")) && !error.message.contains('{'),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn a_key_that_is_missing_may_hold_any_words() {
        let place = Endpoint {
            bucket: None,
            server: "AWS".into(),
        };
        for key in ["datasets/AssumeRole/x.parquet", "raw/dns error.csv", "raw/tcp connect error"] {
            let error = Remoted::NotFound {
                path: key.into(),
                source: format!("no object at {key}").into(),
            };
            assert_eq!(place.to_error("read", key, &error), not_found(key));
        }
    }

    #[test]
    fn a_region_is_named_where_the_server_names_it() {
        let error = failed("<Code>AuthorizationHeaderMalformed</Code><Message>expecting 'eu-west-1'</Message><Region>eu-west-1</Region>");
        assert!(error.message.contains("in another region, `eu-west-1`; set AWS_REGION"), "{error}");
        assert_eq!(failed("Received redirect without LOCATION").kind, ErrorKind::Config);
    }

    #[test]
    fn transport_is_transient_and_a_refusal_is_not_open() {
        assert_eq!(
            failed("client error (Connect): tcp connect error: Connection refused").kind,
            ErrorKind::Transient
        );
        assert_eq!(failed("something else").kind, ErrorKind::Transient);
        let open = |text: &str| {
            is_indeterminate(&Remoted::Generic {
                store: "S3",
                source: text.into(),
            })
        };
        assert!(open("the server said nothing for 30 s") && open("<Code>InternalError</Code>"));
        assert!(!open("<Code>ExpiredToken</Code>") && !open("tcp connect error"));
    }
}

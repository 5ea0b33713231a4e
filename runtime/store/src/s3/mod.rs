//! A store in a bucket of S3 or of a server that speaks it: `s3://bucket/prefix`, and the rest from the usual AWS variables.
//!
//! Nothing is asked of the server when a store is opened: the first read or write says what is wrong with bucket or credentials.

use std::{sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientConfigKey, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
};
use tidemill_core::{Error, Result};

use multipart::MultipartWriter;

use crate::{
    Bucket,
    listing::ListingOrder,
    remote::{ConditionalPut, Remote},
};

#[cfg(target_family = "wasm")]
mod crypto;
#[cfg_attr(target_family = "wasm", path = "wasi.rs")]
mod http;
mod multipart;
mod odd_keys;
mod profile;
#[cfg(not(target_family = "wasm"))]
mod queue;

#[cfg(not(target_family = "wasm"))]
pub use http::https_connector;
#[cfg(all(target_family = "wasm", feature = "blocking"))]
pub use http::send;
#[cfg(not(target_family = "wasm"))]
pub use queue::{Message, MessageQueue};

/// What a location of this kind begins with.
pub(super) const SCHEME: &str = "s3://";

/// The setting that says over how many bytes an object goes in parts.
const MULTIPART_THRESHOLD: &str = "TIDEMILL_S3_MULTIPART_BYTES";
/// Its default for AWS, and for other servers.
const MULTIPART_THRESHOLD_AWS: usize = 16 << 20;
const MULTIPART_THRESHOLD_OTHER: usize = 1 << 30;

/// Above a second of silence more, whoever asked has its own patience: a flow tries again, a request answers 503.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// Opens the store at `s3://bucket/prefix`, with settings under the names of environment variables; what is not known is passed over.
pub(super) fn open(location: &str, settings: Vec<(String, String)>) -> Result<Remote> {
    let bucket = parse_location(location)?;
    let threshold = settings
        .iter()
        .find(|(name, _)| name == MULTIPART_THRESHOLD)
        .map(|(_, value)| parse_threshold(value))
        .transpose()?;
    let builder = configure(settings);
    let endpoint = configured_endpoint(&builder);
    if let Some(endpoint) = &endpoint {
        check_endpoint(endpoint, &builder)?;
    }
    build(builder, bucket, endpoint, threshold)
}

fn parse_threshold(value: &str) -> Result<usize> {
    value.parse().map_err(|_| {
        Error::config(format!(
            "{MULTIPART_THRESHOLD} is `{value}`: it must be a number of bytes; what is larger goes in parts"
        ))
    })
}

/// Like `AmazonS3Builder::from_env`, from what is given.
fn configure(settings: impl IntoIterator<Item = (String, String)>) -> AmazonS3Builder {
    let known = settings.into_iter().filter_map(|(name, value)| {
        let key = name
            .starts_with("AWS_")
            .then(|| name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok())??;
        Some((key, value))
    });
    known.fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value))
}

/// What the process's environment says, and the profile that it names.
pub(super) fn environment_settings() -> Result<Vec<(String, String)>> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let mut settings = std::env::vars_os().filter_map(text).collect();
    profile::apply_profile(&mut settings)?;
    Ok(settings.into_iter().collect())
}

fn build(builder: AmazonS3Builder, bucket: Bucket, endpoint: Option<String>, threshold: Option<usize>) -> Result<Remote> {
    let virtual_hosted = endpoint.is_none() && !bucket.name.contains('.');
    let set = |key: AmazonS3ConfigKey| builder.get_config_value(&key).is_some_and(|value| value != "false");
    let in_one_piece = set(AmazonS3ConfigKey::Checksum) || set(AmazonS3ConfigKey::SkipSignature) || set(AmazonS3ConfigKey::S3Express);
    let mut builder = builder.clone().with_bucket_name(&bucket.name);
    if virtual_hosted {
        builder = builder.with_virtual_hosted_style_request(true);
    }
    // Waiting between tries is tokio's there, which does not turn in a component: its connector tries again itself.
    #[cfg(target_family = "wasm")]
    let (builder, retries) = (builder.with_crypto_provider(Arc::new(crypto::Plain)), 0);
    #[cfg(not(target_family = "wasm"))]
    let retries = 8;
    let s3 = builder
        .with_http_connector(http::Connector)
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(3),
                base: 2.,
            },
            max_retries: retries,
            retry_timeout: RETRY_TIMEOUT,
        })
        .build()
        .map_err(|e| {
            Error::config(format!(
                "the store `{}` cannot be opened: {e}; correct the AWS_ variables",
                bucket.location()
            ))
        })?;
    let s3 = Arc::new(s3);
    let is_aws = endpoint.as_ref().is_none_or(|endpoint| endpoint.contains(".amazonaws.com"));
    // What these settings add to each request, a request that we sign ourselves would lack.
    let multipart: Option<Box<dyn ConditionalPut>> = match in_one_piece {
        true => None,
        false => {
            let threshold = threshold.unwrap_or(if is_aws {
                MULTIPART_THRESHOLD_AWS
            } else {
                MULTIPART_THRESHOLD_OTHER
            });
            Some(Box::new(MultipartWriter::new(s3.clone(), threshold)?))
        }
    };
    // Other servers may keep files and list them folder by folder; directory buckets list in no order.
    let order = match is_aws {
        _ if set(AmazonS3ConfigKey::S3Express) => ListingOrder::Unknown,
        true => ListingOrder::Bytes,
        false => ListingOrder::Folders,
    };
    Ok(Remote::bucket(
        s3,
        bucket,
        endpoint.unwrap_or_else(|| "AWS".into()),
        order,
        multipart,
    ))
}

/// `s3://bucket/prefix` → its parts. The prefix is empty, or ends in `/`.
fn parse_location(location: &str) -> Result<Bucket> {
    let wrong = |fault: &str| {
        Error::config(format!(
            "`{location}` is not where a store can be: {fault}; write it like `s3://bucket` or `s3://bucket/prefix`"
        ))
    };
    let rest = location
        .strip_prefix(SCHEME)
        .ok_or_else(|| wrong("it does not begin with `s3://`"))?;
    let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
    if !(3..=63).contains(&name.len()) || !name.chars().all(plain) {
        return Err(wrong("the name of a bucket has 3 to 63 small letters, digits, `-` and `.`"));
    }
    let prefix =
        crate::key::normalize_prefix(prefix).map_err(|_| wrong("the prefix has an empty segment, or one that is not allowed in a key"))?;
    Ok(Bucket {
        name: name.to_owned(),
        prefix,
    })
}

/// The server, where it is not AWS.
fn configured_endpoint(builder: &AmazonS3Builder) -> Option<String> {
    let named = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    named.iter().find_map(|key| builder.get_config_value(key))
}

fn check_endpoint(endpoint: &str, builder: &AmazonS3Builder) -> Result<()> {
    let wrong = |fault: &str| {
        Error::config(format!(
            "AWS_ENDPOINT_URL is `{endpoint}`: {fault}; write it like `https://s3.example.com`"
        ))
    };
    let uri: ::http::Uri = endpoint.parse().map_err(|_| wrong("this is no URL"))?;
    let host = uri.host().ok_or_else(|| wrong("it names no host"))?;
    check_scheme(uri.scheme_str(), host, builder).map_err(|fault| wrong(&fault))
}

/// Signatures do not hide what travels in the clear: plain HTTP is for this machine, or where it was asked for.
fn check_scheme(scheme: Option<&str>, host: &str, builder: &AmazonS3Builder) -> Result<(), String> {
    let here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    let allowed = builder.get_config_value(&AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    match scheme {
        Some("https") => Ok(()),
        Some("http") if here || allowed.as_deref() == Some("true") => Ok(()),
        Some("http") => Err("plain HTTP is taken for this machine only, unless AWS_ALLOW_HTTP is `true`".into()),
        _ => Err("it must begin with `https://`, or with `http://` for this machine".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_bucket_and_whole_segments() {
        let parts = |location: &str| parse_location(location).map(|bucket| (bucket.name, bucket.prefix));
        assert_eq!(parts("s3://tide"), Ok(("tide".into(), String::new())));
        assert_eq!(parts("s3://tide/"), Ok(("tide".into(), String::new())));
        assert_eq!(parts("s3://tide.mill-1/a/b"), Ok(("tide.mill-1".into(), "a/b/".into())));
        for bad in ["s3://", "s3://ab", "s3://Tide", "s3://tide//a", "s3://tide/../a", "s3://ti de"] {
            let error = parse_location(bad).unwrap_err();
            assert!(
                error.message.contains(&format!("`{bad}`")) && error.message.contains("s3://bucket/prefix"),
                "{error}"
            );
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        let builder = AmazonS3Builder::new();
        for good in [
            "http://127.0.0.1:8333",
            "http://localhost:1",
            "http://[::1]:1",
            "https://s3.example.com",
        ] {
            assert_eq!(check_endpoint(good, &builder), Ok(()), "{good}");
        }
        for bad in [
            "http://10.0.0.1:8333",
            "http://s3.example.com",
            "ftp://x",
            "s3.example.com",
            "not a url",
        ] {
            assert!(
                check_endpoint(bad, &builder).unwrap_err().message.contains(&format!("`{bad}`")),
                "{bad}"
            );
        }
        assert_eq!(check_endpoint("http://10.0.0.1:8333", &builder.with_allow_http(true)), Ok(()));
    }
}

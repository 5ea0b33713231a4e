//! How long the clients under the S3 store wait, and the words for it.

use std::time::Duration;

use object_store::{
    ClientConfigKey, ClientOptions,
    client::{HttpError, HttpErrorKind},
};

/// Unless AWS_TIMEOUT says otherwise. What is sent has time beside it: a second for each so many bytes.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const MIN_UPLOAD_RATE: usize = 256 << 10;
/// Unless AWS_CONNECT_TIMEOUT says otherwise.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn timeout_option(options: &ClientOptions, key: ClientConfigKey, otherwise: Duration) -> object_store::Result<Duration> {
    let Some(text) = options.get_config_value(&key) else {
        return Ok(otherwise);
    };
    let parsed = text
        .parse::<jiff::SignedDuration>()
        .ok()
        .and_then(|time| Duration::try_from(time).ok());
    parsed.ok_or_else(|| object_store::Error::Generic {
        store: "S3",
        source: format!(
            "`{text}` is no length of time for AWS_{}; write it like `30s`",
            key.as_ref().to_uppercase()
        )
        .into(),
    })
}

/// What went wrong, with all its causes in one line: whoever shows it shows no more than the first.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct TransportError(pub(super) String);

pub(super) fn timeout_error(patience: Duration) -> HttpError {
    let text = format!("the server said nothing for {} s", patience.as_secs_f32());
    HttpError::new(HttpErrorKind::Timeout, TransportError(text))
}

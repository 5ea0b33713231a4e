//! Metrics of inference requests. The model version is known from the rows that a request logged; a request that logged none is counted
//! under the model of its path, as far as the recorder knows that model.

use std::time::Instant;

use http::StatusCode;
use tidemill_observe::global;

/// One inference request under way.
pub(super) struct InferenceTimer {
    start: Instant,
    requested: Option<String>,
}

impl InferenceTimer {
    /// Starts to measure a request for this path.
    pub(super) fn start(path: &str) -> Self {
        Self {
            start: Instant::now(),
            requested: requested_model(path).map(str::to_owned),
        }
    }

    /// Counts the request; `served` is the model and version whose rows it logged.
    pub(super) fn finish(self, status: StatusCode, served: Option<(&str, u64)>) {
        let elapsed = self.start.elapsed();
        match (served, self.requested) {
            (Some((model, version)), _) => {
                let mut buffer = [0; 20];
                global().record_request(model, decimal(version, &mut buffer), status.as_str(), elapsed);
            }
            (None, Some(model)) => global().record_unserved_request(&model, status.as_str(), elapsed),
            (None, None) => {}
        }
    }
}

/// The model of `/v2/models/<model>[/versions/<version>]/infer`.
fn requested_model(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v2/models/")?.strip_suffix("/infer")?;
    rest.split('/').next()
}

/// A number as text, without an allocation.
fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &str {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&buffer[start..]).unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_versions_are_read() {
        assert_eq!(requested_model("/v2/models/late/infer"), Some("late"));
        assert_eq!(requested_model("/v2/models/late/versions/3/infer"), Some("late"));
        assert_eq!(requested_model("/v2/models/late/ready"), None);
        assert_eq!((decimal(0, &mut [0; 20]), decimal(120, &mut [0; 20])), ("0", "120"));
        assert_eq!(decimal(u64::MAX, &mut [0; 20]), u64::MAX.to_string());
    }
}

//! The limits of a project's HTTP server: defaults, then `[serve]` of `tidemill.toml`, then what the caller decides, then a variable for
//! tests, which cannot wait for a minute.

use std::time::Duration;

use tidemill_core::{Error, Result};
use tidemill_engine::{HttpLimits, serve::ServeLimits};

use crate::{ServeSettings, ServerSettings};

/// For tests: `idle=900 connections=4`, times in milliseconds.
const LIMITS_VARIABLE: &str = "TIDEMILL_TEST_LIMITS";

/// Limits of requests and of connections.
pub(crate) fn server_limits(settings: &ServerSettings, caller: &ServeSettings) -> Result<(ServeLimits, HttpLimits)> {
    let (mut serve, mut http) = (ServeLimits::default(), HttpLimits::default());
    if let Some(seconds) = settings.idle_seconds {
        http.idle = Duration::from_secs(seconds.max(1));
    }
    if let Some(connections) = settings.maximum_connections {
        http.connections = connections.max(1);
    }
    let stop_delay = caller.stop_delay.or(settings.stop_delay_seconds.map(Duration::from_secs));
    serve.stop_delay = stop_delay.unwrap_or(serve.stop_delay);
    override_limits(&std::env::var(LIMITS_VARIABLE).unwrap_or_default(), &mut serve, &mut http)?;
    Ok((serve, http))
}

fn override_limits(text: &str, serve: &mut ServeLimits, http: &mut HttpLimits) -> Result<()> {
    let invalid = |part: &str| Error::config(format!("`{part}` in {LIMITS_VARIABLE} is no limit, such as `idle=900`"));
    for part in text.split_whitespace() {
        let (name, value) = part.split_once('=').ok_or_else(|| invalid(part))?;
        let count: u64 = value.parse().map_err(|_| invalid(part))?;
        let (time, count) = (Duration::from_millis(count), usize::try_from(count).unwrap_or(usize::MAX));
        match name {
            "first-byte" => http.first_byte = time,
            "head" => http.head = time,
            "idle" => http.idle = time,
            "write" => http.write = time,
            "connections" => http.connections = count,
            "drain" => http.drain = time,
            "body" => serve.body_idle = time,
            "body-bytes-together" => serve.body_bytes_together = count,
            "host-body-bytes-together" => serve.host_body_bytes_together = count,
            "instances" => serve.instances = count,
            "waiting" => serve.waiting = count,
            _ => return Err(invalid(part)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_overridden_by_name() {
        let (mut serve, mut http) = (ServeLimits::default(), HttpLimits::default());
        override_limits(" idle=900  waiting=2", &mut serve, &mut http).unwrap();
        assert_eq!((http.idle, serve.waiting), (Duration::from_millis(900), 2));
        for wrong in ["idle", "idle=1s", "idel=1"] {
            assert!(override_limits(wrong, &mut serve, &mut http).unwrap_err().message.contains(wrong));
        }
    }
}

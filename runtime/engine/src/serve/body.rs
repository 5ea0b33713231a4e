//! Bodies of requests, read whole: within a size, within a time that grows with what arrives, and within the bytes that all requests may hold
//! together.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::router::{Answer, error_response};

/// Bytes of a body beyond its limit that are read and dropped, for a client that is still sending does not read the response. Beyond them
/// the connection is closed.
const MAX_DRAINED_BYTES: usize = 64 << 20;
/// Bytes a second that a body brings at least, once [`BodyLimits::idle`] is over: one that trickles would hold its place for days.
pub const MIN_BODY_BYTES_PER_SECOND: u64 = 16 << 10;

/// Limits of the bodies of some routes.
#[derive(Debug, Clone)]
pub(super) struct BodyLimits {
    /// Largest body.
    pub(super) most: usize,
    /// Between two parts of a body.
    pub(super) idle: Duration,
    /// Bytes that all requests under way may hold.
    pub(super) budget: Arc<Semaphore>,
}

/// A whole body, and its share of the budget until it is dropped.
pub(super) struct WholeBody {
    pub(super) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// Reads a whole body, or answers why it cannot.
pub(super) async fn read_body(head: &Parts, body: Incoming, limits: &BodyLimits) -> Result<WholeBody, Answer> {
    if let Some(coding) = unknown_coding(head) {
        let message =
            format!("the transfer coding `{coding}` is not taken off here; send the body as it is, with `content-length` or `chunked`");
        return Err(last(error_response(StatusCode::NOT_IMPLEMENTED, &message)));
    }
    let announced = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limits.most as u64) {
        // A client that expects a `100 Continue` has not sent anything yet.
        let asks = head.headers.contains_key(header::EXPECT);
        return Err(too_large(limits.most, !asks && drain(body, limits.idle).await));
    }
    read_frames(body, limits).await
}

/// A coding that is not taken off the body, which would be taken for the rows.
fn unknown_coding(head: &Parts) -> Option<String> {
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.find(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))?;
    Some(String::from_utf8_lossy(coding.as_bytes()).into_owned())
}

async fn read_frames(mut body: Incoming, limits: &BodyLimits) -> Result<WholeBody, Answer> {
    let started = Instant::now();
    let mut whole = Joined::default();
    let mut share: Option<OwnedSemaphorePermit> = None;
    loop {
        let allowed = limits.idle + Duration::from_secs(whole.len() as u64 / MIN_BODY_BYTES_PER_SECOND);
        let left = allowed.saturating_sub(started.elapsed()).min(limits.idle);
        let frame = match tokio::time::timeout(left, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => return Err(last(error_response(StatusCode::BAD_REQUEST, "the body did not arrive whole"))),
            Ok(None) => break,
            Err(_) => return Err(too_slow(whole.len(), limits.idle)),
        };
        let Ok(part) = frame.into_data() else { continue };
        if whole.len() + part.len() > limits.most {
            return Err(too_large(limits.most, drain(body, limits.idle).await));
        }
        let taken = u32::try_from(part.len())
            .ok()
            .and_then(|bytes| limits.budget.clone().try_acquire_many_owned(bytes).ok());
        match (taken, &mut share) {
            (Some(more), Some(share)) => share.merge(more),
            (Some(first), none) => *none = Some(first),
            (None, _) => {
                drop((share.take(), std::mem::take(&mut whole)));
                return Err(no_room(drain(body, limits.idle).await));
            }
        }
        whole.push(part);
    }
    Ok(WholeBody {
        bytes: whole.into_bytes(),
        _share: share,
    })
}

/// The parts of a body. The first is kept as it is, for most bodies have no other; the others are copied, for however small they are, each
/// holds the buffer that it was read into.
#[derive(Default)]
struct Joined {
    first: Bytes,
    rest: BytesMut,
}

impl Joined {
    fn len(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    fn push(&mut self, part: Bytes) {
        if self.len() == 0 {
            self.first = part;
            return;
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.rest.extend_from_slice(&part);
    }

    fn into_bytes(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}

/// Reads and drops the rest of a body; returns whether it ended.
async fn drain(mut body: Incoming, idle: Duration) -> bool {
    let drained = async {
        let mut left = MAX_DRAINED_BYTES;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let size = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(size) {
                Some(less) => left = less,
                None => return false,
            }
        }
        true
    };
    tokio::time::timeout(idle, drained).await.unwrap_or(false)
}

fn too_slow(size: usize, idle: Duration) -> Answer {
    let message = format!(
        "the body did not arrive in time: {size} bytes of it are here; it may pause for at most {idle:?}, and must bring {} KiB a second",
        MIN_BODY_BYTES_PER_SECOND >> 10
    );
    last(error_response(StatusCode::REQUEST_TIMEOUT, &message))
}

fn no_room(is_drained: bool) -> Answer {
    let answer = overloaded("other requests fill the memory that bodies may take");
    if is_drained { answer } else { last(answer) }
}

/// 503 for a client that may try again in a moment.
pub(super) fn overloaded(why: &str) -> Answer {
    let mut answer = error_response(
        StatusCode::SERVICE_UNAVAILABLE,
        &format!("{why}: send the request again in a moment"),
    );
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    answer
}

fn too_large(most: usize, is_drained: bool) -> Answer {
    let message = format!(
        "the body is larger than {} MiB, which is the most that is taken: send it in parts",
        most >> 20
    );
    let answer = error_response(StatusCode::PAYLOAD_TOO_LARGE, &message);
    if is_drained { answer } else { last(answer) }
}

/// The answer after which the connection ends, for its body was not read.
pub(super) fn last(mut answer: Answer) -> Answer {
    answer
        .headers_mut()
        .insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chunked_is_taken_off() {
        let unknown = |codings: &[&str]| {
            let mut request = http::Request::post("/");
            for coding in codings {
                request = request.header("transfer-encoding", *coding);
            }
            unknown_coding(&request.body(()).unwrap().into_parts().0)
        };
        assert_eq!((unknown(&[]), unknown(&["Chunked"])), (None, None));
        assert_eq!(unknown(&["gzip, chunked"]).as_deref(), Some("gzip, chunked"));
        assert_eq!(unknown(&["chunked", "gzip"]).as_deref(), Some("gzip"));
    }

    #[test]
    fn parts_are_joined() {
        for (parts, whole) in [(&[][..], ""), (&["abc"], "abc"), (&["", "a", "bc", ""], "abc")] {
            let mut joined = Joined::default();
            parts.iter().for_each(|part| joined.push(Bytes::from_static(part.as_bytes())));
            assert_eq!((joined.len(), joined.into_bytes()), (whole.len(), Bytes::from(whole)));
        }
    }
}

//! In the place of `predict`: says how many requests this instance has had, traps on `/trap`, panics on `/panic`.
//! Natively there is nothing to serve.
#![cfg(target_family = "wasm")]

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use spin_sdk::{
    http::{FullBody, IntoResponse, Request},
    http_service,
};

static REQUESTS: AtomicU64 = AtomicU64::new(0);

#[http_service]
async fn serve(request: Request) -> impl IntoResponse {
    let count = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
    match request.uri().path() {
        "/trap" => core::arch::wasm32::unreachable(),
        "/panic" => panic!("asked for"),
        _ => http::Response::new(FullBody::new(Bytes::from(format!("{{\"requests\": {count}}}")))),
    }
}

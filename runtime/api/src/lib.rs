//! The HTTP routes of the host itself: data, events, status, health, metrics.
//!
//! Predictions don't pass here. The engine asks [`is_host_path`] for each request and hands only those to the [`router`]; the rest goes
//! to the predict component without a router in between, which was measured to be faster.
//!
//! | Route | Answer |
//! |---|---|
//! | `POST /data/<dataset>` | 202 when the rows are an object in the store |
//! | `GET /events`, `POST /events` | what waits; a bucket's notifications |
//! | `GET /status`, `GET /healthz` | the flow's state; 200 as soon as it runs |
//! | `GET /metrics` | Prometheus text |
//!
//! A server of predictions alone has `GET /healthz` and `GET /metrics`, and says where the others are: see [`prediction_router`].

mod data;
mod error;
mod router;

pub use axum::Router;
pub use router::{ApiState, FlowSlot, is_host_path, prediction_router, respond, router};

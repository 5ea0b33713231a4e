//! What `tidemill new` makes: projects that Spin would make alike, that build and pass their own tests, and stages in other languages
//! that run in the chain and touch nothing but what they were granted.
//!
//! Tools come from `cargo xtask test`; where one is missing a test says so and passes, except where `CI` is set.

mod chain;
mod new;
mod onnx;
mod own;
mod spin;
mod tools;

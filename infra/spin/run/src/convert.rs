//! Conversions between the WIT contract's types and those of `tidemill_core`.
#![allow(dead_code, reason = "each side converts in one direction")]

tidemill_core::wit_conversions!([crate::bindings::exports::tidemill::stage] types run_context objects);

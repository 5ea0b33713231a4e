//! Conversions between the stage's WIT types and those of `tidemill_core`.

tidemill_core::wit_conversions!([crate::bindings::stage::tidemill::stage] types run_context objects sql progress);

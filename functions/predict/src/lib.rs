//! Serves predictions over HTTP.

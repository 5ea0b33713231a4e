//! Drift and accuracy per closed window.

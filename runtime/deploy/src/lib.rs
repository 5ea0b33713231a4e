//! What a project becomes on another target than one machine: its template, the difference to the template that is there, and what
//! it costs. Pure: a checked [`Pipeline`](tidemill_core::pipeline::Pipeline) goes in, text comes out; the command line does the files.
//!
//! [`sam`] is AWS. A template is built from types that say what each resource has ([`sam::template`], [`sam::resources`]), never by
//! pasting text. [`spin`] is Spin: a manifest, and which components make up each of those that it names.

pub mod cost;
pub mod difference;
pub mod sam;
pub mod spin;
mod yaml;

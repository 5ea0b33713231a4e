//! Deployments of a project to other targets: the template, its difference from the existing one, and its cost. No I/O: a checked
//! [`Pipeline`](tidemill_core::pipeline::Pipeline) goes in, text and bytes come out, and the command line reads and writes the files.
//!
//! [`sam`] generates a SAM template for AWS from typed resources ([`sam::template`], [`sam::resources`]), never by pasting text. [`spin`]
//! generates a Spin manifest, and composes the components that it names. [`k8s`] generates manifests for Kubernetes.

pub mod cost;
pub mod difference;
pub mod k8s;
pub mod sam;
mod secrets;
pub mod spin;
mod yaml;

//! The demo: a year of real flights passes through `tidemill up` month by month. The model is trained, monitored, retrained and swapped
//! under load; a control without drift must not be retrained.
//!
//! It uses the `tidemill` command and its HTTP interface, as a user would, and only reads the store. Measurements and tests drive the same
//! [`server`].

pub mod claims;
mod command;
pub mod control;
pub mod flights;
pub mod folder;
pub mod months;
pub mod process;
pub mod reader;
pub mod server;
pub mod summary;
pub mod swap;
pub mod year;

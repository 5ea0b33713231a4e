//! What the end-to-end tests share: a small project with data of its own making, and how its store is compared.

pub mod small;
pub mod snapshot;

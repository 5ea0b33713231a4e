//! Admits a version and moves the alias.

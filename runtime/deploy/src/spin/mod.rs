//! Spin: one component from several, and what it may import there.

pub mod compose;

//! The same as a Lambda handler.
fn main() {}

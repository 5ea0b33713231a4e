//! The same stage as a Lambda handler.
fn main() {}

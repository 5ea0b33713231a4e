//! The same stage as a Lambda handler.
fn main() {
    tidemill_lambda::run::<tidemill_monitor::Monitor>()
}

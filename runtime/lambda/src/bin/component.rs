//! The function of any stage as its component.
fn main() {
    tidemill_lambda::run_component();
}

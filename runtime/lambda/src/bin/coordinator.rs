//! The function that closes windows and writes ticks.
fn main() {
    tidemill_lambda::run_keeper();
}

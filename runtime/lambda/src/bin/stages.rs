//! The function of any native stage, and of the coordinator: `TIDEMILL_CONFIG` says which.
fn main() {
    tidemill_lambda::run_stage_or_coordinator();
}

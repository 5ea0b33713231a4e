//! The function that serves predictions, behind a function URL or API Gateway.
fn main() {
    tidemill_lambda::run_http(tidemill_lambda::Predict::open);
}

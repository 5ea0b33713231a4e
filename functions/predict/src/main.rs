//! The same stage as a Lambda handler, behind a function URL or API Gateway.
fn main() {
    tidemill_lambda::run_http(tidemill_predict::lambda::Predict::open);
}

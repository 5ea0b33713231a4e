//! The same stage as a Lambda handler.
fn main() {
    tidemill_lambda::run::<{{project-name | snake_case}}::{{project-name | pascal_case}}>();
}

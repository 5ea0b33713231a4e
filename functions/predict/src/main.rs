//! Serving predictions as a Lambda handler is not there yet, and this says so instead of answering nothing.

fn main() -> std::process::ExitCode {
    eprintln!("error: `predict` does not run as a Lambda handler yet");
    eprintln!("hint: `tidemill up` serves it over HTTP; the other stages have Lambda handlers");
    std::process::ExitCode::from(2)
}

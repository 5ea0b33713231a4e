//! A command of `tidemill`, run to its end.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Runs it. Its variables are in no message: they may be secrets.
///
/// # Errors
/// If it fails, with what it wrote.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    let shown = format!("tidemill {}", words.join(" "));
    let output = command.output().with_context(|| format!("`{shown}` cannot be run"))?;
    let message = String::from_utf8_lossy(&output.stderr);
    let message = message.trim();
    ensure!(
        output.status.success(),
        "`{shown}` failed ({}): {}",
        output.status,
        message.strip_prefix("error: ").unwrap_or(message)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_shown_without_its_variables() -> Result<()> {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo 'error: the disk is full' >&2; exit 5"])
            .env("AWS_SECRET_ACCESS_KEY", "hush");
        let error = run(&mut command).unwrap_err().to_string();
        assert!(
            error.starts_with("`tidemill -c ") && error.ends_with("failed (exit status: 5): the disk is full"),
            "{error}"
        );
        assert!(!error.contains("hush"), "{error}");
        run(Command::new("sh").args(["-c", "exit 0"]))
    }
}

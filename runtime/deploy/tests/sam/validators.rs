//! The templates before AWS's own checks: the linter over what is written, SAM's own transformation, and the linter again over what
//! CloudFormation would get. `cargo xtask test` brings the tools (from PyPI) and says where they are.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::projects::PROJECTS;

/// Turns a SAM template into what CloudFormation gets, as `sam validate` does.
const TRANSFORM: &str = include_str!("transform.py");

/// The folder of the tools, if they are there. With `CI` set they must be.
fn tools() -> Option<PathBuf> {
    let tools = std::env::var_os("TIDEMILL_AWS_LINT").map(PathBuf::from);
    if tools.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "TIDEMILL_AWS_LINT is not set: run `cargo xtask test`"
        );
        eprintln!("left out: TIDEMILL_AWS_LINT is not set; `cargo xtask test` sets it");
    }
    tools
}

fn passed(what: &str, output: &Output) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{what} ({}):\n{}{}",
        output.status,
        said(&output.stdout),
        said(&output.stderr)
    );
}

fn lint(tools: &Path, template: &Path, besides: &[&str]) {
    // Warnings count.
    let mut lint = Command::new(tools.join("cfn-lint"));
    lint.args(["--regions", "us-east-1"]).args(besides).arg("--").arg(template);
    passed(&format!("cfn-lint of {}", template.display()), &lint.output().unwrap());
}

#[test]
fn aws_accepts_the_templates() {
    let Some(tools) = tools() else { return };
    std::thread::scope(|scope| {
        for project in &PROJECTS {
            let tools = &tools;
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let (written, transformed) = (folder.path().join("template.yaml"), folder.path().join("transformed.json"));
                fs::write(&written, project.sam().yaml().unwrap()).unwrap();
                lint(tools, &written, &[]);
                let mut transform = Command::new(tools.join("python"));
                transform
                    .args(["-W", "ignore", "-c", TRANSFORM])
                    .args([&written, &transformed])
                    .env("AWS_DEFAULT_REGION", "us-east-1");
                passed("SAM's transformation", &transform.output().unwrap());
                // SAM fills in a layer's name and leaves `Fn::Sub` around it.
                lint(tools, &transformed, &["--ignore-checks", "W1020"]);
            });
        }
    });
}

/// The linter is at work: a mistake is found.
#[test]
fn a_mistake_is_found() {
    let Some(tools) = tools() else { return };
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("template.yaml");
    let text = PROJECTS[0].sam().yaml().unwrap();
    fs::write(&template, text.replacen("VisibilityTimeout", "VisibilityTimeouts", 1)).unwrap();
    let output = Command::new(tools.join("cfn-lint")).arg(&template).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("VisibilityTimeouts"), "{said}");
}

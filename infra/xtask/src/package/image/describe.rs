//! What images and artifacts say of themselves, and how a container runtime starts the program.

use serde_json::{Map, Value, json};

use super::{
    base::{USER, VOLUMES},
    layer::Written,
};
use crate::{
    machine::{Machine, capture},
    package::{arch::Arch, date::Time},
};

pub(super) const TITLE: &str = "Tidemill";
pub(super) const DESCRIPTION: &str = "Serverless MLOps: the life of a model as small functions that object-storage events chain together";

/// The prefix of Tidemill's files.
pub(super) const PREFIX: &str = "usr";

/// The port of the default command.
const PORT: u16 = 8080;

/// What is the same for all that is made of a commit.
pub(super) struct About {
    pub(super) version: String,
    /// The commit's time.
    pub(super) created: String,
    /// The commit; `-dirty` behind it says that files were changed since. A checkout without git has none.
    revision: Option<String>,
}

impl About {
    pub(super) fn read(machine: &Machine, version: &str, time: &Time) -> Self {
        let mut git = machine.command("git");
        let described = capture(git.args(["describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]));
        Self {
            version: version.to_owned(),
            created: time.rfc3339(),
            revision: described.ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
        }
    }

    /// Annotations under the names that OCI defines; an image has them as labels too.
    pub(super) fn annotations(&self, title: &str, description: &str) -> Value {
        let mut found = Map::new();
        let mut add = |name: &str, value: &str| _ = found.insert(format!("org.opencontainers.image.{name}"), json!(value));
        add("title", title);
        add("description", description);
        add("version", &self.version);
        add("created", &self.created);
        add("licenses", "Apache-2.0");
        if let Some(revision) = &self.revision {
            add("revision", revision);
        }
        Value::Object(found)
    }

    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            version: "0.1.0".into(),
            created: "2026-11-30T23:28:16Z".into(),
            revision: Some("00ff".into()),
        }
    }
}

/// Where an image runs.
pub(super) fn platform(arch: Arch) -> Value {
    json!({"architecture": arch.debian(), "os": "linux"})
}

/// The configuration of an image of these layers: <https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md>.
pub(super) fn config(about: &About, arch: Arch, layers: &[(&str, &Written)]) -> Value {
    let mut config = platform(arch);
    config["created"] = json!(about.created);
    config["config"] = process(about);
    let diff_ids: Vec<&str> = layers.iter().map(|(_, layer)| layer.diff_id.as_str()).collect();
    config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    let history = layers
        .iter()
        .map(|(name, _)| json!({"created": about.created, "created_by": "cargo xtask image", "comment": name}));
    config["history"] = history.collect();
    config
}

/// How the program is started: by a user without rights, with all that it writes in volumes.
fn process(about: &About) -> Value {
    let volumes = VOLUMES.into_iter().chain(["tmp"]);
    let volumes: Map<String, Value> = volumes.map(|volume| (format!("/{volume}"), json!({}))).collect();
    json!({
        "User": format!("{USER}:{USER}"),
        "ExposedPorts": {format!("{PORT}/tcp"): {}},
        "Env": [
            format!("PATH=/{PREFIX}/bin"),
            // Machine code of the components, which they are compiled to when they are first used.
            "XDG_CACHE_HOME=/cache",
        ],
        "Entrypoint": [format!("/{PREFIX}/bin/tidemill")],
        // Inside a container the loopback interface is reached by nothing else.
        "Cmd": ["up", "--addr", format!("0.0.0.0:{PORT}")],
        "Volumes": volumes,
        "WorkingDir": "/data",
        "Labels": about.annotations(TITLE, DESCRIPTION),
        "StopSignal": "SIGTERM",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::image::layout::Descriptor;

    #[test]
    fn an_image_is_run_by_a_user_without_rights() {
        let written = Written {
            descriptor: Descriptor {
                media_type: "application/x.layer",
                digest: "sha256:00".into(),
                size: 1,
            },
            diff_id: "sha256:11".into(),
        };
        let config = config(&About::sample(), Arch::X86_64, &[("one", &written), ("two", &written)]);
        assert_eq!((&config["architecture"], &config["os"]), (&json!("amd64"), &json!("linux")));
        assert_eq!(config["rootfs"]["diff_ids"], json!(["sha256:11", "sha256:11"]));
        assert_eq!(config["history"].as_array().unwrap().len(), 2);
        let process = &config["config"];
        assert_eq!(process["User"], "65532:65532");
        assert_eq!(process["Volumes"], json!({"/data": {}, "/cache": {}, "/tmp": {}}));
        assert_eq!(process["Labels"]["org.opencontainers.image.created"], config["created"]);
        assert_eq!(process["Labels"]["org.opencontainers.image.revision"], "00ff");
    }
}

//! An OCI image layout: <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>. Blobs are files named by their digest, and
//! `index.json` names the manifests.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::package::archive::hex;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The annotation that tools select by: `skopeo copy oci:<layout>:<name>`.
const NAME: &str = "org.opencontainers.image.ref.name";

/// A blob, as others refer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) media_type: &'static str,
    /// `sha256:…`
    pub(super) digest: String,
    pub(super) size: u64,
}

impl Descriptor {
    pub(super) fn to_json(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.size})
    }

    /// With the name under which a tool finds it.
    pub(super) fn named(&self, name: &str) -> Value {
        let mut json = self.to_json();
        json["annotations"] = json!({NAME: name});
        json
    }
}

/// A layout that is being written.
pub(super) struct Layout(PathBuf);

impl Layout {
    /// An empty layout in the folder; an earlier one is removed.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("cannot create {}", blobs.display()))?;
        Ok(Self(folder.to_owned()))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// The file of a blob.
    pub(super) fn blob(&self, descriptor: &Descriptor) -> PathBuf {
        self.0.join("blobs").join(descriptor.digest.replace(':', "/"))
    }

    /// Makes a file that was written in the layout's folder a blob.
    pub(super) fn place(&self, file: &Path, descriptor: &Descriptor) -> Result<()> {
        let blob = self.blob(descriptor);
        fs::rename(file, &blob).with_context(|| format!("cannot rename {} to {}", file.display(), blob.display()))
    }

    pub(super) fn add(&self, media_type: &'static str, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor {
            media_type,
            digest: format!("sha256:{}", hex(&Sha256::digest(bytes))),
            size: bytes.len() as u64,
        };
        let blob = self.blob(&descriptor);
        fs::write(&blob, bytes).with_context(|| format!("cannot write {}", blob.display()))?;
        Ok(descriptor)
    }

    pub(super) fn add_json(&self, media_type: &'static str, json: &Value) -> Result<Descriptor> {
        self.add(media_type, json.to_string().as_bytes())
    }

    /// A manifest of these layers. Its annotations say what its index says of it too.
    pub(super) fn add_manifest(&self, config: &Descriptor, layers: &[Value], annotations: &Value) -> Result<Descriptor> {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.to_json(),
            "layers": layers,
            "annotations": annotations,
        });
        self.add_json(MANIFEST, &manifest)
    }

    /// An index of these manifests, each with its platform.
    pub(super) fn add_index(&self, manifests: &[Value], annotations: &Value) -> Result<Descriptor> {
        self.add_json(INDEX, &index(manifests, Some(annotations)))
    }

    /// Writes the list of what is inside, last.
    pub(super) fn finish(self, manifests: &[Value]) -> Result<()> {
        fs::write(self.0.join("index.json"), index(manifests, None).to_string())?;
        let version = json!({"imageLayoutVersion": "1.0.0"});
        Ok(fs::write(self.0.join("oci-layout"), version.to_string())?)
    }
}

fn index(manifests: &[Value], annotations: Option<&Value>) -> Value {
    let mut index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    if let Some(annotations) = annotations {
        index["annotations"] = annotations.clone();
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::archive::tests::folder;

    #[test]
    fn a_layout_holds_what_its_index_names() {
        let folder = folder("layout");
        fs::write(folder.join("stale"), "").unwrap();
        let layout = Layout::create(&folder).unwrap();
        let config = layout.add_json("application/x.config", &json!({"b": 1, "a": 2})).unwrap();
        assert_eq!(fs::read_to_string(layout.blob(&config)).unwrap(), "{\"b\":1,\"a\":2}");
        let layer = layout.add("application/x.layer", b"abc").unwrap();
        assert_eq!(
            layer.digest,
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let manifest = layout.add_manifest(&config, &[layer.to_json()], &json!({})).unwrap();
        layout.finish(&[manifest.named("mill:1")]).unwrap();
        let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
        let named = &index["manifests"][0];
        assert_eq!(
            (&named["annotations"][NAME], &named["size"]),
            (&json!("mill:1"), &json!(manifest.size))
        );
        let file = folder.join("blobs").join(named["digest"].as_str().unwrap().replace(':', "/"));
        let read: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        assert_eq!(read["layers"][0]["size"], 3);
        assert!(folder.join("oci-layout").is_file() && !folder.join("stale").exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}

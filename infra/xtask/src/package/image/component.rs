//! Components as OCI artifacts that registries and WebAssembly's tools know: one layer, the component itself, and a configuration that says what
//! it imports and exports (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>).

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use wasmparser::{Encoding, Parser, Payload};

use super::{
    describe::About,
    layout::{Descriptor, Layout},
};
use crate::{guests, machine::Machine};

const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";

/// Writes a layout with each component that is shipped, named `<component>:<version>`. Returns how many there are.
pub(super) fn write(machine: &Machine, folder: &Path, about: &About) -> Result<usize> {
    let layout = Layout::create(folder)?;
    let mut manifests = Vec::new();
    for package in guests::shipped(&machine.root)?.iter().flatten() {
        let name = guests::short_name(package);
        let path = machine.target.join("components").join(guests::file_name(package));
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let interface = Interface::read(&bytes).with_context(|| path.display().to_string())?;
        let manifest = add(&layout, name, &bytes, &interface, about)?;
        manifests.push(manifest.named(&format!("{name}:{}", about.version)));
    }
    layout.finish(&manifests)?;
    Ok(manifests.len())
}

fn add(layout: &Layout, name: &str, bytes: &[u8], interface: &Interface, about: &About) -> Result<Descriptor> {
    let layer = layout.add(LAYER, bytes)?;
    let config = json!({
        "created": about.created,
        "author": null,
        "architecture": "wasm",
        // What the format calls every component, whichever version of WASI it imports.
        "os": "wasip2",
        "layerDigests": [layer.digest],
        "component": {"exports": interface.exports, "imports": interface.imports, "target": null},
    });
    let config = layout.add_json(CONFIG, &config)?;
    let mut layer: Value = layer.to_json();
    // The name that `oras pull` gives the file.
    layer["annotations"] = json!({"org.opencontainers.image.title": format!("{name}.wasm")});
    let description = format!("Tidemill's component `{name}`");
    layout.add_manifest(&config, &[layer], &about.annotations(name, &description))
}

/// The names of what a component imports and exports.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interface {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Interface {
    fn read(component: &[u8]) -> Result<Self> {
        let mut found = Self::default();
        // Components and modules inside have sections of their own.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(component) {
            match payload? {
                Payload::Version { encoding, .. } if depth == 0 => {
                    ensure!(encoding == Encoding::Component, "it is a module, and no component");
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        found.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        found.exports.push(export?.name.name.to_owned());
                    }
                }
                _ => (),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(component (component (export "x" …)) (import "a:b/c" (instance)) (export "d:e/f" (instance 0)))`
    fn sample() -> Vec<u8> {
        let header = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];
        let section = |id: u8, body: &[u8]| [&[id, u8::try_from(body.len()).unwrap()], body].concat();
        let name = |text: &str| [&[0, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let instance_type = section(7, &[1, 0x42, 0]);
        let import = |text: &str| section(10, &[&[1], name(text).as_slice(), &[5, 0]].concat());
        let export = |text: &str| section(11, &[&[1], name(text).as_slice(), &[5, 0, 0]].concat());
        let inner = [&header, instance_type.as_slice(), &import("g:h/i"), &export("j:k/l")].concat();
        [
            &header,
            section(4, &inner).as_slice(),
            &instance_type,
            &import("a:b/c"),
            &export("d:e/f"),
        ]
        .concat()
    }

    #[test]
    fn an_interface_is_the_outer_component_s() {
        let interface = Interface::read(&sample()).unwrap();
        assert_eq!(
            (interface.imports, interface.exports),
            (vec!["a:b/c".to_owned()], vec!["d:e/f".to_owned()])
        );
        let module = [0, b'a', b's', b'm', 1, 0, 0, 0];
        assert!(Interface::read(&module).unwrap_err().to_string().contains("no component"));
        assert!(Interface::read(b"text").is_err());
    }

    #[test]
    fn an_artifact_has_the_component_s_bytes() {
        let folder = crate::package::archive::tests::folder("artifact");
        let layout = Layout::create(&folder).unwrap();
        let about = About::sample();
        let interface = Interface::read(&sample()).unwrap();
        let manifest = add(&layout, "validate", &sample(), &interface, &about).unwrap();
        let read = |descriptor: &Value| -> Vec<u8> {
            let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
            fs::read(folder.join("blobs").join(digest)).unwrap()
        };
        let manifest: Value = serde_json::from_slice(&fs::read(layout.blob(&manifest)).unwrap()).unwrap();
        assert_eq!(read(&manifest["layers"][0]), sample());
        let config: Value = serde_json::from_slice(&read(&manifest["config"])).unwrap();
        assert_eq!(config["layerDigests"][0], manifest["layers"][0]["digest"]);
        assert_eq!(config["component"]["imports"], json!(["a:b/c"]));
        assert_eq!((&config["os"], &config["created"]), (&json!("wasip2"), &json!(about.created)));
        fs::remove_dir_all(&folder).unwrap();
    }
}

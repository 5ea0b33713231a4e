//! The bill of materials: CycloneDX 1.5, <https://cyclonedx.org/docs/1.5/json/>. It says nothing of the machine that made it, so that the same
//! commit gives the same bytes.

use serde_json::{Value, json};

use super::{
    arch::Arch,
    date::Time,
    inside::{Crate, Inside, Key},
};
use crate::{duckdb, wheel::ONNX_RUNTIME};

/// The document for a package.
pub(super) fn render(inside: &Inside, arch: Arch, time: &Time) -> String {
    let libraries = libraries(inside, arch);
    let root = format!("pkg:pypi/tidemill@{}", inside.version);
    let crates = inside.crates.iter().map(|(key, found)| component(key, found));
    let components: Vec<Value> = crates.chain(libraries.clone()).collect();
    let mut dependencies: Vec<Value> = inside
        .crates
        .iter()
        .map(|(key, found)| json!({"ref": purl(key), "dependsOn": found.uses.iter().map(purl).collect::<Vec<_>>()}))
        .collect();
    let ours = inside
        .crates
        .iter()
        .filter(|(_, found)| found.is_ours)
        .map(|(key, _)| json!(purl(key)));
    let direct: Vec<Value> = ours.chain(libraries.iter().map(|library| library["bom-ref"].clone())).collect();
    dependencies.push(json!({"ref": root, "dependsOn": direct}));
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time.rfc3339(),
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": "tidemill",
                "version": inside.version,
                "purl": root,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    format!("{document:#}\n")
}

fn purl((name, version): &Key) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn component(key: &Key, found: &Crate) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(key),
        "name": key.0,
        "version": key.1,
        "purl": purl(key),
        "licenses": [match &found.licence {
            Some(expression) => json!({"expression": expression}),
            None => json!({"license": {"name": "in LICENSES.txt"}}),
        }],
    });
    if let Some(checksum) = &found.checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = &found.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// What is inside and no crate.
fn libraries(inside: &Inside, arch: Arch) -> Vec<Value> {
    let library = |name: &str, version: &str, purl: String, licence: &str| {
        json!({
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            "licenses": [{"expression": licence}],
        })
    };
    let duckdb = duckdb::package("linux", arch.machine()).unwrap_or_default().trim_start_matches('@');
    let duckdb = format!("pkg:npm/%40{duckdb}@{}", duckdb::VERSION);
    let (onnx_runtime, version) = ONNX_RUNTIME.package.split_once("==").unwrap_or((ONNX_RUNTIME.package, ""));
    let rust = format!("pkg:generic/rust-std@{}", inside.rust);
    vec![
        library("duckdb", duckdb::VERSION.split('-').next().unwrap_or_default(), duckdb, "MIT"),
        library(onnx_runtime, version, format!("pkg:pypi/{onnx_runtime}@{version}"), "MIT"),
        library("rust-std", &inside.rust, rust, "MIT OR Apache-2.0"),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::package::archive::tests::packing;

    #[test]
    fn the_document_names_all_that_is_inside() {
        let key = |name: &str| (name.to_owned(), "1.0.0".to_owned());
        let crates = BTreeMap::from([
            (
                key("a"),
                Crate {
                    licence: Some("MIT OR Apache-2.0".into()),
                    checksum: Some("00ff".into()),
                    uses: BTreeSet::from([key("b")]),
                    ..Crate::default()
                },
            ),
            (key("b"), Crate::default()),
        ]);
        let inside = Inside {
            version: "0.1.0".into(),
            crates,
            rust: "1.95.0".into(),
        };
        let text = render(&inside, Arch::Arm64, &packing().time);
        assert_eq!(text, render(&inside, Arch::Arm64, &packing().time));
        let document: Value = serde_json::from_str(&text).unwrap();
        let components = document["components"].as_array().unwrap();
        let names: Vec<&str> = components.iter().filter_map(|c| c["name"].as_str()).collect();
        assert_eq!(names, ["a", "b", "duckdb", "onnxruntime", "rust-std"]);
        assert_eq!(components[0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(components[2]["purl"], "pkg:npm/%40duckdb/node-bindings-linux-arm64@1.5.6-r.1");
        assert_eq!(document["metadata"]["timestamp"], "2026-11-30T23:28:16Z");
        // Each reference leads to a component.
        let known: Vec<&Value> = components.iter().map(|c| &c["bom-ref"]).collect();
        for dependency in document["dependencies"].as_array().unwrap() {
            assert!(dependency["dependsOn"].as_array().unwrap().iter().all(|used| known.contains(&used)));
        }
    }
}

//! Composition of several components into one: imports that Spin does not offer are provided by the exports of Tidemill's own components.
//!
//! Versions are compared as in Spin's engine: all releases of one track (`0.2`, `0.3`, `3`) are interchangeable, and a pre-release matches
//! only itself.

use tidemill_core::{Error, Result};
use wac_graph::{
    CompositionGraph, EncodeOptions, PackageId, PlugError, plug,
    types::{ItemKind, Package, Type},
};

/// Interfaces of one package that Spin offers, in one version or without a version.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// The package's name: `wasi:http`.
    pub package: &'static str,
    /// The interfaces' names.
    pub interfaces: &'static [&'static str],
    /// A track of releases, such as `0.2`, or one pre-release; empty if the package has no version.
    pub version: &'static str,
}

const fn offer(package: &'static str, version: &'static str, interfaces: &'static [&'static str]) -> Offer {
    Offer {
        package,
        interfaces,
        version,
    }
}

const CLI: &[&str] = &[
    "environment",
    "exit",
    "stdin",
    "stdout",
    "stderr",
    "terminal-input",
    "terminal-output",
    "terminal-stdin",
    "terminal-stdout",
    "terminal-stderr",
    "types",
];
const CLOCKS: &[&str] = &["monotonic-clock", "wall-clock", "system-clock", "types"];
const FILES: &[&str] = &["types", "preopens"];
const RANDOM: &[&str] = &["random", "insecure", "insecure-seed"];
const SOCKETS: &[&str] = &[
    "instance-network",
    "ip-name-lookup",
    "network",
    "tcp",
    "tcp-create-socket",
    "udp",
    "udp-create-socket",
    "types",
];
const STORES: &[&str] = &["key-value", "llm", "mqtt", "mysql", "postgres", "rdbms-types", "redis", "sqlite"];

/// The interfaces that Spin 4.1 offers to every component, except the snapshots of WASI before its releases and unstable interfaces.
pub const OFFERED: &[Offer] = &[
    offer("wasi:cli", "0.2", CLI),
    offer("wasi:clocks", "0.2", CLOCKS),
    offer("wasi:filesystem", "0.2", FILES),
    offer("wasi:io", "0.2", &["error", "poll", "streams"]),
    offer("wasi:random", "0.2", RANDOM),
    offer("wasi:sockets", "0.2", SOCKETS),
    offer("wasi:http", "0.2", &["types", "outgoing-handler"]),
    offer("wasi:cli", "0.3", CLI),
    offer("wasi:clocks", "0.3", CLOCKS),
    offer("wasi:filesystem", "0.3", FILES),
    offer("wasi:random", "0.3", RANDOM),
    offer("wasi:sockets", "0.3", SOCKETS),
    offer("wasi:http", "0.3", &["types", "client"]),
    offer("wasi:config", "0.2.0-draft-2024-09-27", &["store"]),
    offer("wasi:keyvalue", "0.2.0-draft2", &["store", "atomics", "batch"]),
    offer("fermyon:spin", "", STORES),
    offer("fermyon:spin", "", &["config", "http", "http-types", "redis-types"]),
    offer("fermyon:spin", "2", STORES),
    offer("fermyon:spin", "2", &["variables"]),
    offer("spin:key-value", "3", &["key-value"]),
    offer("spin:variables", "3", &["variables"]),
    offer("spin:mqtt", "3", &["mqtt"]),
    offer("spin:mysql", "3", &["mysql"]),
    offer("spin:postgres", "3", &["postgres"]),
    offer("spin:postgres", "4", &["postgres"]),
    offer("spin:redis", "3", &["redis"]),
    offer("spin:sqlite", "3", &["sqlite"]),
];

/// Whether Spin 4.1 offers an import, such as `wasi:http/client@0.3.0`.
pub fn is_offered(import: &str) -> bool {
    let (name, version) = import.split_once('@').unwrap_or((import, ""));
    let Some((package, interface)) = name.split_once('/') else {
        return false;
    };
    OFFERED
        .iter()
        .any(|offer| offer.package == package && offer.interfaces.contains(&interface) && is_of(version, offer.version))
}

/// Whether a version is the offered one or a release of the offered track.
fn is_of(version: &str, offered: &str) -> bool {
    let in_track = || version.strip_prefix(offered).is_some_and(|rest| rest.starts_with('.'));
    version == offered || !offered.is_empty() && !version.contains('-') && in_track()
}

/// Composes `socket` with the plugs, whose exports satisfy its imports and each other's. Imports that no plug exports are imported by the
/// result. A plug that provides nothing is left out, so that all plugs can be passed for every component.
///
/// # Errors
/// `Config` if one of them is not a component, or if a plug exports an interface under the name of an import with different content.
pub fn compose(socket: &[u8], plugs: &[&[u8]]) -> Result<Vec<u8>> {
    let mut composed = socket.to_vec();
    for _ in plugs {
        match plugged(&composed, plugs)? {
            Some(more) => composed = more,
            None => break,
        }
    }
    let left = imports(&composed)?;
    for bytes in plugs {
        let mut graph = CompositionGraph::new();
        let package = register(&mut graph, "plug", bytes)?;
        if let Some(name) = graph.types()[graph[package].ty()].exports.keys().find(|name| left.contains(name)) {
            return Err(Error::config(format!(
                "the component's import `{name}` is not the interface that is offered to it under this name: \
                 build both from the same version of tidemill"
            )));
        }
    }
    Ok(composed)
}

/// Runs one round of composition; `None` if no plug provides anything.
fn plugged(socket: &[u8], plugs: &[&[u8]]) -> Result<Option<Vec<u8>>> {
    let mut graph = CompositionGraph::new();
    let into = register(&mut graph, "socket", socket)?;
    let mut from = Vec::with_capacity(plugs.len());
    for (index, bytes) in plugs.iter().enumerate() {
        from.push(register(&mut graph, &format!("plug-{index}"), bytes)?);
    }
    match plug(&mut graph, from, into) {
        Ok(()) => graph.encode(EncodeOptions::default()).map(Some).map_err(|error| unfit(&error)),
        Err(PlugError::NoPlugHappened) => Ok(None),
        Err(PlugError::GraphError { source }) => Err(unfit(source.as_ref())),
    }
}

/// The names of a component's imports, ascending. A type that its world uses from an interface is not among them: its content is known, and
/// nothing has to provide it.
///
/// # Errors
/// `Config` if the bytes are not a component.
pub fn imports(component: &[u8]) -> Result<Vec<String>> {
    let mut graph = CompositionGraph::new();
    let package = register(&mut graph, "component", component)?;
    let all = &graph.types()[graph[package].ty()].imports;
    let asked = |kind: &ItemKind| !matches!(kind, ItemKind::Type(of) if !matches!(of, Type::Resource(_)));
    let mut names: Vec<String> = all.iter().filter(|(_, kind)| asked(kind)).map(|(name, _)| name.clone()).collect();
    names.sort();
    Ok(names)
}

fn register(graph: &mut CompositionGraph, name: &str, bytes: &[u8]) -> Result<PackageId> {
    let package = Package::from_bytes(&format!("tidemill:{name}"), None, bytes, graph.types_mut())
        .map_err(|error| Error::config(format!("this is not a WebAssembly component that can be composed: {error:#}")))?;
    graph.register_package(package).map_err(|error| unfit(&error))
}

/// The error for components that cannot be composed.
pub(super) fn unfit(error: &dyn std::error::Error) -> Error {
    let causes: Vec<String> = std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect();
    Error::config(format!(
        "the components do not fit each other: {}; build all of them from the same version of tidemill",
        causes.join(": ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spin_offers() {
        for good in [
            "wasi:http/client@0.3.0",
            "wasi:http/types@0.2.12",
            "wasi:cli/environment@0.2.0",
            "wasi:config/store@0.2.0-draft-2024-09-27",
            "fermyon:spin/key-value@2.0.0",
            "fermyon:spin/http",
            "spin:sqlite/sqlite@3.1.0",
        ] {
            assert!(is_offered(good), "{good}");
        }
        for bad in [
            "wasi:nn/graph@0.2.0-rc-2024-10-28",
            "tidemill:serve/objects@0.1.0",
            "wasi:http/client@0.2.0",
            "wasi:http/client@0.30.0",
            "wasi:http/client@0.3.0-rc-2025-01-01",
            "wasi:config/store@0.2.0",
            "wasi:blobstore/container@0.2.0",
            "fermyon:spin/variables",
            "run",
        ] {
            assert!(!is_offered(bad), "{bad}");
        }
    }

    /// Builds a component with these sections.
    fn component(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        for (id, content) in sections {
            bytes.extend([*id, content.len() as u8 + 1, 1]);
            bytes.extend(content);
        }
        bytes
    }

    fn named(name: &str) -> Vec<u8> {
        [&[0, name.len() as u8], name.as_bytes()].concat()
    }

    /// Builds a component that imports `name`, an instance with no content or, if it is `rich`, with one function.
    fn importing(name: &str, rich: bool) -> Vec<u8> {
        let of_function: &[u8] = &[0x42, 2, 1, 0x40, 0, 1, 0, 4, 0, 1, b'f', 1, 0];
        let kind = if rich { of_function } else { &[0x42, 0] };
        component(&[(7, kind.to_vec()), (10, [named(name), vec![5, 0]].concat())])
    }

    /// Builds a component that exports `name`, an instance with no content, and imports `more`.
    fn exporting(name: &str, more: &str) -> Vec<u8> {
        component(&[
            (7, vec![0x42, 0]),
            (10, [named(more), vec![5, 0]].concat()),
            (5, vec![1, 0]),
            (11, [named(name), vec![5, 1, 0]].concat()),
        ])
    }

    #[test]
    fn an_import_is_satisfied_and_the_plug_s_own_takes_its_place() {
        let socket = importing("mill:a/b@0.1.0", false);
        let plug = exporting("mill:a/b@0.1.0", "wasi:http/client@0.3.0");
        let other = exporting("mill:other/c", "mill:other/d");
        let composed = compose(&socket, &[&other, &plug]).unwrap();
        assert_eq!(imports(&composed).unwrap(), ["wasi:http/client@0.3.0"]);
        assert_eq!(compose(&socket, &[&other]).unwrap(), socket);
        let (first, second) = (exporting("mill:a/b@0.1.0", "mill:c/d"), exporting("mill:c/d", "mill:e/f"));
        let composed = compose(&socket, &[&second, &first]).unwrap();
        assert_eq!(imports(&composed).unwrap(), ["mill:e/f"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let plug = exporting("mill:a/b@0.1.0", "wasi:http/client@0.3.0");
        let error = compose(&importing("mill:a/b@0.1.0", true), &[&plug]).unwrap_err();
        assert!(error.message.contains("`mill:a/b@0.1.0`"), "{error}");
        let error = imports(b"\0asm\x01\0\0\0").unwrap_err();
        assert!(error.message.contains("component"), "{error}");
        assert!(compose(b"", &[]).is_err());
    }
}

//! Composition of stages into one component that answers HTTP: each stage is plugged into a link, each link calls the next one, and the
//! last component holds the store.
//!
//! All of them share that one instance, so that it knows which run a stage's imports belong to.

use tidemill_core::{Error, Result};
use wac_graph::{
    CompositionGraph, EncodeOptions, NodeId, PackageId,
    types::{ItemKind, Package, are_semver_compatible},
};

use super::compose::unfit;

/// The interface whose types a stage's `run` is declared with.
const TYPES: &str = "tidemill:stage/types@0.1.0";

/// The parts of a chain, as the bytes of components.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The component that answers HTTP.
    pub front: &'a [u8],
    /// The link, the same for every stage.
    pub link: &'a [u8],
    /// The component at the end of the chain, which also provides the stages' imports.
    pub end: &'a [u8],
    /// The stages, in order.
    pub stages: &'a [&'a [u8]],
}

/// Composes a chain.
///
/// # Errors
/// `Config`, with the name of the part that is not a component or does not fit.
pub fn chain(parts: Parts<'_>) -> Result<Vec<u8>> {
    let mut graph = Graph(CompositionGraph::new());
    let front = graph.register("front", parts.front)?;
    let link = graph.register("link", parts.link)?;
    let end = graph.register("end", parts.end)?;
    let end = graph.0.instantiate(end);
    // From the last stage to the first: a link needs the next one.
    let mut next = end;
    for (n, stage) in parts.stages.iter().enumerate().rev() {
        let stage = graph.register(&format!("stage-{n}"), stage)?;
        let stage = graph.joined(stage, &[end])?;
        let behind = next;
        next = graph.joined(link, &[stage, behind, end])?;
    }
    let exports: Vec<String> = graph.0.types()[graph.0[front].ty()].exports.keys().cloned().collect();
    let front = graph.joined(front, &[next, end])?;
    for name in exports {
        let export = graph.0.alias_instance_export(front, &name).map_err(|e| unfit(&e))?;
        graph.0.export(export, &name).map_err(|e| unfit(&e))?;
    }
    graph.0.encode(EncodeOptions::default()).map_err(|e| unfit(&e))
}

struct Graph(CompositionGraph);

impl Graph {
    fn register(&mut self, name: &str, bytes: &[u8]) -> Result<PackageId> {
        let package = Package::from_bytes(&format!("tidemill:{name}"), None, bytes, self.0.types_mut());
        let package =
            package.map_err(|e| Error::config(format!("the {name} is not a WebAssembly component that can be composed: {e:#}")))?;
        self.0.register_package(package).map_err(|e| unfit(&e))
    }

    /// Creates an instance whose imports come from the first of `givers` that exports them.
    fn joined(&mut self, package: PackageId, givers: &[NodeId]) -> Result<NodeId> {
        let imports = self.0.types()[self.0[package].ty()].imports.iter();
        let imports: Vec<(String, ItemKind)> = imports.map(|(name, kind)| (name.clone(), *kind)).collect();
        let instance = self.0.instantiate(package);
        for (import, kind) in imports {
            // The types that a `run` is declared with are imported individually, as types of an interface.
            let holder = matches!(kind, ItemKind::Type(_)).then_some(TYPES);
            let wanted = holder.unwrap_or(&import);
            let given = givers.iter().find_map(|giver| Some((*giver, self.export(*giver, wanted)?)));
            let Some((giver, export)) = given else {
                continue;
            };
            let mut argument = self.0.alias_instance_export(giver, &export).map_err(|e| unfit(&e))?;
            if holder.is_some() {
                argument = self.0.alias_instance_export(argument, &import).map_err(|e| unfit(&e))?;
            }
            self.0
                .set_instantiation_argument(instance, &import, argument)
                .map_err(|e| unfit(&e))?;
        }
        Ok(instance)
    }

    /// The name of the instance's export that satisfies the import.
    fn export(&self, instance: NodeId, import: &str) -> Option<String> {
        let package = self.0[instance].package()?;
        let exports = &self.0.types()[self.0[package].ty()].exports;
        let is_it = |name: &&String| name.as_str() == import || are_semver_compatible(name, import);
        exports.keys().find(is_it).cloned()
    }
}

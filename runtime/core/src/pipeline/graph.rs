//! The graph of triggers: which node's objects trigger which.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Pipeline, StageKind};
use crate::layout::{self, may_overlap};

/// "An object of `from` that matches `pattern` triggers `to`."
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// A node's id: `<stage>:<resource>`.
    pub from: String,
    /// A pattern of keys.
    pub pattern: String,
    /// A node's id.
    pub to: String,
}

pub(super) fn edges(pipeline: &Pipeline) -> Vec<Edge> {
    let mut edges = BTreeSet::new();
    for from in &pipeline.nodes {
        let outcomes = from.outcome_pattern();
        for to in &pipeline.nodes {
            for on in &to.on {
                if from.writes.iter().chain([&outcomes]).any(|written| may_overlap(written, on)) {
                    edges.insert(Edge {
                        from: from.id(),
                        pattern: on.clone(),
                        to: to.id(),
                    });
                }
            }
        }
    }
    // The host closes a window when validated data has passed it.
    for model in pipeline.models.values() {
        if let Some(features) = pipeline.features.get(&model.features) {
            edges.insert(Edge {
                from: format!("{}:{}", StageKind::Validate.name(), features.dataset),
                pattern: layout::Prefix::Windows.objects(&model.name),
                to: format!("{}:{}", StageKind::Monitor.name(), model.name),
            });
        }
    }
    edges.into_iter().collect()
}

/// The shortest cycle of triggers through a node: its id first and last.
pub(crate) fn cycle_through(edges: &[Edge], node: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut reached = VecDeque::from([node]);
    while let Some(last) = reached.pop_front() {
        for edge in edges.iter().filter(|edge| edge.from == last) {
            if edge.to == node {
                let back = std::iter::successors(Some(last), |at| came_from.get(at).copied());
                let mut path: Vec<String> = back.map(str::to_owned).collect();
                path.reverse();
                path.push(node.to_owned());
                return Some(path);
            }
            if !came_from.contains_key(edge.to.as_str()) {
                came_from.insert(&edge.to, last);
                reached.push_back(&edge.to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str) -> Edge {
        Edge {
            from: from.into(),
            pattern: "x/*".into(),
            to: to.into(),
        }
    }

    #[test]
    fn the_shortest_cycle_is_found_and_others_do_not_hang() {
        let edges = [edge("a", "b"), edge("b", "c"), edge("c", "b"), edge("c", "a"), edge("b", "a")];
        assert_eq!(cycle_through(&edges, "a"), Some(vec!["a".into(), "b".into(), "a".into()]));
        assert_eq!(cycle_through(&edges, "c").map(|path| path.len()), Some(3));
        assert_eq!(cycle_through(&edges[..3], "a"), None);
        assert_eq!(cycle_through(&[edge("a", "a")], "a"), Some(vec!["a".into(), "a".into()]));
    }
}

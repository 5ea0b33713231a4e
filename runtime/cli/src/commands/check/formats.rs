//! A graph in the languages of Mermaid and Graphviz.

use std::fmt::Write as _;

use super::graph::{Graph, Kind};

/// A flowchart for Mermaid: GitHub and GitLab draw it where it is fenced as `mermaid`.
pub(super) fn render_mermaid(graph: &Graph) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (at, vertex) in graph.vertices.iter().enumerate() {
        // Mermaid reads `#…;` as a character of HTML, and has no other escape.
        let name = vertex.name.replace('#', "#35;").replace('"', "#quot;");
        let (open, close) = match vertex.kind {
            Kind::Dataset => ("[(", ")]"),
            Kind::Source => (">", "]"),
            Kind::Stage => ("[", "]"),
            Kind::Model => ("([", "])"),
        };
        let _ = writeln!(text, "  n{at}{open}\"{name}\"{close}");
    }
    for arrow in &graph.arrows {
        let label = arrow.label.replace('#', "#35;").replace('"', "#quot;");
        let label = if label.is_empty() { label } else { format!("|\"{label}\"|") };
        let _ = writeln!(text, "  n{} -->{label} n{}", arrow.from, arrow.to);
    }
    text
}

/// A digraph for Graphviz: `dot -Tsvg`.
pub(super) fn render_dot(graph: &Graph, project: &str) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text = format!("digraph {} {{\n  rankdir=LR;\n", quote(project));
    for (at, vertex) in graph.vertices.iter().enumerate() {
        let shape = match vertex.kind {
            Kind::Dataset => "cylinder",
            Kind::Source => "note",
            Kind::Stage => "box",
            Kind::Model => "ellipse",
        };
        let _ = writeln!(text, "  n{at} [label={}, shape={shape}];", quote(&vertex.name));
    }
    for arrow in &graph.arrows {
        let label = match arrow.label.as_str() {
            "" => String::new(),
            label => format!(" [label={}]", quote(label)),
        };
        let _ = writeln!(text, "  n{} -> n{}{label};", arrow.from, arrow.to);
    }
    text + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::graph::{Arrow, Vertex};

    fn graph() -> Graph {
        let vertex = |kind, name: &str| Vertex { kind, name: name.into() };
        Graph {
            vertices: vec![
                vertex(Kind::Dataset, "flights"),
                vertex(Kind::Stage, "validate:flights"),
                vertex(Kind::Source, "in/\"#1\"/*"),
            ],
            arrows: vec![
                Arrow {
                    from: 0,
                    to: 1,
                    label: "raw/flights/**".into(),
                },
                Arrow {
                    from: 2,
                    to: 1,
                    label: String::new(),
                },
            ],
        }
    }

    #[test]
    fn mermaid_has_each_vertex_and_arrow() {
        let expected = "flowchart LR\n  n0[(\"flights\")]\n  n1[\"validate:flights\"]\n  n2>\"in/#quot;#35;1#quot;/*\"]\n  \
                        n0 -->|\"raw/flights/**\"| n1\n  n2 --> n1\n";
        assert_eq!(render_mermaid(&graph()), expected);
    }

    #[test]
    fn dot_has_each_vertex_and_arrow() {
        let expected = "digraph \"small\" {\n  rankdir=LR;\n  n0 [label=\"flights\", shape=cylinder];\n  \
                        n1 [label=\"validate:flights\", shape=box];\n  n2 [label=\"in/\\\"#1\\\"/*\", shape=note];\n  \
                        n0 -> n1 [label=\"raw/flights/**\"];\n  n2 -> n1;\n}\n";
        assert_eq!(render_dot(&graph(), "small"), expected);
    }
}

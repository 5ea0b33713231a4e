//! A graph as text: chains of stages on one line, branches below each other.
//!
//! ```text
//! (flights) → validate:flights → monitor:late → retrain → featurize → train →
//!   evaluate → register → [late]
//! ```

use tidemill_core::text::plural;

use super::graph::{Graph, Kind};
use crate::output::wrap;

/// Begins with a space that does not break: a line may end with the arrow, and never begins with it.
const ARROW: &str = "\u{a0}→ ";

/// The drawing, at most `width` columns wide.
pub(super) fn draw(graph: &Graph, width: usize) -> String {
    let mut drawing = Drawing {
        graph,
        width,
        drawn: vec![false; graph.vertices.len()],
        lines: Vec::new(),
    };
    let indices = || 0..graph.vertices.len();
    for at in indices().filter(|at| graph.vertices[*at].kind == Kind::Dataset) {
        drawing.draw_from(at, &format!("({})", graph.vertices[at].name), "", "");
    }
    for at in indices().filter(|at| graph.vertices[*at].kind == Kind::Stage && graph.is_entry(*at)) {
        let sources = graph.sources(at);
        let from = match sources.as_slice() {
            [] => String::new(),
            [one] => format!("{one}{ARROW}"),
            several => format!("{}{ARROW}", plural(several.len(), "source")),
        };
        drawing.draw_from(at, &format!("{from}{}", label(&graph.vertices[at].name, "")), "", "");
    }
    drawing.lines.join("\n")
}

struct Drawing<'a> {
    graph: &'a Graph,
    width: usize,
    drawn: Vec<bool>,
    lines: Vec<String>,
}

impl Drawing<'_> {
    /// Draws the chain that begins with a vertex, whose text is `start`, then its branches. `first` precedes its first line, `rest` all others.
    fn draw_from(&mut self, at: usize, start: &str, first: &str, rest: &str) {
        let (mut at, mut chain) = (at, start.to_owned());
        self.drawn[at] = true;
        let branches = loop {
            match self.graph.next(at).as_slice() {
                [next] => {
                    chain += &format!("{ARROW}{}", self.text(*next, at));
                    if std::mem::replace(&mut self.drawn[*next], true) {
                        break Vec::new();
                    }
                    at = *next;
                }
                several => break several.to_vec(),
            }
        };
        let room = self.width.saturating_sub(first.chars().count());
        for (number, line) in wrap(&chain, room, 4).into_iter().enumerate() {
            let line = line.replace('\u{a0}', " ");
            self.lines.push(match (number, line.strip_prefix(' ')) {
                (0, _) => format!("{first}{line}"),
                // The branches hang below the chain's first column.
                (_, Some(line)) if !branches.is_empty() => format!("{rest}│{line}"),
                _ => format!("{rest}{line}"),
            });
        }
        for (number, branch) in branches.iter().enumerate() {
            let is_last = number + 1 == branches.len();
            let (turn, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let (first, rest, text) = (format!("{rest}{turn}"), format!("{rest}{below}"), self.text(*branch, at));
            match self.drawn[*branch] {
                true => self.lines.push(format!("{first}{}", text.replace('\u{a0}', " "))),
                false => self.draw_from(*branch, &text, &first, &rest),
            }
        }
    }

    /// A vertex as it follows another one; one that is drawn already is not drawn again.
    fn text(&self, at: usize, after: usize) -> String {
        let vertex = &self.graph.vertices[at];
        let text = match vertex.kind {
            Kind::Model => format!("[{}]", vertex.name),
            _ => label(&vertex.name, &self.graph.vertices[after].name),
        };
        match self.drawn[at] {
            true => format!("{text}\u{a0}(above)"),
            false => text,
        }
    }
}

/// The id of a stage, without the dataset or model that the one before it has too. An added stage is named after itself.
fn label(id: &str, before: &str) -> String {
    match id.split_once(':') {
        Some((stage, resource)) if stage == resource || before == resource || before.ends_with(&format!(":{resource}")) => stage.to_owned(),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tidemill_core::{Error, project::Project};

    use super::*;

    const CONTRACT: &str = "[columns]\nid = { type = \"integer\" }\nat = { type = \"timestamp\" }\nspeed = { type = \"number\" }\nalarm = { type = \"integer\", nullable = true, values = [0, 1] }\n";
    const HEAD: &str = "[project]\nname = \"small\"\n[dataset.readings]\ncontract = \"contract.toml\"\ntime = \"at\"\nkey = [\"id\"]\n\
                        [features.alarm]\ndataset = \"readings\"\nsql = \"features.sql\"\nlabel = \"alarm\"\n";

    fn graph(rest: &str) -> Graph {
        let read = |path: &str| match path {
            "contract.toml" => Ok(CONTRACT.to_owned()),
            "features.sql" => Ok("SELECT id, \"at\", speed, alarm FROM readings".to_owned()),
            _ => Err(Error::not_found(path)),
        };
        Graph::from_pipeline(&Project::parse(&format!("{HEAD}{rest}"), &read).unwrap().pipeline)
    }

    fn model(name: &str) -> String {
        format!(
            "[model.{name}]\nfeatures = \"alarm\"\ntask = \"binary\"\ntrainer = {{ kind = \"linear\" }}\n\
                 monitor = {{ window = \"1 day\", block = \"1 hour\" }}\nretrain = {{ minimum-rows = 1500 }}\n"
        )
    }

    #[test]
    fn one_model_is_one_chain() {
        let drawn = draw(&graph(&model("alarm")), 200);
        assert_eq!(
            drawn,
            "(readings) → validate → monitor:alarm → retrain → featurize → train → evaluate → register → [alarm]"
        );
        let drawn = draw(&graph(&model("alarm")), 80);
        assert_eq!(drawn.lines().count(), 2);
    }

    #[test]
    fn branches_hang_below_their_stage() {
        let added = "[[stage]]\nname = \"announce\"\ncomponent = \"announce.wasm\"\non = \"outcomes/validate/readings/*\"\nreads = []\nwrites = [\"announced/**\"]\n";
        let drawn = draw(&graph(&format!("{}{}{added}", model("alarm"), model("other"))), 100);
        let expected = "(readings) → validate\n\
                        ├─ monitor:alarm → retrain → featurize → train → evaluate → register → [alarm]\n\
                        ├─ monitor:other → retrain → featurize → train → evaluate → register → [other]\n\
                        └─ announce";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn no_line_is_wider_than_asked() {
        let graph = graph(&format!("{}{}", model("alarm"), model("a-model-with-a-long-name")));
        for width in [40, 60, 80, 100] {
            let drawn = draw(&graph, width);
            assert!(drawn.lines().all(|line| line.chars().count() <= width), "{width}:\n{drawn}");
        }
    }
}

//! A trained model as ONNX: input `features` f32 [batch, k], output `scores` f32 [batch, classes], or [batch, 1] for regression.
//!
//! Trees are a `TreeEnsembleClassifier` of at least three classes for every task: tract has no `TreeEnsembleRegressor`, and with two
//! classes both engines apply their own conventions. The trees are divided into groups, one node each, and the sums of the groups are
//! added: tract walks a node's leaf table from its start for every tree and row, so one node of 300 trees takes milliseconds per row. Only
//! `BRANCH_LEQ` is written, because tract misreads `BRANCH_GTE`.

mod proto;
mod read;

use prost::Message;
use proto::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto, ValueInfoProto};
pub use read::read;

use crate::{
    TrainedModel,
    linear::Linear,
    loss::Loss,
    trees::{Tree, Trees},
};

/// Returns the bytes of the file; equal models give equal bytes. `classes` is written to the metadata for other tools.
pub fn export(model: &TrainedModel, names: &[String], classes: &[String]) -> Vec<u8> {
    let mut graph = Builder::default();
    match model {
        TrainedModel::Trees(model) => trees(model, &mut graph),
        TrainedModel::Linear(model) => linear(model, names.len(), &mut graph),
    }
    graph.scores(model.loss());
    let json = |list: &[String]| serde_json::to_string(list).unwrap_or_default();
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
    let opset = |domain: &str, version| OperatorSetIdProto {
        domain: domain.into(),
        version,
    };
    let file = ModelProto {
        ir_version: 8,
        producer_name: "tidemill".into(),
        graph: Some(GraphProto {
            node: graph.nodes,
            name: "model".into(),
            initializer: graph.constants,
            input: vec![ValueInfoProto::matrix("features", names.len())],
            output: vec![ValueInfoProto::matrix("scores", model.loss().scores())],
        }),
        opset_import: vec![opset("", 13), opset("ai.onnx.ml", 1)],
        metadata_props: vec![entry("tidemill.features", json(names)), entry("tidemill.classes", json(classes))],
    };
    file.encode_to_vec()
}

#[derive(Default)]
struct Builder {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Builder {
    fn node(&mut self, op: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        let domain = if op.starts_with("TreeEnsemble") { "ai.onnx.ml" } else { "" };
        let name = outputs.first().copied().unwrap_or_default().to_owned() + "_node";
        self.nodes.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name,
            op_type: op.into(),
            attribute,
            domain: domain.into(),
        });
    }

    /// Adds the nodes from `sums` and `base` to `scores`.
    fn scores(&mut self, loss: Loss) {
        match loss {
            Loss::Squared => self.node("Add", &["sums", "base"], &["scores"], vec![]),
            Loss::Softmax(_) => {
                self.node("Add", &["sums", "base"], &["margins"], vec![]);
                self.node("Softmax", &["margins"], &["scores"], vec![AttributeProto::int("axis", 1)]);
            }
            Loss::Logistic => {
                self.constants.push(TensorProto::floats("one", &[1, 1], &[1.0]));
                self.node("Add", &["sums", "base"], &["margins"], vec![]);
                self.node("Sigmoid", &["margins"], &["positive"], vec![]);
                self.node("Sub", &["one", "positive"], &["negative"], vec![]);
                self.node(
                    "Concat",
                    &["negative", "positive"],
                    &["scores"],
                    vec![AttributeProto::int("axis", 1)],
                );
            }
        }
    }
}

fn linear(model: &Linear, width: usize, graph: &mut Builder) {
    let count = model.intercept.len();
    graph
        .constants
        .push(TensorProto::floats("weights", &[width, count], &model.weights));
    graph.constants.push(TensorProto::floats("base", &[1, count], &model.intercept));
    graph.node("MatMul", &["features", "weights"], &["sums"], vec![]);
}

fn trees(model: &Trees, graph: &mut Builder) {
    let margins = model.loss.margins();
    let classes = margins.max(3);
    graph.constants.push(TensorProto::floats("base", &[1, margins], &model.base));
    let mut sums = String::new();
    for (index, group) in model.groups().enumerate() {
        let (label, own) = (format!("unused_label_{index}"), format!("group_{index}"));
        graph.node("TreeEnsembleClassifier", &["features"], &[&label, &own], ensemble(group, classes));
        sums = if sums.is_empty() {
            own
        } else {
            let both = format!("to_group_{index}");
            graph.node("Add", &[&sums, &own], &[&both], vec![]);
            both
        };
    }
    for (name, value) in [("slice_start", 0), ("slice_end", margins as i64), ("slice_axis", 1)] {
        graph.constants.push(TensorProto::ints(name, &[value]));
    }
    graph.node("Slice", &[&sums, "slice_start", "slice_end", "slice_axis"], &["sums"], vec![]);
}

fn ensemble(trees: &[Tree], classes: usize) -> Vec<AttributeProto> {
    let all = || {
        trees
            .iter()
            .enumerate()
            .flat_map(|(tree, t)| t.nodes.iter().enumerate().map(move |(id, node)| (tree, t, id, node)))
    };
    let splits = |of: &dyn Fn(&crate::trees::Node) -> usize| -> Vec<i64> {
        all()
            .map(|(.., node)| if node.feature.is_some() { of(node) as i64 } else { 0 })
            .collect()
    };
    let leaves = || all().filter(|(.., node)| node.feature.is_none());
    let modes = all()
        .map(|(.., node)| if node.feature.is_some() { "BRANCH_LEQ" } else { "LEAF" })
        .collect();
    vec![
        AttributeProto::ints("classlabels_int64s", (0..classes as i64).collect()),
        AttributeProto::ints("nodes_treeids", all().map(|(tree, ..)| tree as i64).collect()),
        AttributeProto::ints("nodes_nodeids", all().map(|(_, _, id, _)| id as i64).collect()),
        AttributeProto::ints("nodes_featureids", splits(&|node| node.feature.unwrap_or(0))),
        AttributeProto::strings("nodes_modes", modes),
        AttributeProto::floats("nodes_values", all().map(|(.., node)| node.threshold).collect()),
        AttributeProto::ints("nodes_truenodeids", splits(&|node| node.left)),
        AttributeProto::ints("nodes_falsenodeids", splits(&|node| node.right)),
        AttributeProto::ints("nodes_missing_value_tracks_true", splits(&|node| usize::from(node.missing_left))),
        AttributeProto::ints("class_treeids", leaves().map(|(tree, ..)| tree as i64).collect()),
        AttributeProto::ints("class_nodeids", leaves().map(|(_, _, id, _)| id as i64).collect()),
        AttributeProto::ints("class_ids", leaves().map(|(_, tree, ..)| tree.margin as i64).collect()),
        AttributeProto::floats("class_weights", leaves().map(|(.., node)| node.value).collect()),
        AttributeProto::string("post_transform", "NONE"),
    ]
}

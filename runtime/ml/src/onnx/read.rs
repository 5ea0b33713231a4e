//! Reads an ONNX file that [`export`] wrote back into its model: evaluating its trees is far faster than a general engine.
//!
//! A file is recognised only if exporting the model again gives the same bytes, so that a foreign file cannot be misread.

use prost::Message;

use super::{
    export,
    proto::{DimensionValue, GraphProto, ModelProto, NodeProto as Operator, TensorProto},
};
use crate::{
    TrainedModel,
    linear::Linear,
    loss::Loss,
    trees::{Node, Tree, Trees},
};

/// Returns the model of a file that [`export`] wrote, and its number of columns; `None` for any other file.
///
/// Values that the file does not hold are zero: a split's gain, a linear model's iterations.
pub fn read(onnx: &[u8]) -> Option<(TrainedModel, usize)> {
    let file = ModelProto::decode(onnx).ok().filter(|file| file.producer_name == "tidemill")?;
    let list = |key: &str| -> Option<Vec<String>> {
        let entry = file.metadata_props.iter().find(|entry| entry.key == key)?;
        serde_json::from_str(&entry.value).ok()
    };
    let (names, classes) = (list("tidemill.features")?, list("tidemill.classes")?);
    let graph = file.graph.as_ref()?;
    let model = read_model(graph, names.len())?;
    (read_width(graph)? == names.len() && export(&model, &names, &classes) == onnx).then_some((model, names.len()))
}

fn read_width(graph: &GraphProto) -> Option<usize> {
    let shape = graph.input.first()?.kind.as_ref()?.tensor.as_ref()?.shape.as_ref()?;
    match shape.dim.get(1)?.size.as_ref()? {
        DimensionValue::Value(width) => usize::try_from(*width).ok(),
        DimensionValue::Symbol(_) => None,
    }
}

fn read_model(graph: &GraphProto, width: usize) -> Option<TrainedModel> {
    let base = find_constant(graph, "base")?;
    let has = |op: &str| graph.node.iter().any(|node| node.op_type == op);
    let loss = match (has("Sigmoid"), has("Softmax")) {
        (true, _) => Loss::Logistic,
        (_, true) => Loss::Softmax(base.len()),
        _ => Loss::Squared,
    };
    if base.len() != loss.margins() {
        return None;
    }
    if let Some(weights) = find_constant(graph, "weights") {
        let whole = weights.len() == width * base.len();
        return whole.then_some(TrainedModel::Linear(Linear {
            loss,
            weights,
            intercept: base,
            iterations: 0,
        }));
    }
    let mut trees = Vec::new();
    for node in graph.node.iter().filter(|node| node.op_type == "TreeEnsembleClassifier") {
        trees.extend(read_group(node, width, loss.margins())?);
    }
    Some(TrainedModel::Trees(Trees { loss, base, trees }))
}

fn find_constant(graph: &GraphProto, name: &str) -> Option<Vec<f32>> {
    let tensor: &TensorProto = graph.initializer.iter().find(|tensor| tensor.name == name)?;
    let (numbers, rest) = tensor.raw_data.as_chunks::<4>();
    rest.is_empty()
        .then(|| numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Reads the trees of one operator. Every index is checked, so that walking the trees can neither fail nor loop.
fn read_group(operator: &Operator, width: usize, margins: usize) -> Option<Vec<Tree>> {
    let attribute = |name: &str| operator.attribute.iter().find(|attribute| attribute.name == name);
    let ints = |name: &str| attribute(name).map(|a| a.ints.as_slice());
    let (owners, modes) = (ints("nodes_treeids")?, &attribute("nodes_modes")?.strings);
    let (features, values) = (ints("nodes_featureids")?, &attribute("nodes_values")?.floats);
    let (lefts, rights) = (ints("nodes_truenodeids")?, ints("nodes_falsenodeids")?);
    let missing = ints("nodes_missing_value_tracks_true")?;
    let mut leaves = ints("class_ids")?.iter().zip(&attribute("class_weights")?.floats);
    let mut trees: Vec<Tree> = Vec::new();
    for (at, owner) in owners.iter().enumerate() {
        if usize::try_from(*owner).ok()? == trees.len() {
            trees.push(Tree {
                margin: 0,
                nodes: Vec::new(),
            });
        }
        let tree = trees.last_mut()?;
        let mut node = Node {
            feature: None,
            threshold: *values.get(at)?,
            missing_left: *missing.get(at)? == 1,
            left: 0,
            right: 0,
            value: 0.0,
            gain: 0.0,
        };
        if modes.get(at)? == b"BRANCH_LEQ" {
            node.feature = Some(usize::try_from(*features.get(at)?).ok().filter(|feature| *feature < width)?);
            node.left = usize::try_from(*lefts.get(at)?).ok()?;
            node.right = usize::try_from(*rights.get(at)?).ok()?;
        } else {
            let (margin, value) = leaves.next()?;
            tree.margin = usize::try_from(*margin).ok().filter(|margin| *margin < margins)?;
            node.value = *value;
        }
        tree.nodes.push(node);
    }
    let is_sound = |tree: &Tree| {
        let below = |at: usize, child: usize| child > at && child < tree.nodes.len();
        let mut nodes = tree.nodes.iter().enumerate();
        nodes.all(|(at, node)| node.feature.is_none() || (below(at, node.left) && below(at, node.right)))
    };
    trees.iter().all(is_sound).then_some(trees)
}

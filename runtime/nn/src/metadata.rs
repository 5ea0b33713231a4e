//! The inputs, outputs and operators that an ONNX file declares, read without running it. A file may declare another shape than its outputs have.

use std::collections::{BTreeSet, HashSet};

use tidemill_core::{Error, Result, text::quoted_list};
use tract_onnx::{
    Onnx,
    pb::{GraphProto, ModelProto, TensorShapeProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto},
    prelude::Framework as _,
};

/// What an ONNX file declares.
#[derive(Debug)]
pub struct ModelMetadata {
    /// Inputs, without constants.
    pub inputs: Vec<TensorInfo>,
    /// Outputs.
    pub outputs: Vec<TensorInfo>,
    /// Operators that an output needs and tract does not have.
    unsupported: Vec<String>,
}

/// An input or an output.
#[derive(Debug, PartialEq)]
pub struct TensorInfo {
    /// The name.
    pub name: String,
    /// The type of the elements, as NumPy calls it; `None` if the file does not say, or it is not a tensor.
    pub kind: Option<&'static str>,
    /// Length of each dimension, `None` for one that is open; empty if the file does not say.
    pub shape: Vec<Option<usize>>,
}

impl ModelMetadata {
    /// Reads the file; `model` names it in messages. `Input` if the bytes are not ONNX.
    pub fn read(model: &str, mut bytes: &[u8]) -> Result<Self> {
        let foreign = |why: &str| Error::input(format!("`{model}` is not an ONNX model: {why}"));
        let engine = tract_onnx::onnx();
        let file: ModelProto = engine.proto_model_for_read(&mut bytes).map_err(|e| foreign(&format!("{e:#}")))?;
        let graph = file.graph.as_ref().ok_or_else(|| foreign("it has no graph"))?;
        // Older files list constants among the inputs.
        let constants: HashSet<&str> = graph.initializer.iter().map(|constant| constant.name.as_str()).collect();
        let inputs = graph.input.iter().filter(|input| !constants.contains(input.name.as_str()));
        Ok(Self {
            inputs: inputs.map(tensor_info).collect(),
            outputs: graph.output.iter().map(tensor_info).collect(),
            unsupported: unsupported_operators(graph, &engine),
        })
    }

    /// `Input` if it needs an operator that tract does not have.
    pub fn check_operators(&self, model: &str) -> Result<()> {
        if self.unsupported.iter().any(|operator| operator == "ZipMap") {
            return Err(Error::input(format!(
                "`{model}` ends in a `ZipMap`, which makes dictionaries of the scores; scores must be a tensor: export the model again \
                 with `options={{\"zipmap\": False}}` (skl2onnx)"
            )));
        }
        if self.unsupported.is_empty() {
            return Ok(());
        }
        let plural = if self.unsupported.len() == 1 { "" } else { "s" };
        Err(Error::input(format!(
            "`{model}` needs the operator{plural} {}, which tract lacks; tract judges every candidate, also where ONNX Runtime serves: \
             export the model with other operators, or take another kind of model",
            quoted_list(&self.unsupported)
        )))
    }
}

fn tensor_info(value: &ValueInfoProto) -> TensorInfo {
    let tensor = value.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let tensor = tensor.map(|type_proto::Value::TensorType(tensor)| tensor);
    TensorInfo {
        name: value.name.clone(),
        kind: tensor.and_then(|tensor| numpy_dtype(tensor.elem_type)),
        shape: tensor.and_then(|tensor| tensor.shape.as_ref()).map(dimensions).unwrap_or_default(),
    }
}

fn dimensions(shape: &TensorShapeProto) -> Vec<Option<usize>> {
    let length = |value: &Option<dimension::Value>| match value {
        // Some exporters write -1 for an open dimension.
        Some(dimension::Value::DimValue(length)) => usize::try_from(*length).ok(),
        _ => None,
    };
    shape.dim.iter().map(|dim| length(&dim.value)).collect()
}

/// By the numbers of `TensorProto.DataType`.
fn numpy_dtype(kind: i32) -> Option<&'static str> {
    Some(match kind {
        1 => "float32",
        2 => "uint8",
        3 => "int8",
        4 => "uint16",
        5 => "int16",
        6 => "int32",
        7 => "int64",
        8 => "string",
        9 => "bool",
        10 => "float16",
        11 => "float64",
        12 => "uint32",
        13 => "uint64",
        16 => "bfloat16",
        _ => return None,
    })
}

/// Operators that tract does not have, of the nodes that an output needs: tract leaves out all others.
fn unsupported_operators(graph: &GraphProto, engine: &Onnx) -> Vec<String> {
    let mut needed: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let mut unsupported = BTreeSet::new();
    // Nodes follow their inputs, so one pass from the end visits every node that is needed.
    for node in graph.node.iter().rev() {
        if !node.output.iter().any(|name| needed.contains(name.as_str())) {
            continue;
        }
        // An omitted optional input has the empty name.
        needed.extend(node.input.iter().map(String::as_str).filter(|name| !name.is_empty()));
        if !engine.op_register.0.contains_key(&node.op_type) {
            unsupported.insert(node.op_type.clone());
        }
    }
    unsupported.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;
    use crate::{Backend as _, Tract, tract::tests::doubling};

    /// A `ZipMap` behind `scores`; `output` is what follows. Two files one after the other are one, says protobuf.
    fn zipped(output: &[u8]) -> Vec<u8> {
        let node = b"\x0a\x16\x0a\x06scores\x12\x04maps\x22\x06ZipMap";
        let graph = [&node[..], output].concat();
        [doubling(), vec![0x3a, graph.len() as u8], graph].concat()
    }

    #[test]
    fn types_and_shapes_are_the_files_own() {
        let declared = ModelMetadata::read("m", &doubling()).unwrap();
        let port = |name: &str| TensorInfo {
            name: name.into(),
            kind: Some("float32"),
            shape: vec![None, Some(2)],
        };
        assert_eq!((declared.inputs, declared.outputs), (vec![port("features")], vec![port("scores")]));
        assert!(
            ModelMetadata::read("m", b"this is no model")
                .unwrap_err()
                .message
                .contains("`m` is not an ONNX model")
        );
    }

    #[test]
    fn operators_that_tract_lacks_are_named() {
        let unknown: Vec<u8> = {
            let mut bytes = doubling();
            let at = bytes.windows(3).position(|name| name == b"Add").unwrap();
            bytes[at..at + 3].copy_from_slice(b"Adz");
            bytes
        };
        let error = Tract.load("m", &unknown).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Input);
        assert!(error.message.contains("operator `Adz`, which tract lacks"), "{error}");
        let error = Tract.load("m", &zipped(b"\x62\x06\x0a\x04maps")).err().unwrap();
        assert!(error.message.contains("options={\"zipmap\": False}"), "{error}");
        // An operator that no output needs is accepted.
        ModelMetadata::read("m", &zipped(b"")).unwrap().check_operators("m").unwrap();
    }
}

//! The ONNX engine as a component that exports `wasi:nn`: models of Tidemill's own trainer are evaluated directly, all others by tract.
//!
//! The host instantiates it beside `evaluate` for models from elsewhere, so that a gate does not depend on the machine. On hosts without
//! `wasi:nn`, such as Spin, it is composed into `predict`. A model that makes tract panic traps the instance, because a component cannot
//! catch a panic.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "exports are raw pointers underneath, in generated code alone")]

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package tidemill:onnx;
            world onnx {
                export wasi:nn/tensor@0.2.0-rc-2024-10-28;
                export wasi:nn/graph@0.2.0-rc-2024-10-28;
                export wasi:nn/inference@0.2.0-rc-2024-10-28;
                export wasi:nn/errors@0.2.0-rc-2024-10-28;
            }
        ",
        path: ["../../../runtime/wit/wasi-nn"],
        world: "tidemill:onnx/onnx",
        generate_all,
    });
}
mod tensor;

use std::sync::Arc;

use bindings::exports::wasi::nn::{errors, graph, inference};
use tidemill_core::{Digest, ErrorKind};
use tidemill_nn::{Graph, GraphCache, NativeFirst, Tract};

/// The component, which exports all four interfaces.
#[derive(Debug)]
pub struct Component;

bindings::export!(Component with_types_in bindings);

thread_local! {
    /// The models that this instance has loaded.
    static GRAPHS: GraphCache = GraphCache::new(Arc::new(NativeFirst::new(Arc::new(Tract))));
}

/// A graph, and its execution context; both share the loaded model.
#[allow(missing_debug_implementations, reason = "a graph has no textual form")]
pub struct Loaded(Arc<dyn Graph>);

impl graph::Guest for Component {
    type Graph = Loaded;

    fn load(
        builder: Vec<graph::GraphBuilder>,
        encoding: graph::GraphEncoding,
        _target: graph::ExecutionTarget,
    ) -> Result<graph::Graph, graph::Error> {
        if !matches!(encoding, graph::GraphEncoding::Onnx | graph::GraphEncoding::Autodetect) {
            return Err(make_error(
                errors::ErrorCode::InvalidEncoding,
                "only ONNX models can be loaded".into(),
            ));
        }
        let [bytes] = builder.as_slice() else {
            return Err(make_error(errors::ErrorCode::InvalidArgument, "a model is one file".into()));
        };
        let loaded = GRAPHS.with(|graphs| graphs.load("model.onnx", bytes)).map_err(convert_error)?;
        Ok(graph::Graph::new(Loaded(loaded.1)))
    }

    fn load_by_name(name: String) -> Result<graph::Graph, graph::Error> {
        let digest = Digest::parse(&name);
        let found = digest.and_then(|digest| GRAPHS.with(|graphs| graphs.get(&digest)));
        found
            .map(|found| graph::Graph::new(Loaded(found)))
            .ok_or_else(|| make_error(errors::ErrorCode::NotFound, format!("`{name}` is not loaded")))
    }
}

impl graph::GuestGraph for Loaded {
    fn init_execution_context(&self) -> Result<inference::GraphExecutionContext, graph::Error> {
        Ok(inference::GraphExecutionContext::new(Self(self.0.clone())))
    }
}

impl inference::Guest for Component {
    type GraphExecutionContext = Loaded;
}

impl inference::GuestGraphExecutionContext for Loaded {
    fn compute(&self, inputs: Vec<inference::NamedTensor>) -> Result<Vec<inference::NamedTensor>, inference::Error> {
        let inputs = inputs.into_iter().map(|(name, tensor)| Ok((name, tensor::from_wit(tensor)?)));
        let inputs = inputs.collect::<tidemill_core::Result<_>>().map_err(convert_error)?;
        let outputs = self.0.compute(inputs).map_err(convert_error)?;
        Ok(outputs.into_iter().map(|(name, tensor)| (name, tensor::to_wit(tensor))).collect())
    }
}

/// An error of the `wasi:nn` interface.
#[derive(Debug)]
pub struct Failure {
    code: errors::ErrorCode,
    message: String,
}

impl errors::Guest for Component {
    type Error = Failure;
}

impl errors::GuestError for Failure {
    fn code(&self) -> errors::ErrorCode {
        self.code
    }
    fn data(&self) -> String {
        self.message.clone()
    }
}

fn make_error(code: errors::ErrorCode, message: String) -> errors::Error {
    errors::Error::new(Failure { code, message })
}

fn convert_error(error: tidemill_core::Error) -> errors::Error {
    let code = match error.kind {
        ErrorKind::Input => errors::ErrorCode::InvalidArgument,
        _ => errors::ErrorCode::RuntimeError,
    };
    make_error(code, error.message)
}

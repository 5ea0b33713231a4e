//! wasi:nn for hosts that have none: our own trainer's models walked directly, all others by tract, which is compiled in. The same
//! engine, in the same arithmetic, as `tidemill up` has where no native library is used.
//!
//! A model that makes tract panic costs the instance: nothing can be caught inside a component.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, reason = "what is exported is raw pointers underneath, in generated code alone")]

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package tidemill:nn;
            world nn {
                export wasi:nn/tensor@0.2.0-rc-2024-10-28;
                export wasi:nn/graph@0.2.0-rc-2024-10-28;
                export wasi:nn/inference@0.2.0-rc-2024-10-28;
                export wasi:nn/errors@0.2.0-rc-2024-10-28;
            }
        ",
        path: ["../../../runtime/wit/wasi-nn"],
        world: "tidemill:nn/nn",
        generate_all,
    });
}
mod tensor;

use std::sync::Arc;

use bindings::exports::wasi::nn::{errors, graph, inference};
use tidemill_core::{Digest, ErrorKind};
use tidemill_nn::{Graph, GraphCache, Tract, Trained};

/// All four interfaces.
#[derive(Debug)]
pub struct Component;

bindings::export!(Component with_types_in bindings);

thread_local! {
    /// Measurement this instance has loaded, by digest.
    static GRAPHS: GraphCache = GraphCache::new(Arc::new(Trained::before(Arc::new(Tract))));
}

/// A model, and what runs it: both are the same graph, shared.
#[allow(missing_debug_implementations, reason = "a graph has no text")]
pub struct Loaded(Arc<dyn Graph>);

impl graph::Guest for Component {
    type Graph = Loaded;

    fn load(
        builder: Vec<graph::GraphBuilder>,
        encoding: graph::GraphEncoding,
        _target: graph::ExecutionTarget,
    ) -> Result<graph::Graph, graph::Error> {
        if !matches!(encoding, graph::GraphEncoding::Onnx | graph::GraphEncoding::Autodetect) {
            return Err(failure(errors::ErrorCode::InvalidEncoding, "only ONNX is run here".into()));
        }
        let [bytes] = builder.as_slice() else {
            return Err(failure(errors::ErrorCode::InvalidArgument, "a model is one file".into()));
        };
        let loaded = GRAPHS.with(|graphs| graphs.load("model.onnx", bytes)).map_err(failed)?;
        Ok(graph::Graph::new(Loaded(loaded.1)))
    }

    fn load_by_name(name: String) -> Result<graph::Graph, graph::Error> {
        let digest = Digest::parse(&name);
        let found = digest.and_then(|digest| GRAPHS.with(|graphs| graphs.find(&digest)));
        found
            .map(|found| graph::Graph::new(Loaded(found)))
            .ok_or_else(|| failure(errors::ErrorCode::NotFound, format!("`{name}` was not loaded")))
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
        let inputs = inputs.into_iter().map(|(name, tensor)| Ok((name, tensor::taken(tensor)?)));
        let inputs = inputs.collect::<tidemill_core::Result<_>>().map_err(failed)?;
        let outputs = self.0.compute(inputs).map_err(failed)?;
        Ok(outputs.into_iter().map(|(name, tensor)| (name, tensor::given(tensor))).collect())
    }
}

/// Measurement went wrong.
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

fn failure(code: errors::ErrorCode, message: String) -> errors::Error {
    errors::Error::new(Failure { code, message })
}

fn failed(error: tidemill_core::Error) -> errors::Error {
    let code = match error.kind {
        ErrorKind::Input => errors::ErrorCode::InvalidArgument,
        _ => errors::ErrorCode::RuntimeError,
    };
    failure(code, error.message)
}

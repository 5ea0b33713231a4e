//! AWS Lambda functions: an event source over the payloads that Lambda delivers, and the programs around it.
//!
//! A stage runs natively ([`run`]) or by any [`Runner`] ([`run_with`]); `predict` answers behind a function URL or API Gateway
//! ([`run_http`]); the coordinator closes windows and writes scheduled events. Three programs serve every function: `tidemill-lambda` the
//! native stages and the coordinator, `tidemill-component` any stage as its component, `tidemill-predict` the predictions.
//!
//! `TIDEMILL_CONFIG` is the function's part of the project, and `TIDEMILL_STORE` its store.

mod component;
#[cfg(feature = "component")]
mod component_runner;
mod coordinator;
mod environment;
mod handler;
mod http;
mod native;
#[cfg(feature = "predict")]
mod predict;
#[cfg(feature = "stages")]
mod stages;

use std::{future::Future, sync::Arc};

use anyhow::{Context as _, anyhow};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tidemill_core::{Error, Result, Stage, pipeline::NodeSettings};
use tidemill_host::Runner;
use tidemill_store::Store;
use tokio::runtime::Handle;

pub use component::ComponentSource;
#[cfg(feature = "component")]
pub use component_runner::{ComponentRunner, run_component};
pub use coordinator::{CoordinatorHandler, run_coordinator};
pub use environment::{CoordinatorEnvironment, ServingEnvironment, StageEnvironment};
pub use handler::Handler;
pub use http::{Serve, respond, run_http};
#[cfg(feature = "predict")]
pub use predict::{NativeHost, Predict};
#[cfg(feature = "stages")]
pub use stages::{NATIVE_STAGES, run_stage_or_coordinator, stage_runner};

/// Serves the stage `S` natively until Lambda ends the process: the `main` of a stage of your own. A start that fails ends the process
/// with the exit code of the error's kind.
pub fn run<S: Stage + 'static>() {
    run_with(|environment, _, _| native_runner::<S>(&environment.node));
}

/// A runner of the native stage `S` for this node, whose configuration is checked.
///
/// # Errors
/// `Config` if the node is one of another stage, or the configuration does not fit.
pub fn native_runner<S: Stage + 'static>(node: &NodeSettings) -> Result<Arc<dyn Runner>> {
    Ok(Arc::new(native::Native::<S>::new(node)?))
}

/// Like [`run`], with the runner that `open` makes of the settings and the store. It may block on the handle.
pub fn run_with(open: impl FnOnce(&StageEnvironment, &Store, &Handle) -> Result<Arc<dyn Runner>>) {
    serve(|handle| {
        let environment = StageEnvironment::from_environment()?;
        let store = Store::open(&environment.store)?;
        let runner = open(&environment, &store, handle)?;
        let name = format!("stage `{}`", environment.node.stage);
        let handler = Arc::new(Handler::new(environment, store, runner)?);
        Ok(move |payload: Value| {
            let (handler, name) = (handler.clone(), name.clone());
            async move { handler.handle(&payload).await.map_err(|e| e.context(name)) }
        })
    });
}

/// Opens a function, and handles payloads with it until Lambda ends the process.
fn serve<F, A>(open: impl FnOnce(&Handle) -> Result<F>)
where
    F: Fn(Value) -> A + Send + Sync,
    A: Future<Output = Result<Value>> + Send,
{
    if let Err(error) = try_serve(open) {
        exit(&error);
    }
}

fn try_serve<F, A>(open: impl FnOnce(&Handle) -> Result<F>) -> anyhow::Result<()>
where
    F: Fn(Value) -> A + Send + Sync,
    A: Future<Output = Result<Value>> + Send,
{
    lambda_runtime::tracing::init_default_subscriber();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let function = Arc::new(open(runtime.handle())?);
    let service = service_fn(move |event: LambdaEvent<Value>| {
        let function = function.clone();
        async move { function(event.payload).await.map_err(to_lambda_error) }
    });
    runtime
        .block_on(lambda_runtime::run(service))
        .map_err(|e| anyhow!("{e}"))
        .context("the Lambda runtime ended")
}

/// An error as Lambda reports it.
fn to_lambda_error(error: Error) -> lambda_runtime::Error {
    tracing::error!("{error}");
    error.message.into()
}

/// Ends the process with the exit code of the error's kind.
fn exit(error: &anyhow::Error) -> ! {
    eprintln!("error: {error:#}");
    let code = error.downcast_ref::<Error>().map_or(70, |e| e.kind.exit_code());
    std::process::exit(i32::from(code));
}

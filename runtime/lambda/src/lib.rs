//! The Lambda shell: a stage for the objects that an AWS event names, natively ([`run`]) or as whatever a [`Runner`] runs
//! ([`run_with`]); `predict` behind a function URL or API Gateway ([`run_http`]); and the coordinator, which closes windows and writes ticks
//! ([`run_keeper`]).
//!
//! A function is told which part of the project it is by `TIDEMILL_CONFIG`, and where the store is by `TIDEMILL_STORE`.
//! It commits outcomes as the flow does, so an event that AWS delivers twice changes nothing.

mod component;
mod coordinator;
mod handler;
mod http;
mod native;
mod settings;
mod training_order;

use std::{future::Future, sync::Arc};

use anyhow::{Context as _, anyhow};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tidemill_core::{Error, Result, Stage};
use tidemill_flow::Runner;
use tidemill_host::Store;
use tokio::runtime::Handle;

pub use component::ComponentSource;
pub use coordinator::{Coordinator, run_keeper};
pub use handler::Handler;
pub use http::{Serve, respond, run_http};
pub use native::run_native;
pub use settings::{
    CoordinatorEnvironment, CoordinatorSettings, ModelWindows, Schedule, ServingConfig, ServingEnvironment, StageEnvironment,
};
pub use tidemill_core::pipeline::{DerivedObjects, NodeSettings};
pub use tidemill_host::Disposition;

/// Serves a stage natively until Lambda ends the process; what a stage's `main` calls. Ends the process with the error kind's exit code.
pub fn run<S: Stage + 'static>() {
    run_with(|settings, _, _| native_runner::<S>(&settings.node));
}

/// A runner of the native stage `S` for this node, whose configuration is checked.
pub fn native_runner<S: Stage + 'static>(node: &NodeSettings) -> Result<Arc<dyn Runner>> {
    Ok(Arc::new(native::Native::<S>::new(node)?))
}

/// Like [`run`], with what `runner` makes of the settings and the store. It may block on the handle.
pub fn run_with(runner: impl FnOnce(&StageEnvironment, &Store, &Handle) -> Result<Arc<dyn Runner>>) {
    serve(|handle| {
        let settings = StageEnvironment::from_environment()?;
        let store = Store::open(&settings.store)?;
        let runner = runner(&settings, &store, handle)?;
        let what = format!("stage `{}`", settings.node.stage);
        let handler = Arc::new(Handler::new(settings, store, runner)?);
        Ok(move |payload: Value| {
            let (handler, what) = (handler.clone(), what.clone());
            async move { handler.handle(&payload).await.map_err(|e| e.context(what)) }
        })
    });
}

/// Opens a function, and answers payloads with it until Lambda ends the process.
fn serve<F, A>(open: impl FnOnce(&Handle) -> Result<F>)
where
    F: Fn(Value) -> A + Send + Sync,
    A: Future<Output = Result<Value>> + Send,
{
    if let Err(error) = try_serve(open) {
        eprintln!("error: {error:#}");
        std::process::exit(i32::from(exit_code(&error)));
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

fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Error>().map_or(70, |e| e.kind.exit_code())
}

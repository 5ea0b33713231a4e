//! The Lambda shell: the same stage that is a component, run natively for the objects that an AWS event names; and `predict` behind
//! a function URL or API Gateway ([`run_http`]).
//!
//! A function is told which node of the pipeline it is by `TIDEMILL_CONFIG`, and where the store is by `TIDEMILL_STORE`.
//! It commits outcomes as the flow does, so an event that AWS delivers twice changes nothing.

mod event;
mod handler;
mod http;
mod node;
mod settings;

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tidemill_core::{Error, Stage};

pub use event::keys;
pub use handler::{Handler, call};
pub use http::{Serve, respond, run_http};
pub use node::{Made, NodeSettings};
pub use settings::{KeeperSettings, Kept, KeptModel, ServeSettings, Serving, Settings, Ticked};

/// Serves a stage until Lambda ends the process; what a stage's `main` calls. Ends the process with the error kind's exit code.
pub fn run<S: Stage + 'static>() {
    if let Err(error) = serve::<S>() {
        eprintln!("error: {error:#}");
        std::process::exit(i32::from(exit_code(&error)));
    }
}

/// Like [`run`], for a `main` that has more to do.
pub fn serve<S: Stage + 'static>() -> anyhow::Result<()> {
    lambda_runtime::tracing::init_default_subscriber();
    let settings = Settings::from_environment()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    runtime.block_on(async {
        let handler = Arc::new(Handler::<S>::new(settings)?);
        let service = service_fn(move |event: LambdaEvent<Value>| {
            let handler = handler.clone();
            async move { answer(&handler, &event.payload).await }
        });
        lambda_runtime::run(service)
            .await
            .map_err(|e| anyhow!("{e}"))
            .context("the Lambda runtime ended")
    })
}

/// What one invocation returns: the outcomes' decisions by trigger key.
async fn answer<S: Stage + 'static>(handler: &Handler<S>, payload: &Value) -> Result<Value, lambda_runtime::Error> {
    handler.handle(payload).await.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("stage `{}`", S::NAME));
        tracing::error!("{error:#}");
        format!("{error:#}").into()
    })
}

fn exit_code(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Error>().map_or(70, |e| e.kind.exit_code())
}

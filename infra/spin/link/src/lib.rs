//! The adapter of one stage: its `run` import is connected to the stage, and its `pipeline` import to the adapter of the next stage.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        pub_export_macro: true,
        default_bindings_module: "bindings",
        inline: "
            package tidemill:stage-adapter;
            world stage-adapter {
                use tidemill:stage/types@0.1.0.{trigger, outcome, error};
                import tidemill:runs/runs@0.1.0;
                import tidemill:runs/pipeline@0.1.0;
                import run: func(trigger: trigger, config: string) -> result<outcome, error>;
                export tidemill:runs/pipeline@0.1.0;
            }
        ",
        path: ["../../../runtime/wit/stage", "../../../runtime/wit/runs"],
        world: "tidemill:stage-adapter/stage-adapter",
        generate_all,
    });
}

use bindings::{
    Error,
    exports::tidemill::runs::pipeline::{Guest, StageResult},
    run,
    tidemill::runs::{
        pipeline,
        runs::{self, Started, TriggerRef},
    },
};

struct StageAdapter;

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    reason = "generated: the canonical ABI is raw pointers"
)]
mod exported {
    use super::{StageAdapter, bindings};
    bindings::export!(StageAdapter with_types_in bindings);
}

impl Guest for StageAdapter {
    fn handle(stage: u32, headers: Vec<(String, String)>, body: Vec<u8>) -> Vec<StageResult> {
        let mut results = match runs::resolve(stage, &headers, &body) {
            Ok(triggers) => triggers.into_iter().map(|trigger| run_stage(stage, trigger)).collect(),
            Err(error) => vec![StageResult {
                key: String::new(),
                result: Err(error),
            }],
        };
        let rest = pipeline::handle(stage + 1, &headers, &body).into_iter();
        results.extend(rest.map(|later| StageResult {
            key: later.key,
            result: later.result,
        }));
        results
    }
}

fn run_stage(stage: u32, trigger: TriggerRef) -> StageResult {
    StageResult {
        result: run_trigger(stage, &trigger),
        key: trigger.key,
    }
}

fn run_trigger(stage: u32, trigger: &TriggerRef) -> Result<String, Error> {
    match runs::start_run(stage, trigger)? {
        Started::Finished(decision) => Ok(decision),
        Started::Run(job) => {
            let outcome = run(&job.trigger, &job.config);
            runs::finish_run(outcome.as_ref())
        }
    }
}

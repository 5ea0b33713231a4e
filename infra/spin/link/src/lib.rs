//! One link of the chain of stages: the stage's own `run` is plugged in here, and the rest of the chain behind it.
#![cfg(target_family = "wasm")]

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        pub_export_macro: true,
        default_bindings_module: "bindings",
        inline: "
            package tidemill:link;
            world link {
                use tidemill:stage/types@0.1.0.{trigger, outcome, error};
                import tidemill:runs/runs@0.1.0;
                import tidemill:runs/chain@0.1.0;
                import run: func(trigger: trigger, config: string) -> result<outcome, error>;
                export tidemill:runs/chain@0.1.0;
            }
        ",
        path: ["../../../runtime/wit/stage", "../../../runtime/wit/runs"],
        world: "tidemill:link/link",
        generate_all,
    });
}

use bindings::{
    Error,
    exports::tidemill::runs::chain::{Disposition, Guest},
    run,
    tidemill::runs::{
        chain,
        runs::{self, Begun, Cause},
    },
};

struct Edge;

#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    clippy::all,
    reason = "generated: the canonical ABI is raw pointers"
)]
mod exported {
    use super::{Edge, bindings};
    bindings::export!(Edge with_types_in bindings);
}

impl Guest for Edge {
    fn handle(stage: u32, headers: Vec<(String, String)>, body: Vec<u8>) -> Vec<Disposition> {
        let mut came = match runs::heard(stage, &headers, &body) {
            Ok(causes) => causes.into_iter().map(|cause| one(stage, cause)).collect(),
            Err(error) => vec![Disposition {
                key: String::new(),
                what: Err(error),
            }],
        };
        let rest = chain::handle(stage + 1, &headers, &body).into_iter();
        came.extend(rest.map(|came| Disposition {
            key: came.key,
            what: came.what,
        }));
        came
    }
}

fn one(stage: u32, cause: Cause) -> Disposition {
    Disposition {
        what: ran(stage, &cause),
        key: cause.key,
    }
}

fn ran(stage: u32, cause: &Cause) -> Result<String, Error> {
    match runs::begin(stage, cause)? {
        Begun::Over(why) => Ok(why),
        Begun::Run(job) => {
            let outcome = run(&job.trigger, &job.config);
            runs::end(outcome.as_ref())
        }
    }
}

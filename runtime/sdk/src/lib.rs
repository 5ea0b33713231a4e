//! What the author of a stage depends on: the vocabulary, query results as columns, [`export!`], and a host for tests.
//!
//! The same source builds natively and as a component; only [`export!`] differs, and natively it does nothing.
//!
//! ```
//! use tidemill_sdk::{TestHost, prelude::*};
//!
//! struct Copy;
//!
//! impl Stage for Copy {
//!     const NAME: &'static str = "copy";
//!     type Config = ();
//!     fn run(trigger: &Trigger, (): (), host: &dyn Host) -> Result<Outcome> {
//!         let bytes = host.objects().get(&trigger.key)?;
//!         host.objects().create_immutable(&format!("copies/{}/copy", host.context().run_key), &bytes)?;
//!         Ok(Outcome::done(format!("copied {} bytes", bytes.len()), &serde_json::json!({})))
//!     }
//! }
//!
//! tidemill_sdk::export!(Copy);
//!
//! # fn main() -> Result<()> {
//! let host = TestHost::default().with_object("drop/a", b"tide").with_grants(&[], &["copies/**"]);
//! let outcome = host.run::<Copy>("drop/a", &serde_json::Value::Null)?;
//! assert_eq!((outcome.decision, outcome.reason.as_str()), (Decision::Done, "copied 4 bytes"));
//! assert_eq!(host.keys().len(), 2);
//!
//! let denied = TestHost::default().with_object("drop/a", b"tide").run::<Copy>("drop/a", &serde_json::Value::Null);
//! assert_eq!(denied.unwrap_err().kind, ErrorKind::Denied);
//! # Ok(())
//! # }
//! ```

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod component;
mod rows;
#[cfg(not(target_family = "wasm"))]
mod testing;

pub use rows::{column_bool, column_f64, column_i64, column_text, column_time, query_batches};
#[cfg(not(target_family = "wasm"))]
pub use testing::TestHost;
pub use tidemill_core as core;

/// Everything that most stages name.
pub mod prelude {
    pub use tidemill_core::{
        Decision, Digest, Error, ErrorKind, Finding, Format, Host, Level, Objects, ObjectsExt, Outcome, PutResult, Result, RunContext,
        Severity, Sql, Stage, Table, Trigger,
    };
}

/// Makes a crate's component out of a stage. Call it once, at the foot of `lib.rs`; natively it does nothing.
#[cfg(target_family = "wasm")]
#[macro_export]
macro_rules! export {
    ($stage:ty) => {
        #[doc(hidden)]
        mod __component {
            #![allow(unsafe_code, missing_docs)] // the canonical ABI is raw pointers
            #[allow(unused_imports)]
            use super::*;
            type Exported = $crate::component::Component<$stage>;
            $crate::bindings::export!(Exported with_types_in $crate::bindings);
        }
    };
}

/// Makes a crate's component out of a stage. Call it once, at the foot of `lib.rs`; natively it does nothing.
#[cfg(not(target_family = "wasm"))]
#[macro_export]
macro_rules! export {
    ($stage:ty) => {
        const _: () = {
            fn is_a_stage<S: $crate::core::Stage>() {}
            let _ = is_a_stage::<$stage>;
        };
    };
}

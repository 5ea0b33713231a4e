//! Conversions between the types of this crate and those that a bindings generator makes from the WIT package `tidemill:stage`.
//!
//! Guests and hosts have bindings of their own, which are different types with the same fields. One macro writes the conversions for
//! all of them. No `match` in it has a wildcard: a case that is added on one side fails to compile.

/// Defines functions that convert between `tidemill_core` and generated bindings, in the module where it is called.
///
/// The first argument is the path of the bindings' `tidemill::stage` module, in brackets; the interfaces to convert follow:
/// `types`, `run_context`, `objects`, `sql`, `progress`. `types` is needed by the rest.
///
/// With `wit_conversions!([crate::bindings::tidemill::stage] types objects);` a module gets `error_from_wit`, `error_to_wit`,
/// `outcome_from_wit`, `meta_to_wit`, and so on. Each side converts in one direction: the module allows `dead_code`.
#[macro_export]
macro_rules! wit_conversions {
    ($path:tt $($interface:ident)+) => {
        $( $crate::wit_conversions!(@$interface $path); )+
    };

    (@types [$($path:tt)+]) => {
        use $($path)+::types as wit_types;

        pub(crate) fn digest_from_wit(text: &str) -> $crate::Result<$crate::Digest> {
            $crate::Digest::parse(text)
                .ok_or_else(|| $crate::Error::bug(format!("`{text}` is not a SHA-256 in lower-case hex, which belongs there")))
        }

        pub(crate) fn error_from_wit(error: wit_types::Error) -> $crate::Error {
            use $crate::ErrorKind as Kind;
            let kind = match error.kind {
                wit_types::ErrorKind::Config => Kind::Config,
                wit_types::ErrorKind::Input => Kind::Input,
                wit_types::ErrorKind::NotFound => Kind::NotFound,
                wit_types::ErrorKind::Denied => Kind::Denied,
                wit_types::ErrorKind::Conflict => Kind::Conflict,
                wit_types::ErrorKind::Limit => Kind::Limit,
                wit_types::ErrorKind::Busy => Kind::Busy,
                wit_types::ErrorKind::Timeout => Kind::Timeout,
                wit_types::ErrorKind::Transient => Kind::Transient,
                wit_types::ErrorKind::Bug => Kind::Bug,
            };
            $crate::Error::new(kind, error.message)
        }

        pub(crate) fn error_to_wit(error: $crate::Error) -> wit_types::Error {
            use $crate::ErrorKind as Kind;
            let kind = match error.kind {
                Kind::Config => wit_types::ErrorKind::Config,
                Kind::Input => wit_types::ErrorKind::Input,
                Kind::NotFound => wit_types::ErrorKind::NotFound,
                Kind::Denied => wit_types::ErrorKind::Denied,
                Kind::Conflict => wit_types::ErrorKind::Conflict,
                Kind::Limit => wit_types::ErrorKind::Limit,
                Kind::Busy => wit_types::ErrorKind::Busy,
                Kind::Timeout => wit_types::ErrorKind::Timeout,
                Kind::Transient => wit_types::ErrorKind::Transient,
                Kind::Bug => wit_types::ErrorKind::Bug,
            };
            wit_types::Error { kind, message: error.message }
        }

        /// Checks the outcome too: a guest may return anything.
        pub(crate) fn outcome_from_wit(outcome: wit_types::Outcome) -> $crate::Result<$crate::Outcome> {
            let decision = match outcome.decision {
                wit_types::Decision::Done => $crate::Decision::Done,
                wit_types::Decision::Rejected => $crate::Decision::Rejected,
                wit_types::Decision::Skipped => $crate::Decision::Skipped,
            };
            let finding = |finding: wit_types::Finding| $crate::Finding {
                check: finding.check,
                target: finding.target,
                severity: match finding.severity {
                    wit_types::Severity::Warning => $crate::Severity::Warning,
                    wit_types::Severity::Error => $crate::Severity::Error,
                },
                message: finding.message,
                count: finding.count,
            };
            let findings = outcome.findings.into_iter().map(finding).collect();
            $crate::Outcome::from_stage(decision, outcome.reason, findings, &outcome.result, outcome.as_of.as_deref())
        }

        pub(crate) fn outcome_to_wit(outcome: $crate::Outcome) -> $crate::Result<wit_types::Outcome> {
            let decision = match outcome.decision {
                $crate::Decision::Done => wit_types::Decision::Done,
                $crate::Decision::Rejected => wit_types::Decision::Rejected,
                $crate::Decision::Skipped => wit_types::Decision::Skipped,
                $crate::Decision::Failed => {
                    return Err($crate::Error::bug(
                        "the stage returned an outcome with the decision `failed`, which only the host writes: return an error instead",
                    ));
                }
            };
            let finding = |finding: $crate::Finding| wit_types::Finding {
                check: finding.check,
                target: finding.target,
                severity: match finding.severity {
                    $crate::Severity::Warning => wit_types::Severity::Warning,
                    $crate::Severity::Error => wit_types::Severity::Error,
                },
                message: finding.message,
                count: finding.count,
            };
            Ok(wit_types::Outcome {
                decision,
                reason: outcome.reason,
                findings: outcome.findings.into_iter().map(finding).collect(),
                result: outcome.result.to_string(),
                as_of: outcome.as_of.map(|time| time.to_string()),
            })
        }

        pub(crate) fn trigger_from_wit(trigger: wit_types::Trigger) -> $crate::Result<$crate::Trigger> {
            Ok($crate::Trigger {
                digest: digest_from_wit(&trigger.digest)?,
                key: trigger.key,
            })
        }

        pub(crate) fn trigger_to_wit(trigger: &$crate::Trigger) -> wit_types::Trigger {
            wit_types::Trigger {
                key: trigger.key.clone(),
                digest: trigger.digest.to_string(),
            }
        }
    };

    (@run_context [$($path:tt)+]) => {
        use $($path)+::run_context as wit_run_context;

        pub(crate) fn context_from_wit(context: wit_run_context::Context) -> $crate::Result<$crate::RunContext> {
            Ok($crate::RunContext {
                as_of: $crate::time::parse_time(&context.as_of)
                    .map_err(|error| $crate::Error::bug(error.message).context("the host gave an invalid `as-of`"))?,
                seed: context.seed,
                run_key: context.run_key,
                resource: context.resource,
            })
        }

        pub(crate) fn context_to_wit(context: &$crate::RunContext) -> wit_run_context::Context {
            wit_run_context::Context {
                as_of: context.as_of.to_string(),
                seed: context.seed,
                run_key: context.run_key.clone(),
                resource: context.resource.clone(),
            }
        }
    };

    (@objects [$($path:tt)+]) => {
        use $($path)+::objects as wit_objects;

        pub(crate) fn meta_from_wit(meta: wit_objects::ObjectMeta) -> $crate::ObjectMeta {
            $crate::ObjectMeta { key: meta.key, size: meta.size }
        }

        pub(crate) fn meta_to_wit(meta: $crate::ObjectMeta) -> wit_objects::ObjectMeta {
            wit_objects::ObjectMeta { key: meta.key, size: meta.size }
        }

        pub(crate) fn put_from_wit(put: wit_objects::PutResult) -> $crate::PutResult {
            match put {
                wit_objects::PutResult::Written => $crate::PutResult::Written,
                wit_objects::PutResult::Unchanged => $crate::PutResult::Unchanged,
                wit_objects::PutResult::Conflict => $crate::PutResult::Conflict,
            }
        }

        pub(crate) fn put_to_wit(put: $crate::PutResult) -> wit_objects::PutResult {
            match put {
                $crate::PutResult::Written => wit_objects::PutResult::Written,
                $crate::PutResult::Unchanged => wit_objects::PutResult::Unchanged,
                $crate::PutResult::Conflict => wit_objects::PutResult::Conflict,
            }
        }
    };

    (@sql [$($path:tt)+]) => {
        use $($path)+::sql as wit_sql;

        pub(crate) fn table_from_wit(table: wit_sql::Table) -> $crate::Table {
            $crate::Table {
                name: table.name,
                keys: table.keys,
                format: match table.format {
                    wit_sql::Format::Parquet => $crate::Format::Parquet,
                    wit_sql::Format::Csv => $crate::Format::Csv,
                    wit_sql::Format::JsonLines => $crate::Format::JsonLines,
                },
            }
        }

        pub(crate) fn table_to_wit(table: &$crate::Table) -> wit_sql::Table {
            wit_sql::Table {
                name: table.name.clone(),
                keys: table.keys.clone(),
                format: match table.format {
                    $crate::Format::Parquet => wit_sql::Format::Parquet,
                    $crate::Format::Csv => wit_sql::Format::Csv,
                    $crate::Format::JsonLines => wit_sql::Format::JsonLines,
                },
            }
        }

        pub(crate) fn exported_from_wit(file: wit_sql::ExportedFile) -> $crate::Result<$crate::ExportedFile> {
            Ok($crate::ExportedFile {
                rows: file.rows,
                size: file.size,
                digest: digest_from_wit(&file.digest)?,
            })
        }

        pub(crate) fn exported_to_wit(file: $crate::ExportedFile) -> wit_sql::ExportedFile {
            wit_sql::ExportedFile {
                rows: file.rows,
                size: file.size,
                digest: file.digest.to_string(),
            }
        }
    };

    (@progress [$($path:tt)+]) => {
        use $($path)+::progress as wit_progress;

        pub(crate) fn level_from_wit(level: wit_progress::Level) -> $crate::Level {
            match level {
                wit_progress::Level::Debug => $crate::Level::Debug,
                wit_progress::Level::Info => $crate::Level::Info,
                wit_progress::Level::Warning => $crate::Level::Warning,
            }
        }

        pub(crate) fn level_to_wit(level: $crate::Level) -> wit_progress::Level {
            match level {
                $crate::Level::Debug => wit_progress::Level::Debug,
                $crate::Level::Info => wit_progress::Level::Info,
                $crate::Level::Warning => wit_progress::Level::Warning,
            }
        }
    };
}

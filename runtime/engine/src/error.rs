//! Failures of guests as errors of the right kind. A trap alone does not name its cause: [`RunState`] holds whether memory or time was
//! exceeded, and a panic's message is on the guest's standard error.

use tidemill_core::{Error, Result, text::quoted_list};
use wasmtime::WasmBacktrace;

use crate::component::RunState;

/// Interfaces that a stage may import, beside those of WASI 0.2 that its standard library needs.
const STAGE_INTERFACES: [&str; 10] = [
    "tidemill:stage/types",
    "tidemill:stage/run-context",
    "tidemill:stage/objects",
    "tidemill:stage/sql",
    "tidemill:stage/progress",
    "tidemill:stage/fetch",
    "wasi:nn/tensor",
    "wasi:nn/graph",
    "wasi:nn/inference",
    "wasi:nn/errors",
];
const WASI_PREFIXES: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];
pub(crate) fn check_is_component(bytes: &[u8]) -> Result<()> {
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(invalid_component("it is a WebAssembly module")),
        [] => Err(invalid_component("it is empty")),
        [b'(', ..] => Err(invalid_component("it is WebAssembly text")),
        [0x7f, b'E', b'L', b'F', ..] => Err(invalid_component("it is a native binary")),
        _ => Err(invalid_component(&format!(
            "it starts with `{}`",
            bytes[..bytes.len().min(8)].escape_ascii()
        ))),
    }
}

pub(crate) fn invalid_component(what: &str) -> Error {
    Error::config(format!(
        "this is not a WebAssembly component: {what}; build one with `cargo build --profile guest --target wasm32-wasip2 --lib`, or with \
         componentize-py or jco"
    ))
}

/// The error for a component with imports that the linker does not have.
pub(crate) fn link_error<'a>(imports: impl Iterator<Item = &'a str>, error: &wasmtime::Error) -> Error {
    let known = |name: &str| {
        STAGE_INTERFACES.iter().any(|i| name.split('@').next() == Some(*i)) || WASI_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let unknown: Vec<&str> = imports.filter(|name| !known(name)).collect();
    let what = if unknown.is_empty() {
        format!("imports what this version does not offer: {error:#}")
    } else {
        format!("imports {}, which no stage may", quoted_list(unknown))
    };
    let allowed = quoted_list(STAGE_INTERFACES.iter().chain(&WASI_PREFIXES));
    Error::config(format!("the component {what}; a stage may import {allowed}"))
}

pub(crate) fn missing_run_export(error: &wasmtime::Error) -> Error {
    Error::config(format!(
        "the component does not export `run` as `tidemill:stage` wants it: {error:#}; call `tidemill_sdk::export!` at the foot of `lib.rs`"
    ))
}

/// The error of a stage that trapped.
pub(crate) fn trap_error(trap: &wasmtime::Error, state: &RunState) -> Error {
    limit_error(state).unwrap_or_else(|| Error::bug(format!("the stage {}", describe_trap(trap, state))))
}

/// The error of a run that exceeded its time or its memory; `None` if it did not.
pub(crate) fn limit_error(state: &RunState) -> Option<Error> {
    if state.is_timed_out {
        return Some(Error::timeout(format!(
            "the stage ran longer than its timeout of {} seconds; give it more with `timeout-seconds`, or less to do",
            state.run.limits.timeout.as_secs_f64()
        )));
    }
    state.run.is_memory_exceeded().then(|| {
        Error::limit(format!(
            "the stage needs more memory than its {} MiB; give it more with `memory-megabytes`, or less to hold",
            state.run.limits.memory_bytes >> 20
        ))
    })
}

/// What a guest did: `panicked: index out of bounds (src/lib.rs:3:5); in ...`.
pub(crate) fn describe_trap(trap: &wasmtime::Error, state: &RunState) -> String {
    let (functions, stderr) = (backtrace_functions(trap), state.stderr.text());
    match panic_message(&stderr) {
        Some(message) => format!("panicked: {message}{functions}"),
        None => format!("trapped: {}{functions}{}", trap.root_cause(), last_stderr_line(&stderr)),
    }
}

/// The last line on standard error: in Python that is the exception.
fn last_stderr_line(stderr: &str) -> String {
    let last = stderr.lines().rev().map(str::trim).find(|line| !line.is_empty());
    last.map(|line| format!("; its last words were: {line}")).unwrap_or_default()
}

/// The message of the last panic: `index out of bounds (src/lib.rs:3:5)`.
fn panic_message(stderr: &str) -> Option<String> {
    let (_, text) = stderr.rsplit_once("panicked at ")?;
    let (place, rest) = text.split_once('\n').unwrap_or((text, ""));
    let lines: Vec<&str> = rest.lines().take_while(|line| !line.starts_with("note: ")).collect();
    Some(format!("{} ({})", lines.join("\n").trim(), place.trim_end_matches(':')))
}

fn backtrace_functions(error: &wasmtime::Error) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else {
        return String::new();
    };
    let names = own_functions(trace.frames().iter().filter_map(|frame| frame.func_name()));
    if names.is_empty() {
        String::new()
    } else {
        format!("; in {}", names.join(" < "))
    }
}

/// The innermost functions outside of the standard library.
fn own_functions<'a>(mangled: impl Iterator<Item = &'a str>) -> Vec<String> {
    let is_own = |name: &String| {
        let path = name.trim_start_matches(['<', '&']);
        path.contains("::")
            && !["std::", "core::", "alloc::", "__rustc::"]
                .iter()
                .any(|library| path.starts_with(library))
    };
    mangled
        .map(|name| format!("{:#}", rustc_demangle::demangle(name)))
        .filter(is_own)
        .take(4)
        .map(|name| format!("`{name}`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use tidemill_core::ErrorKind;

    use super::*;

    #[test]
    fn bytes_that_are_not_a_component_are_identified() {
        for (bytes, what) in [
            (&b"\0asm\x01\0\0\0"[..], "module"),
            (b"", "empty"),
            (b"PAR1", "`PAR1`"),
            (b"\x7fELF", "native"),
        ] {
            let error = check_is_component(bytes).unwrap_err();
            assert!(error.kind == ErrorKind::Config && error.message.contains(what), "{error}");
            assert!(error.message.contains("wasm32-wasip2"), "{error}");
        }
    }

    #[test]
    fn a_trap_names_the_guest_s_own_functions() {
        let names = [
            "rust_begin_unwind",
            "_ZN4core9panicking9panic_fmt17h0123456789abcdefE",
            "_ZN62_$LT$my_stage..Mine$u20$as$u20$tidemill_core..stage..Stage$GT$3run17h0123456789abcdefE",
            "_ZN8my_stage4main17h0123456789abcdefE",
            "tidemill:stage/stage#run",
        ];
        let shown = own_functions(names.into_iter());
        assert_eq!(
            shown,
            ["`<my_stage::Mine as tidemill_core::stage::Stage>::run`", "`my_stage::main`"]
        );
    }

    #[test]
    fn a_panic_is_found_on_standard_error() {
        let text = "working\n\nthread '<unnamed>' (1) panicked at src/lib.rs:3:5:\nno such flight\nnote: run with `RUST_BACKTRACE=1`\n";
        assert_eq!(panic_message(text).unwrap(), "no such flight (src/lib.rs:3:5)");
        assert_eq!(panic_message("all is well"), None);
        let python = "Traceback (most recent call last):\n  File \"summary.py\", line 3, in run\nKeyError: 'level'\n\n";
        assert_eq!(last_stderr_line(python), "; its last words were: KeyError: 'level'");
        assert_eq!(last_stderr_line("\n"), "");
    }
}

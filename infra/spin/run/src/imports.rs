//! The imports of a stage, served for the run that is in progress.

use tidemill_core::Objects as _;

use crate::{
    RunHost,
    bindings::exports::tidemill::stage::{fetch, objects, progress, run_context, types},
    convert::{context_to_wit, digest_from_wit, error_to_wit, meta_to_wit, put_to_wit},
    runs::with_run,
};

impl run_context::Guest for RunHost {
    fn get() -> run_context::Context {
        let context = with_run(|run| Ok(run.context.clone()));
        // A stage runs within a run: its adapter starts one.
        let Ok(context) = context else {
            return run_context::Context {
                as_of: String::new(),
                seed: 0,
                run_key: String::new(),
                resource: String::new(),
            };
        };
        context_to_wit(&context)
    }
}

impl objects::Guest for RunHost {
    fn get(key: String) -> Result<Vec<u8>, types::Error> {
        with_run(|run| run.objects.get(&key)).map_err(error_to_wit)
    }
    fn get_range(key: String, offset: u64, length: u64) -> Result<Vec<u8>, types::Error> {
        with_run(|run| run.objects.get_range(&key, offset, length)).map_err(error_to_wit)
    }
    fn head(key: String) -> Result<Option<objects::ObjectMeta>, types::Error> {
        with_run(|run| Ok(run.objects.head(&key)?.map(meta_to_wit))).map_err(error_to_wit)
    }
    fn create(key: String, bytes: Vec<u8>) -> Result<objects::PutResult, types::Error> {
        with_run(|run| run.objects.create(&key, &bytes).map(put_to_wit)).map_err(error_to_wit)
    }
    fn swap(key: String, expected: Option<String>, bytes: Vec<u8>) -> Result<objects::PutResult, types::Error> {
        let swapped = with_run(|run| {
            let expected = expected.as_deref().map(digest_from_wit).transpose()?;
            run.objects.swap(&key, expected.as_ref(), &bytes).map(put_to_wit)
        });
        swapped.map_err(error_to_wit)
    }
    fn list(prefix: String, after: Option<String>, limit: u32) -> Result<Vec<objects::ObjectMeta>, types::Error> {
        let listed = with_run(|run| run.objects.list(&prefix, after.as_deref(), limit));
        listed.map(|page| page.into_iter().map(meta_to_wit).collect()).map_err(error_to_wit)
    }
}

impl progress::Guest for RunHost {
    /// Ignored: the sender of the event receives one response, at the end.
    fn report(_: f64, _: String) {}

    fn log(level: progress::Level, message: String) {
        let level = match level {
            progress::Level::Debug => return,
            progress::Level::Info => "info",
            progress::Level::Warning => "warning",
        };
        let run = with_run(|run| Ok(format!("{} {}", run.context.resource, run.context.run_key)));
        eprintln!("{level}: {}: {message}", run.unwrap_or_default());
    }
}

impl fetch::Guest for RunHost {
    fn get(url: String, headers: Vec<(String, String)>) -> Result<fetch::Response, types::Error> {
        let fetched = with_run(|run| crate::fetch::get(run.objects.grants(), &url, &headers));
        let response = fetched.map_err(error_to_wit)?;
        Ok(fetch::Response {
            status: response.status,
            headers: response.headers,
            body: response.body,
        })
    }
}

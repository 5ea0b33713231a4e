//! A stage's imports, about the run that is under way.

use tidemill_core::{Digest, Error, Meta, Objects as _, Put, Result};

use crate::{
    Behind,
    bindings::exports::tidemill::stage::{fetch, objects, progress, run_context, types},
    runs::{outside, with_run},
};

impl run_context::Guest for Behind {
    fn get() -> run_context::Context {
        let context = with_run(|run| Ok(run.context.clone()));
        // A stage runs within a run: its link sees to that.
        let Ok(context) = context else {
            return run_context::Context {
                as_of: String::new(),
                seed: 0,
                run_key: String::new(),
                resource: String::new(),
            };
        };
        run_context::Context {
            as_of: context.as_of.to_string(),
            seed: context.seed,
            run_key: context.run_key,
            resource: context.resource,
        }
    }
}

impl objects::Guest for Behind {
    fn get(key: String) -> Result<Vec<u8>, types::Error> {
        with_run(|run| run.objects.get(&key)).map_err(outside)
    }
    fn get_range(key: String, offset: u64, length: u64) -> Result<Vec<u8>, types::Error> {
        with_run(|run| run.objects.get_range(&key, offset, length)).map_err(outside)
    }
    fn head(key: String) -> Result<Option<objects::Meta>, types::Error> {
        with_run(|run| Ok(run.objects.head(&key)?.map(meta))).map_err(outside)
    }
    fn create(key: String, bytes: Vec<u8>) -> Result<objects::PutResult, types::Error> {
        with_run(|run| run.objects.create(&key, &bytes).map(put)).map_err(outside)
    }
    fn swap(key: String, expected: Option<String>, bytes: Vec<u8>) -> Result<objects::PutResult, types::Error> {
        let swapped = with_run(|run| {
            let expected = expected.as_deref().map(digest).transpose()?;
            run.objects.swap(&key, expected.as_ref(), &bytes).map(put)
        });
        swapped.map_err(outside)
    }
    fn list(prefix: String, after: Option<String>, limit: u32) -> Result<Vec<objects::Meta>, types::Error> {
        let listed = with_run(|run| run.objects.list(&prefix, after.as_deref(), limit));
        listed.map(|page| page.into_iter().map(meta).collect()).map_err(outside)
    }
}

fn digest(text: &str) -> Result<Digest> {
    Digest::parse(text).ok_or_else(|| Error::input(format!("`{text}` is not a SHA-256 digest in lower-case hex")))
}

fn meta(meta: Meta) -> objects::Meta {
    objects::Meta {
        key: meta.key,
        size: meta.size,
    }
}

fn put(put: Put) -> objects::PutResult {
    match put {
        Put::Written => objects::PutResult::Written,
        Put::Unchanged => objects::PutResult::Unchanged,
        Put::Conflict => objects::PutResult::Conflict,
    }
}

impl progress::Guest for Behind {
    /// Nobody waits: who sent the event is answered at the end.
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

impl fetch::Guest for Behind {
    fn get(url: String, headers: Vec<(String, String)>) -> Result<fetch::Response, types::Error> {
        let fetched = with_run(|run| crate::fetch::get(run.objects.grants(), &url, &headers));
        let response = fetched.map_err(outside)?;
        Ok(fetch::Response {
            status: response.status,
            headers: response.headers,
            body: response.body,
        })
    }
}

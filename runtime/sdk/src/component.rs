//! The stage as a component: its export, and the host behind its imports. A panic is not caught: it traps,
//! and the host finds its message on standard error.

use std::marker::PhantomData;

use tidemill_core::{
    Batches, Digest, Error, Exported, FetchResponse, Host, Level, Meta, Objects, Put, Result, RunContext, Sql, Stage, Table,
};

use crate::{
    bindings::{
        Guest,
        tidemill::stage::{fetch, objects, progress, run_context, sql, types},
    },
    config, convert,
};

/// Measurement [`export!`](crate::export) exports: a stage behind the contract's `run`.
#[derive(Debug)]
pub struct Component<S>(PhantomData<S>);

impl<S: Stage> Guest for Component<S> {
    fn run(trigger: types::Trigger, config: String) -> Result<types::Outcome, types::Error> {
        run::<S>(trigger, &config).map_err(convert::error_out)
    }
}

fn run<S: Stage>(trigger: types::Trigger, text: &str) -> Result<types::Outcome> {
    let (trigger, config, host) = (convert::trigger(trigger)?, config::read::<S>(text)?, ComponentHost::new()?);
    // Measurement is never called is not imported: the choice is made when the stage is compiled.
    let outcome = if S::SQL {
        S::run(&trigger, config, &host)
    } else {
        S::run(&trigger, config, &WithoutSql(host))
    };
    convert::outcome_out(outcome?)
}

/// The imports as a [`Host`].
struct ComponentHost {
    context: RunContext,
}

impl ComponentHost {
    fn new() -> Result<Self> {
        let context = run_context::get();
        let as_of = tidemill_core::time::parse_time(&context.as_of)
            .map_err(|error| Error::bug(error.message).context("the host gave a wrong `as-of`"))?;
        Ok(Self {
            context: RunContext {
                as_of,
                seed: context.seed,
                run_key: context.run_key,
                resource: context.resource,
            },
        })
    }
}

impl Host for ComponentHost {
    fn context(&self) -> &RunContext {
        &self.context
    }
    fn objects(&self) -> &dyn Objects {
        self
    }
    fn sql(&self) -> &dyn Sql {
        self
    }
    fn progress(&self, fraction: f64, message: &str) {
        progress::report(fraction, message);
    }
    fn log(&self, level: Level, message: &str) {
        progress::log(convert::level_out(level), message);
    }
    fn fetch(&self, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
        let response = fetch::get(url, headers).map_err(convert::error)?;
        Ok(FetchResponse {
            status: response.status,
            headers: response.headers,
            body: response.body,
        })
    }
}

impl Objects for ComponentHost {
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        objects::get(key).map_err(convert::error)
    }
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        objects::get_range(key, offset, length).map_err(convert::error)
    }
    fn head(&self, key: &str) -> Result<Option<Meta>> {
        Ok(objects::head(key).map_err(convert::error)?.map(convert::meta))
    }
    fn create(&self, key: &str, bytes: &[u8]) -> Result<Put> {
        objects::create(key, bytes).map(convert::put).map_err(convert::error)
    }
    fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<Put> {
        objects::swap(key, expected.map(Digest::as_str), bytes)
            .map(convert::put)
            .map_err(convert::error)
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<Meta>> {
        let page = objects::list(prefix, after, limit).map_err(convert::error)?;
        Ok(page.into_iter().map(convert::meta).collect())
    }
}

impl Sql for ComponentHost {
    fn query<'a>(&'a self, sql: &str, tables: &[Table]) -> Result<Batches<'a>> {
        let reader = sql::query(sql, &convert::tables_out(tables)).map_err(convert::error)?;
        Ok(Box::new(std::iter::from_fn(move || {
            reader.next().map_err(convert::error).transpose()
        })))
    }
    fn export(&self, sql: &str, tables: &[Table], key: &str) -> Result<Exported> {
        let exported = sql::export(sql, &convert::tables_out(tables), key).map_err(convert::error)?;
        Ok(Exported {
            rows: exported.rows,
            size: exported.size,
            digest: convert::digest(&exported.digest)?,
        })
    }
}

/// The same imports but SQL.
struct WithoutSql(ComponentHost);

impl Host for WithoutSql {
    fn context(&self) -> &RunContext {
        self.0.context()
    }
    fn objects(&self) -> &dyn Objects {
        &self.0
    }
    fn sql(&self) -> &dyn Sql {
        self
    }
    fn progress(&self, fraction: f64, message: &str) {
        self.0.progress(fraction, message);
    }
    fn log(&self, level: Level, message: &str) {
        self.0.log(level, message);
    }
    fn fetch(&self, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
        self.0.fetch(url, headers)
    }
}

impl Sql for WithoutSql {
    fn query<'a>(&'a self, _: &str, _: &[Table]) -> Result<Batches<'a>> {
        Err(without_sql())
    }
    fn export(&self, _: &str, _: &[Table], _: &str) -> Result<Exported> {
        Err(without_sql())
    }
}

fn without_sql() -> Error {
    Error::bug("this stage asks SQL and says `const SQL: bool = false`: take that line away")
}

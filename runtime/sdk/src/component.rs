//! The stage as a component: its export, and the host behind its imports. A panic is not caught: it traps,
//! and the host finds its message on standard error.

use std::marker::PhantomData;

use tidemill_core::{
    Batches, Digest, Error, ExportedFile, FetchResponse, Host, Level, ObjectMeta, Objects, PutResult, Result, RunContext, Sql, Stage, Table,
};

use crate::bindings::{
    Guest, context_from_wit, error_from_wit, error_to_wit, exported_from_wit, level_to_wit, meta_from_wit, outcome_to_wit, put_from_wit,
    table_to_wit,
    tidemill::stage::{fetch, objects, progress, run_context, sql, types},
    trigger_from_wit,
};

/// The type that [`export!`](crate::export) exports: a stage behind the contract's `run`.
#[derive(Debug)]
pub struct Component<S>(PhantomData<S>);

impl<S: Stage> Guest for Component<S> {
    fn run(trigger: types::Trigger, config: String) -> Result<types::Outcome, types::Error> {
        run::<S>(trigger, &config).map_err(error_to_wit)
    }
}

fn run<S: Stage>(trigger: types::Trigger, text: &str) -> Result<types::Outcome> {
    let (trigger, config, host) = (trigger_from_wit(trigger)?, parse_config::<S>(text)?, ComponentHost::new()?);
    // A function that is never called is not imported: the choice is made when the stage is compiled.
    let outcome = if S::SQL {
        S::run(&trigger, config, &host)
    } else {
        S::run(&trigger, config, &WithoutSql(host))
    };
    outcome_to_wit(outcome?)
}

fn parse_config<S: Stage>(text: &str) -> Result<S::Config> {
    let config = serde_json::from_str(text).and_then(|config: serde_json::Value| S::parse_config(&config));
    config.map_err(|error| Error::config(format!("the configuration of stage `{}` cannot be read: {error}", S::NAME)))
}

/// The imports as a [`Host`].
struct ComponentHost {
    context: RunContext,
}

impl ComponentHost {
    fn new() -> Result<Self> {
        Ok(Self {
            context: context_from_wit(run_context::get())?,
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
    fn report_progress(&self, fraction: f64, message: &str) {
        progress::report(fraction, message);
    }
    fn log(&self, level: Level, message: &str) {
        progress::log(level_to_wit(level), message);
    }
    fn fetch(&self, url: &str, headers: &[(String, String)]) -> Result<FetchResponse> {
        let response = fetch::get(url, headers).map_err(error_from_wit)?;
        Ok(FetchResponse {
            status: response.status,
            headers: response.headers,
            body: response.body,
        })
    }
}

impl Objects for ComponentHost {
    fn get(&self, key: &str) -> Result<Vec<u8>> {
        objects::get(key).map_err(error_from_wit)
    }
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Vec<u8>> {
        objects::get_range(key, offset, length).map_err(error_from_wit)
    }
    fn head(&self, key: &str) -> Result<Option<ObjectMeta>> {
        Ok(objects::head(key).map_err(error_from_wit)?.map(meta_from_wit))
    }
    fn create(&self, key: &str, bytes: &[u8]) -> Result<PutResult> {
        objects::create(key, bytes).map(put_from_wit).map_err(error_from_wit)
    }
    fn swap(&self, key: &str, expected: Option<&Digest>, bytes: &[u8]) -> Result<PutResult> {
        objects::swap(key, expected.map(Digest::as_str), bytes)
            .map(put_from_wit)
            .map_err(error_from_wit)
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<ObjectMeta>> {
        let page = objects::list(prefix, after, limit).map_err(error_from_wit)?;
        Ok(page.into_iter().map(meta_from_wit).collect())
    }
}

impl Sql for ComponentHost {
    fn query<'a>(&'a self, sql: &str, tables: &[Table]) -> Result<Batches<'a>> {
        let reader = sql::query(sql, &tables_to_wit(tables)).map_err(error_from_wit)?;
        Ok(Box::new(std::iter::from_fn(move || {
            reader.next().map_err(error_from_wit).transpose()
        })))
    }
    fn export(&self, sql: &str, tables: &[Table], key: &str) -> Result<ExportedFile> {
        exported_from_wit(sql::export(sql, &tables_to_wit(tables), key).map_err(error_from_wit)?)
    }
}

fn tables_to_wit(tables: &[Table]) -> Vec<sql::Table> {
    tables.iter().map(table_to_wit).collect()
}

/// The imports without SQL.
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
    fn report_progress(&self, fraction: f64, message: &str) {
        self.0.report_progress(fraction, message);
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
    fn export(&self, _: &str, _: &[Table], _: &str) -> Result<ExportedFile> {
        Err(without_sql())
    }
}

fn without_sql() -> Error {
    Error::bug("this stage asks SQL and says `const SQL: bool = false`: take that line away")
}

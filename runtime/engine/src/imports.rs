//! The imports of a stage, over a [`Host`]. Nothing is decided here: the host checks grants, records access and limits SQL.

use tidemill_core::{Error, Host, Result, Table};
use tidemill_host::RunHost;
use wasmtime::component::Resource;

use crate::{
    bindings::{
        context_to_wit, digest_from_wit, error_to_wit, exported_to_wit, level_from_wit, meta_to_wit, put_to_wit,
        stage::tidemill::stage::{fetch, objects, progress, run_context, sql, types},
        table_from_wit,
    },
    component::RunState,
};

/// Batches that own what they read from.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<Vec<u8>>> + Send>;

/// A result that a guest is reading.
#[allow(unreachable_pub, reason = "the generated bindings re-export it as public")]
pub struct Reader(Batches);

/// A host whose query results may outlive the call that made them.
pub trait StageHost: Host + Send + Sync + 'static {
    /// Like `Sql::query`, with a result that owns itself.
    ///
    /// # Errors
    /// Those of `Sql::query`.
    fn reader(&self, sql: &str, tables: &[Table]) -> Result<Box<dyn Iterator<Item = Result<Vec<u8>>> + Send>>;
}

impl StageHost for RunHost {
    fn reader(&self, sql: &str, tables: &[Table]) -> Result<Batches> {
        Ok(Box::new(Self::reader(self, sql, tables)?))
    }
}

type Answer<T> = std::result::Result<T, types::Error>;

fn tables_from_wit(tables: Vec<sql::Table>) -> Vec<Table> {
    tables.into_iter().map(table_from_wit).collect()
}

impl types::Host for RunState {}

impl run_context::Host for RunState {
    fn get(&mut self) -> run_context::Context {
        context_to_wit(self.host.context())
    }
}

impl objects::Host for RunState {
    fn get(&mut self, key: String) -> Answer<Vec<u8>> {
        self.host.objects().get(&key).map_err(error_to_wit)
    }
    fn get_range(&mut self, key: String, offset: u64, length: u64) -> Answer<Vec<u8>> {
        self.host.objects().get_range(&key, offset, length).map_err(error_to_wit)
    }
    fn head(&mut self, key: String) -> Answer<Option<objects::ObjectMeta>> {
        Ok(self.host.objects().head(&key).map_err(error_to_wit)?.map(meta_to_wit))
    }
    fn create(&mut self, key: String, bytes: Vec<u8>) -> Answer<objects::PutResult> {
        self.host.objects().create(&key, &bytes).map(put_to_wit).map_err(error_to_wit)
    }
    fn swap(&mut self, key: String, expected: Option<String>, bytes: Vec<u8>) -> Answer<objects::PutResult> {
        let expected = expected.as_deref().map(digest_from_wit).transpose().map_err(error_to_wit)?;
        self.host
            .objects()
            .swap(&key, expected.as_ref(), &bytes)
            .map(put_to_wit)
            .map_err(error_to_wit)
    }
    fn list(&mut self, prefix: String, after: Option<String>, limit: u32) -> Answer<Vec<objects::ObjectMeta>> {
        let page = self.host.objects().list(&prefix, after.as_deref(), limit).map_err(error_to_wit)?;
        Ok(page.into_iter().map(meta_to_wit).collect())
    }
}

impl sql::Host for RunState {
    fn query(&mut self, sql: String, bound: Vec<sql::Table>) -> Answer<Resource<Reader>> {
        let batches = self.host.reader(&sql, &tables_from_wit(bound)).map_err(error_to_wit)?;
        self.table
            .push(Reader(batches))
            .map_err(|error| error_to_wit(Error::limit(format!("too many query results are open: {error}"))))
    }
    fn export(&mut self, sql: String, bound: Vec<sql::Table>, key: String) -> Answer<sql::ExportedFile> {
        self.host
            .sql()
            .export(&sql, &tables_from_wit(bound), &key)
            .map(exported_to_wit)
            .map_err(error_to_wit)
    }
}

impl sql::HostReader for RunState {
    fn next(&mut self, reader: Resource<Reader>) -> Answer<Option<Vec<u8>>> {
        let reader = self
            .table
            .get_mut(&reader)
            .map_err(|error| error_to_wit(Error::bug(error.to_string())))?;
        reader.0.next().transpose().map_err(error_to_wit)
    }
    fn drop(&mut self, reader: Resource<Reader>) -> wasmtime::Result<()> {
        self.table.delete(reader)?;
        Ok(())
    }
}

impl progress::Host for RunState {
    fn report(&mut self, fraction: f64, message: String) {
        self.host.report_progress(fraction, &message);
    }
    fn log(&mut self, level: progress::Level, message: String) {
        self.host.log(level_from_wit(level), &message);
    }
}

impl fetch::Host for RunState {
    fn get(&mut self, url: String, headers: Vec<(String, String)>) -> Answer<fetch::Response> {
        let response = self.host.fetch(&url, &headers).map_err(error_to_wit)?;
        Ok(fetch::Response {
            status: response.status,
            headers: response.headers,
            body: response.body,
        })
    }
}

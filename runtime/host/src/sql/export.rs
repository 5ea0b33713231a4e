//! Parquet files whose bytes depend on the rows alone: pinned settings, fixed row groups, no clock, no versions of other libraries.

use std::{fs::File, sync::Arc};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties, WriterVersion},
};
use tidemill_core::{Error, Result};

/// Number of rows per row group, and per batch passed to the writer: the bytes are the same however DuckDB divides the rows.
const ROW_GROUP_SIZE: usize = 100_000;

/// A Parquet file that is written row by row.
pub struct ParquetFile {
    writer: ArrowWriter<File>,
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    rows: u64,
}

impl std::fmt::Debug for ParquetFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetFile").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl ParquetFile {
    /// Starts a file.
    pub fn new(file: File, schema: &SchemaRef) -> Result<Self> {
        let options = ArrowWriterOptions::new()
            .with_properties(properties()?)
            .with_skip_arrow_metadata(true);
        Ok(Self {
            writer: ArrowWriter::try_new_with_options(file, Arc::clone(schema), options).map_err(parquet_error)?,
            schema: Arc::clone(schema),
            waiting: Vec::new(),
            waiting_rows: 0,
            rows: 0,
        })
    }

    /// Appends rows.
    pub fn push(&mut self, mut batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        while self.waiting_rows + batch.num_rows() >= ROW_GROUP_SIZE {
            let taken = ROW_GROUP_SIZE - self.waiting_rows;
            self.waiting.push(batch.slice(0, taken));
            batch = batch.slice(taken, batch.num_rows() - taken);
            self.write_group()?;
        }
        self.waiting_rows += batch.num_rows();
        self.waiting.push(batch);
        Ok(())
    }

    /// Finishes the file and returns its number of rows.
    pub fn finish(mut self) -> Result<u64> {
        self.write_group()?;
        self.writer.close().map_err(parquet_error)?;
        Ok(self.rows)
    }

    fn write_group(&mut self) -> Result<()> {
        let whole = arrow_select::concat::concat_batches(&self.schema, &std::mem::take(&mut self.waiting))
            .map_err(|e: ArrowError| Error::bug(format!("rows cannot be joined: {e}")))?;
        self.waiting_rows = 0;
        if whole.num_rows() > 0 {
            self.writer.write(&whole).map_err(parquet_error)?;
            self.writer.flush().map_err(parquet_error)?;
        }
        Ok(())
    }
}

/// Pinned: the defaults of a newer crate must not change a digest.
fn properties() -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(3).map_err(parquet_error)?;
    Ok(WriterProperties::builder()
        .set_created_by("tidemill 1".to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_SIZE))
        .set_max_row_group_bytes(None)
        .set_data_page_size_limit(1 << 20)
        .set_data_page_row_count_limit(20_000)
        .set_dictionary_page_size_limit(1 << 20)
        .set_write_batch_size(1024)
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(64))
        .set_column_index_truncate_length(Some(64))
        .build())
}

fn parquet_error(error: ParquetError) -> Error {
    let is_disk_full = |cause: &(dyn std::error::Error + Send + Sync + 'static)| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.is_some_and(|e| matches!(e.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded))
    };
    if let ParquetError::External(cause) = &error
        && is_disk_full(cause.as_ref())
    {
        return Error::transient("a result could not be written as Parquet: the disk of the cache is full; make room, it is tried again");
    }
    Error::input(format!(
        "a result cannot be written as Parquet: {error}; cast the column to a plain type"
    ))
}

//! From batches to records, and from records to Parquet: bit for bit, whatever comes together in one segment.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy does not see that this module is one"
)]

use std::collections::BTreeMap;

use arrow_array::{Array as _, Float64Array, RecordBatch, StringArray, cast::AsArray as _, types};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidemill_core::{ColumnValues, ErrorKind, pipeline::deployment::LoggedModel, time::Span};

use super::{PredictionBatch, Record, Segment, build_segments, record::RecordReader};

fn record(model: &str, version: u32, request_id: &str, columns: Vec<(&str, ColumnValues)>) -> Vec<u8> {
    let rows = columns[0].1.len();
    let columns: Vec<_> = columns.into_iter().map(|(name, values)| (name.to_owned(), values)).collect();
    let batch = PredictionBatch {
        model,
        version,
        transform: "ab",
        request_id,
        rows,
        columns: &columns,
        latency_us: 12,
    };
    let mut record = batch.to_record().unwrap();
    record.set_served_at(99);
    record.into_bytes()
}

fn late(request_id: &str, columns: Vec<(&str, ColumnValues)>) -> Vec<u8> {
    record("late", 3, request_id, columns)
}

fn build(records: &[Vec<u8>]) -> Vec<Segment> {
    let day = LoggedModel {
        window: Span::days(1),
        time: "at".into(),
    };
    let models = ["early", "late"].map(|model| (model.to_owned(), day.clone()));
    build_segments("n", records.iter().map(Vec::as_slice), &models.into()).unwrap()
}

fn table(segment: &Segment) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(segment.bytes.clone())).unwrap();
    let [table] = reader.build().unwrap().collect::<Result<Vec<_>, _>>().unwrap().try_into().unwrap();
    table
}

fn numbers(table: &RecordBatch, name: &str) -> Vec<Option<u64>> {
    let column: &Float64Array = table[name].as_primitive();
    column.iter().map(|value| value.map(f64::to_bits)).collect()
}

fn texts<'a>(table: &'a RecordBatch, name: &str) -> Vec<Option<&'a str>> {
    let column: &StringArray = table[name].as_string();
    column.iter().collect()
}

#[test]
fn values_come_back_bit_for_bit() {
    let number = f64::from_bits(0x7ff8_0000_0000_1234);
    let segments = build(&[late(
        "r",
        vec![
            ("at", ColumnValues::Timestamp(vec![Some(-5); 3])),
            ("x", ColumnValues::Number(vec![Some(0.1 + 0.2), None, Some(number)])),
            ("t", ColumnValues::Text(vec![Some("é".into()), Some(String::new()), None])),
            ("b", ColumnValues::Boolean(vec![Some(true), Some(false), None])),
            ("i", ColumnValues::Integer(vec![Some(i64::MIN), None, Some(0)])),
            ("w", ColumnValues::Timestamp(vec![None, Some(7), Some(-7)])),
        ],
    )]);
    assert_eq!(segments[0].key, "predictions/late/1969-12-31T00-00-00Z/n-v3.parquet");
    let table = table(&segments[0]);
    assert_eq!(texts(&table, "_id"), ["r/0", "r/1", "r/2"].map(Some));
    assert_eq!(texts(&table, "_request"), ["r"; 3].map(Some));
    assert_eq!(texts(&table, "_transform"), ["ab"; 3].map(Some));
    assert_eq!(numbers(&table, "x"), [Some((0.1f64 + 0.2).to_bits()), None, Some(number.to_bits())]);
    assert_eq!(texts(&table, "t"), [Some("é"), Some(""), None]);
    assert_eq!(table["b"].as_boolean().iter().collect::<Vec<_>>(), [Some(true), Some(false), None]);
    let integers = |name: &str| table[name].as_primitive::<types::Int64Type>().iter().collect::<Vec<_>>();
    assert_eq!(integers("i"), [Some(i64::MIN), None, Some(0)]);
    assert_eq!(
        (integers("_version"), integers("_latency_us")),
        (vec![Some(3); 3], vec![Some(12); 3])
    );
    let times = |name: &str| {
        table[name]
            .as_primitive::<types::TimestampMicrosecondType>()
            .iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(times("w"), [None, Some(7), Some(-7)]);
    assert_eq!((times("_time"), times("_served_at")), (vec![Some(-5); 3], vec![Some(99); 3]));
}

#[test]
fn rows_that_lack_a_column_or_bring_it_elsewhere_keep_their_places() {
    let x = |value| ("x", ColumnValues::Number(vec![Some(value)]));
    let y = |text: &str| ("y", ColumnValues::Text(vec![Some(text.into())]));
    let segments = build(&[
        late("d", vec![x(4.0)]),
        late("b", vec![y("two"), x(2.0)]),
        late("c", vec![x(3.0)]),
        late("a", vec![x(1.0), y("one")]),
        late("e", vec![x(5.0)]),
    ]);
    let table = table(&segments[0]);
    assert_eq!(texts(&table, "_id"), ["a/0", "b/0", "c/0", "d/0", "e/0"].map(Some));
    assert_eq!(
        numbers(&table, "x"),
        [1.0, 2.0, 3.0, 4.0, 5.0f64].map(|value| Some(value.to_bits()))
    );
    assert_eq!(texts(&table, "y"), [Some("one"), Some("two"), None, None, None]);
    assert_eq!(table["y"].null_count(), 3);
}

#[test]
fn models_windows_and_versions_are_apart_and_a_record_may_be_in_several() {
    let day = |day: i64| Some(day * 86_400_000_000);
    let wide = |model, version| {
        let x = ColumnValues::Number([0.0, 1.0, 2.0, 3.0].map(Some).to_vec());
        let at = ColumnValues::Timestamp(vec![day(0), day(1), day(0), None]);
        record(model, version, "w", vec![("x", x), ("at", at)])
    };
    let segments = build(&[wide("late", 3), wide("early", 3), wide("late", 4)]);
    let keys: Vec<&str> = segments.iter().map(|segment| segment.key.as_str()).collect();
    let (first, second) = ("1970-01-01T00-00-00Z", "1970-01-02T00-00-00Z");
    assert_eq!(
        keys,
        [
            format!("predictions/early/{first}/n-v3.parquet"),
            format!("predictions/early/{second}/n-v3.parquet"),
            format!("predictions/late/{first}/n-v3.parquet"),
            format!("predictions/late/{first}/n-v4.parquet"),
            format!("predictions/late/{second}/n-v3.parquet"),
            format!("predictions/late/{second}/n-v4.parquet"),
        ]
    );
    // A row without an event time goes to the window in which it was served: the first microseconds of 1970.
    assert_eq!(texts(&table(&segments[2]), "_id"), ["w/0", "w/2", "w/3"].map(Some));
    assert_eq!(numbers(&table(&segments[4]), "x"), [Some(1.0f64.to_bits())]);
}

#[test]
fn a_column_of_two_types_and_bytes_that_are_no_record_are_refused() {
    let number = late("a", vec![("x", ColumnValues::Number(vec![None]))]);
    let text = late("b", vec![("x", ColumnValues::Text(vec![None]))]);
    let error = build_segments("n", [number.as_slice(), &text], &BTreeMap::new()).unwrap_err();
    assert_eq!(error.message, "model `late`: column `x` has two types in one version");
    for cut in 0..number.len() {
        let error = build_segments("n", [&number[..cut]], &BTreeMap::new()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Bug, "cut at {cut}");
    }
    let longer = [number.as_slice(), &[0]].concat();
    assert!(build_segments("n", [longer.as_slice()], &BTreeMap::new()).is_err());
}

fn batch<'a>(model: &'a str, columns: &'a [(String, ColumnValues)]) -> PredictionBatch<'a> {
    PredictionBatch {
        model,
        version: 3,
        transform: "ab",
        request_id: "r",
        rows: 1,
        columns,
        latency_us: 12,
    }
}

#[test]
fn only_whole_records_are_accepted() {
    let columns = [("x".to_owned(), ColumnValues::Text(vec![Some("é".into())]))];
    let record = batch("late", &columns).to_record().unwrap();
    let bytes = record.as_bytes().to_vec();
    assert_eq!(Record::parse(bytes.clone()).unwrap(), record);
    for cut in 0..bytes.len() {
        assert_eq!(
            Record::parse(bytes[..cut].to_vec()).unwrap_err().kind,
            ErrorKind::Input,
            "cut at {cut}"
        );
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    let other_format = [&[bytes[0] + 1], &bytes[1..]].concat();
    let mut not_utf8 = bytes.clone();
    *not_utf8.last_mut().unwrap() = b'x';
    for bad in [longer, other_format, not_utf8, vec![0xff; 64]] {
        assert!(Record::parse(bad).is_err());
    }
}

#[test]
fn names_and_lengths_are_checked() {
    let columns = [("x".to_owned(), ColumnValues::Number(vec![Some(1.0)]))];
    let error = batch("../up", &columns).to_record().unwrap_err();
    assert!(error.message.contains("`../up`"), "{error}");
    let ragged = PredictionBatch {
        rows: 2,
        ..batch("late", &columns)
    };
    let error = ragged.to_record().unwrap_err();
    assert!(error.message.contains("column `x` has 1 values for 2"), "{error}");
}

#[test]
fn the_log_sets_the_time_of_serving() {
    let columns = [("x".to_owned(), ColumnValues::Boolean(vec![None]))];
    let mut record = batch("late", &columns).to_record().unwrap();
    record.set_served_at(-7);
    assert_eq!(RecordReader::new(record.as_bytes()).read_header().unwrap().served_at, -7);
    assert_eq!((record.model(), record.rows()), ("late", 1));
}

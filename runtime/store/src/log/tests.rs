//! From batches to Parquet: bit for bit, whatever comes together in one segment.

use std::collections::BTreeMap;

use arrow_array::{Array as _, Float64Array, RecordBatch, StringArray, cast::AsArray as _, types};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidemill_core::ErrorKind;

use super::{Batch, Segment, Values, build_segments};

fn batch(request: &str, columns: Vec<(&str, Values)>) -> Batch {
    let rows = columns[0].1.len();
    Batch {
        model: "late".into(),
        version: 3,
        transform: "ab".into(),
        ids: (0..rows).map(|row| format!("{request}/{row}")).collect(),
        times: vec![Some(-5); rows],
        columns: columns.into_iter().map(|(name, values)| (name.to_owned(), values)).collect(),
        latency_us: 12,
    }
}

fn made(batches: &[Batch]) -> Vec<Segment> {
    let records: Vec<Vec<u8>> = batches.iter().map(|batch| batch.encode(99)).collect();
    build_segments("n", records.iter().map(Vec::as_slice), &BTreeMap::new()).unwrap()
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
    let segments = made(&[batch(
        "r",
        vec![
            ("x", Values::Number(vec![Some(0.1 + 0.2), None, Some(number)])),
            ("t", Values::Text(vec![Some("é".into()), Some(String::new()), None])),
            ("b", Values::Boolean(vec![Some(true), Some(false), None])),
            ("i", Values::Integer(vec![Some(i64::MIN), None, Some(0)])),
            ("w", Values::Timestamp(vec![None, Some(7), Some(-7)])),
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
    let x = |value| ("x", Values::Number(vec![Some(value)]));
    let y = |text: &str| ("y", Values::Text(vec![Some(text.into())]));
    let segments = made(&[
        batch("d", vec![x(4.0)]),
        batch("b", vec![y("two"), x(2.0)]),
        batch("c", vec![x(3.0)]),
        batch("a", vec![x(1.0), y("one")]),
        batch("e", vec![x(5.0)]),
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
fn models_windows_and_versions_are_apart_and_a_batch_may_be_in_several() {
    let of = |day: i64| Some(day * 86_400_000_000);
    let mut wide = batch("w", vec![("x", Values::Number([0.0, 1.0, 2.0, 3.0].map(Some).to_vec()))]);
    wide.times = vec![of(0), of(1), of(0), None];
    let other = Batch {
        model: "early".into(),
        ..wide.clone()
    };
    let newer = Batch {
        version: 4,
        ..wide.clone()
    };
    let segments = made(&[wide, other, newer]);
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
    // Without a time of its own a row goes where it was served: in the first microseconds of 1970.
    assert_eq!(texts(&table(&segments[2]), "_id"), ["w/0", "w/2", "w/3"].map(Some));
    assert_eq!(numbers(&table(&segments[4]), "x"), [Some(1.0f64.to_bits())]);
}

#[test]
fn a_column_of_two_types_and_bytes_that_are_no_record_are_refused() {
    let number = batch("a", vec![("x", Values::Number(vec![None]))]).encode(99);
    let text = batch("b", vec![("x", Values::Text(vec![None]))]).encode(99);
    let error = build_segments("n", [number.as_slice(), &text], &BTreeMap::new()).unwrap_err();
    assert_eq!(error.message, "model `late`: column `x` has two types in one version");
    for cut in 0..number.len() {
        let error = build_segments("n", [&number[..cut]], &BTreeMap::new()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Bug, "cut at {cut}");
    }
    let longer = [number.as_slice(), &[0]].concat();
    assert!(build_segments("n", [longer.as_slice()], &BTreeMap::new()).is_err());
}

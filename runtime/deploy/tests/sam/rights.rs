//! What the roles allow, asked as IAM would: what a stage and its host need is granted, and what belongs to others is not.

use serde_json::Value as Json;

use crate::projects::{FLIGHTS, PROJECTS};

/// `*` matches anything, `/` too.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, rest)) => {
            let Some(tail) = text.strip_prefix(before) else { return false };
            let ends = tail.char_indices().map(|(at, _)| at).chain([tail.len()]);
            ends.into_iter().any(|at| matches(rest, &tail[at..]))
        }
    }
}

/// Whether a role lets its function do this with a key of the store.
fn may(template: &Json, function: &str, action: &str, key: &str) -> bool {
    let policies = template["Resources"][format!("{function}Role")]["Properties"]["Policies"]
        .as_array()
        .unwrap();
    let statements = policies
        .iter()
        .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    statements.filter(|statement| statement["Effect"] == "Allow").any(|statement| {
        let is_meant = statement["Action"].as_array().unwrap().iter().any(|allowed| allowed == action);
        let resources = statement["Resource"].as_array().unwrap().iter();
        let mut keys = resources.filter_map(|resource| resource["Fn::Sub"].as_str()?.strip_prefix("${Store.Arn}/"));
        is_meant && keys.any(|pattern| matches(pattern, key))
    })
}

const GET: &str = "s3:GetObject";
const PUT: &str = "s3:PutObject";

#[test]
fn a_role_allows_what_its_stage_needs_and_no_more() {
    let template = FLIGHTS.sam().json().unwrap();
    for (function, action, key, expected) in [
        ("ValidateFlights", GET, "raw/flights/2013/01.parquet", true),
        ("ValidateFlights", PUT, "raw/flights/2013/01.parquet", false),
        ("ValidateFlights", PUT, "datasets/flights/abc/data.parquet", true),
        ("ValidateFlights", PUT, "outcomes/validate/flights/x.json", true),
        ("ValidateFlights", PUT, "outcomes/train/late/x.json", false),
        ("ValidateFlights", GET, "models/late/aliases/champion.json", false),
        // It waits for what `retrain` wrote through the outcome that names it.
        ("FeaturizeLate", GET, "outcomes/retrain/late/x.json", true),
        ("FeaturizeLate", GET, "requests/late/x.json", true),
        ("FeaturizeLate", GET, "outcomes/register/late/x.json", true),
        ("FeaturizeLate", PUT, "outcomes/register/late/x.json", false),
        ("TrainLate", GET, "outcomes/featurize/late/x.json", true),
        ("TrainLate", GET, "raw/flights/x.parquet", false),
        ("TrainLate", PUT, "candidates/late/r/model.onnx", true),
        ("TrainLate", PUT, "models/late/versions/1.json", false),
        ("TrainLate", PUT, "components/abc", true),
        ("RegisterLate", PUT, "models/late/aliases/champion.json", true),
        ("RegisterLate", PUT, "windows/late/2013.json", false),
        ("MonitorLate", GET, "windows/late/2013.json", true),
        ("MonitorLate", PUT, "predictions/late/x.parquet", false),
        ("RetrainLate", PUT, "requests/late/x.json", true),
        ("RetrainLate", PUT, "dead/retrain/late/x.json", true),
        ("Coordinator", PUT, "windows/late/2013.json", true),
        ("Coordinator", PUT, "logs/late/2013.json", true),
        ("Coordinator", PUT, "manifests/flights/entries/000000000001.json", true),
        ("Coordinator", PUT, "datasets/flights/sets/abc.json", true),
        ("Coordinator", PUT, "datasets/flights/r/data.parquet", false),
        ("Coordinator", GET, "dead/validate/flights/x.json", true),
        ("Coordinator", PUT, "outcomes/validate/flights/x.json", false),
        ("Predict", GET, "models/late/aliases/champion.json", true),
        ("Predict", GET, "candidates/late/r/model.onnx", true),
        ("Predict", GET, "features/late/r/transform.json", true),
        ("Predict", GET, "features/late/r/train.parquet", false),
        ("Predict", PUT, "predictions/late/2013/x.parquet", true),
        ("Predict", PUT, "models/late/aliases/champion.json", false),
    ] {
        assert_eq!(may(&template, function, action, key), expected, "{function} {action} {key}");
    }
}

/// No role has a right over everything, and none but the store's own policy speaks of all actions.
#[test]
fn no_right_is_over_everything() {
    for project in &PROJECTS {
        let template = project.sam().json().unwrap();
        for (name, resource) in template["Resources"].as_object().unwrap() {
            let text = resource.to_string();
            if resource["Type"] == "AWS::IAM::Role" {
                assert!(!text.contains("\"*\"") && !text.contains(":*\""), "{name}: {text}");
            }
        }
    }
}

/// Reading a key that is not there must say so: S3 asks for the right to list, with no prefix.
#[test]
fn every_reader_may_learn_that_a_key_is_not_there() {
    let template = FLIGHTS.sam().json().unwrap();
    let roles = template["Resources"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| name.ends_with("Role") && *name != "CoordinatorScheduleRole");
    let mut count = 0;
    for (name, role) in roles {
        let statements = role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].as_array().unwrap();
        let list = statements.iter().find(|statement| statement["Sid"] == "ListPrefixes").unwrap();
        assert!(list["Condition"]["StringLikeIfExists"]["s3:prefix"].is_array(), "{name}");
        assert!(list["Condition"].get("StringLike").is_none(), "{name}");
        count += 1;
    }
    assert_eq!(count, 9);
}

//! The templates of three projects, as they are committed. After a change that is meant, `TIDEMILL_UPDATE=1` writes them anew, and the
//! review reads the difference.

use std::fs;

use tidemill_deploy::{
    cost::{self, Assumptions},
    difference::{self, Change, Difference},
};

use crate::projects::{FLIGHTS, GEOCODE, PROJECTS, Project, compare, root};

fn compare_with(project: &Project, path: &str, text: &str) {
    compare(&format!("{}/{path}", project.template), text, |committed| {
        difference::read(path, committed).map_or_else(
            |error| error.to_string(),
            |old| Difference::of_templates(&old, &difference::read(path, text).unwrap()).render_text(),
        )
    });
}

#[test]
fn templates_are_as_committed() {
    for project in &PROJECTS {
        compare_with(project, "template.yaml", &project.sam().yaml().unwrap());
    }
}

/// The example is whole: what its functions are told is there too.
#[test]
fn the_example_is_whole() {
    let sam = FLIGHTS.sam();
    for (path, told) in &sam.files {
        compare_with(&FLIGHTS, path, &(serde_json::to_string_pretty(told).unwrap() + "\n"));
    }
    let folder = root().join(FLIGHTS.template).join("project/tidemill/functions");
    let there = fs::read_dir(folder).unwrap().count();
    assert_eq!(there, sam.files.len(), "a function that is no more is still described");
}

/// What is written is what is read: YAML neither loses nor guesses.
#[test]
fn yaml_comes_back_as_it_was() {
    for project in &PROJECTS {
        let sam = project.sam();
        let back = difference::read("template.yaml", &sam.yaml().unwrap()).unwrap();
        assert_eq!(back, sam.json().unwrap());
        assert!(Difference::of_templates(&back, &sam.json().unwrap()).is_empty());
    }
}

#[test]
fn one_more_stage_is_one_block() {
    let (before, after) = (FLIGHTS.sam(), FLIGHTS.sam_with(GEOCODE));
    let mut difference = Difference::of_templates(&before.json().unwrap(), &after.json().unwrap());
    for (path, told) in &after.files {
        let old = before.files.iter().find(|(old, _)| old == path).map(|(_, told)| told);
        difference.add_file(path, old, Some(told));
    }
    assert_eq!(
        difference.render_text(),
        "Parameters
  + GeocodeMemory
Resources
  + GeocodeQueue  AWS::SQS::Queue
  + GeocodeDeadLetters  AWS::SQS::Queue
  + GeocodeQueuePolicy  AWS::SQS::QueuePolicy
  + GeocodeOnValidate  AWS::Events::Rule
  + GeocodeOnDeadLetter  AWS::Events::Rule
  + GeocodeLogs  AWS::Logs::LogGroup
  + GeocodeRole  AWS::IAM::Role
  + GeocodeFunction  AWS::Serverless::Function
  + GeocodeDeadLettersAlarm  AWS::CloudWatch::Alarm
  + GeocodeErrorsAlarm  AWS::CloudWatch::Alarm
  + GeocodeThrottlesAlarm  AWS::CloudWatch::Alarm
  + GeocodeAgeAlarm  AWS::CloudWatch::Alarm
files
  + project/tidemill/functions/geocode.json
14 to add, 0 to change, 0 to remove"
    );
    let back = Difference::of_templates(&after.json().unwrap(), &before.json().unwrap());
    assert_eq!((back.count(Change::Added), back.count(Change::Removed)), (0, 13));
}

#[test]
fn a_changed_grant_is_named() {
    let wider = GEOCODE.replace("\"datasets/flights/**\"", "\"datasets/flights/**\", \"models/late/**\"");
    let (before, after) = (FLIGHTS.sam_with(GEOCODE), FLIGHTS.sam_with(&wider));
    let difference = Difference::of_templates(&before.json().unwrap(), &after.json().unwrap());
    assert_eq!(
        difference.render_text(),
        "Resources
  ~ GeocodeRole  AWS::IAM::Role
      Properties.Policies[grants].PolicyDocument.Statement[ReadObjects].Resource: + {\"Fn::Sub\":\"${Store.Arn}/models/late/*\"}
      Properties.Policies[grants].PolicyDocument.Statement[ListPrefixes].Condition.StringLikeIfExists.s3:prefix: + models/late/*
0 to add, 1 to change, 0 to remove"
    );
}

#[test]
fn what_aws_does_not_take_is_said() {
    let refused = |more: &str| FLIGHTS.try_sam(more).unwrap_err().message;
    let named = |name: &str| format!("\n[[stage]]\nname = \"{name}\"\ncomponent = \"x.wasm\"\non = \"raw/flights/**\"\n");
    let long = refused(&named(&"g".repeat(60)));
    assert!(long.contains("Lambda function") && long.contains("shorten the names"), "{long}");
    // Underscores are gone in a template's names.
    let same = refused(&format!("{}{}", named("geo-code"), named("geo_code")));
    assert!(same.contains("`GeoCode"), "{same}");
    let memory = refused("\n[[stage]]\nname = \"train\"\nmemory-megabytes = 12288\n");
    assert!(memory.contains("12288") && memory.contains("9216"), "{memory}");
    let many: String = (0..40).map(|n| named(&format!("s{n}"))).collect();
    assert!(refused(&many).contains("CloudFormation takes 500"), "{}", refused(&many));
    let predict = refused("\n[[stage]]\nname = \"predict\"\ncomponent = \"own.wasm\"\n");
    assert!(predict.contains("`own.wasm`"), "{predict}");
    let months = refused(&format!("{}every = \"5 months\"\n", named("x")));
    assert!(months.contains("`every = \"5 months\"`"), "{months}");
    let grants: Vec<String> = (0..400).map(|n| format!("\"a-prefix-of-some-length/{n}/**\"")).collect();
    let policy = refused(&format!("{}reads = [{}]\n", named("x"), grants.join(", ")));
    assert!(policy.contains("IAM takes 10240"), "{policy}");
}

#[test]
fn runs_longer_than_lambdas_are_noted() {
    let notes = FLIGHTS.sam().notes;
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(notes[1].contains("`train` of `late` may take 3600 s"), "{}", notes[1]);
}

#[test]
fn costs_follow_from_what_is_assumed() {
    let sam = FLIGHTS.sam();
    let cost = |text: &str| cost::of(&sam, &toml::from_str::<Assumptions>(text).unwrap());
    let usual = cost("");
    let polls = 8.0 * 657_000.0 * 0.40 / 1e6;
    assert!((usual.idle[0].dollars - polls).abs() < 1e-9, "{:?}", usual.idle);
    // Eight dead-letter queues, the coordinator's among them, and errors of predict.
    assert!((usual.idle[1].dollars - 0.9).abs() < 1e-9, "{:?}", usual.idle);
    let batched = cost("request-rows = 100.0");
    assert!((batched.million_predictions * 100.0 - usual.million_predictions).abs() < 1e-9);
    let free = cost("s3-million-puts = 0.0\nrequest-milliseconds = 0.0");
    assert!(free.million_predictions < usual.million_predictions - 5.0);
    assert!(usual.render_text().contains("us-east-1"));
    let wrong: Assumptions = toml::from_str("request-rows = 0.5").unwrap();
    assert!(wrong.check().unwrap_err().message.contains("`request-rows` is `0.5`"));
}

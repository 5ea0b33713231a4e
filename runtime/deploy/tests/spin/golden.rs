//! The manifests of three projects, as they are committed. After a change that is meant, `TIDEMILL_UPDATE=1` writes them anew, and the
//! review reads the difference.

use std::fs;

use tidemill_deploy::{
    difference::Difference,
    spin::{Recipe, check, manifest::sections},
};

use crate::projects::{FLIGHTS, PROJECTS};

fn between(old: &str, new: &str) -> Difference {
    let read = |text| sections("spin.toml", text).unwrap();
    Difference::of_templates(&read(old), &read(new))
}

#[test]
fn manifests_are_as_committed() {
    for project in &PROJECTS {
        let (file, text) = (project.written(), project.spin().manifest.toml().unwrap());
        if std::env::var_os("TIDEMILL_UPDATE").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == text,
            "{} is not what is rendered; if the change is meant, run the test with TIDEMILL_UPDATE=1. It would change:\n{}",
            file.display(),
            between(&committed, &text).people()
        );
        check("spin.toml", &committed).unwrap();
    }
}

const GEOCODE: &str = r#"
[[stage]]
name = "geocode"
component = "stages/geocode.wasm"
on = "outcomes/validate/flights/*"
reads = ["datasets/flights/**"]
writes = ["geocoded/flights/**"]
"#;

#[test]
fn one_more_stage_is_one_component() {
    let [before, after] = ["", GEOCODE].map(|more| FLIGHTS.try_with(more).unwrap());
    let texts = [&before, &after].map(|spin| spin.manifest.toml().unwrap());
    assert_eq!(
        between(&texts[0], &texts[1]).people(),
        "application
  ~ application
      tool.tidemill.stages: + geocode
routes
  + stage-geocode.spin.internal
components
  ~ events
      allowed_outbound_hosts: + http://stage-geocode.spin.internal
      variables.tidemill_config.stages.stage-geocode: + [\"outcomes/validate/flights/*\"]
  + stage-geocode
2 to add, 2 to change, 0 to remove"
    );
    assert_eq!(after.files.len(), before.files.len() + 1);
    assert!(
        after
            .files
            .iter()
            .any(|file| file.recipe == Recipe::Stage("stages/geocode.wasm".to_owned()))
    );
}

#[test]
fn a_changed_grant_is_named() {
    let wider = GEOCODE.replace("\"datasets/flights/**\"", "\"datasets/flights/**\", \"models/late/**\"");
    let [before, after] = [GEOCODE, &wider].map(|more| FLIGHTS.try_with(more).unwrap().manifest.toml().unwrap());
    assert_eq!(
        between(&before, &after).people(),
        "components
  ~ stage-geocode
      variables.tidemill_config.nodes[geocode:geocode].reads: + models/late/**
0 to add, 1 to change, 0 to remove"
    );
}

#[test]
fn what_does_not_run_there_is_said() {
    let spin = FLIGHTS.spin();
    let elsewhere = &spin.manifest.application.tool["tidemill"].elsewhere;
    assert_eq!(
        elsewhere.keys().collect::<Vec<_>>(),
        ["evaluate", "featurize", "monitor", "train", "validate"]
    );
    assert!(
        spin.notes[0].contains("evaluate, featurize, monitor, train, validate (needs SQL: DuckDB is not on Spin)"),
        "{:?}",
        spin.notes
    );
    let launch = GEOCODE.replace("geocode.wasm", "launch.wasm");
    let spin = FLIGHTS.try_with(&launch).unwrap();
    assert!(
        spin.notes[0].contains("geocode (imports `acme:rockets/launch@1.0.0`, which Spin does not offer)"),
        "{:?}",
        spin.notes
    );
    assert!(!spin.manifest.component.contains_key("stage-geocode"));
}

#[test]
fn what_spin_does_not_take_is_said() {
    let refused = FLIGHTS.try_with(&GEOCODE.replace("\"geocode\"", "\"geo-2\"")).unwrap_err().message;
    assert!(
        refused.contains("`stage-geo-2`") && refused.contains("rename the stage"),
        "{refused}"
    );
    let refused = FLIGHTS.try_at(Some("/srv/store"), "").unwrap_err().message;
    assert!(
        refused.contains("`/srv/store`") && refused.contains("s3://bucket/prefix"),
        "{refused}"
    );
}

/// What a component may ask follows from the store and from the stage's own grants.
#[test]
fn hosts_are_the_fewest() {
    let hosts = |n: usize, id: &str| PROJECTS[n].spin().manifest.component[id].allowed_outbound_hosts.clone();
    let store = ["https://{{ bucket }}.s3.{{ aws_region }}.amazonaws.com", "{{ aws_endpoint_url }}"];
    assert_eq!(hosts(0, "predict"), store);
    assert_eq!(hosts(0, "stage-register"), store);
    assert_eq!(hosts(1, "stage-collect")[2..], ["https://sensors.example.org".to_owned()]);
    assert_eq!(
        hosts(1, "stage-weather-report")[2..],
        ["http://api.example.org".to_owned(), "https://api.example.org".to_owned()]
    );
    // No certificate fits a bucket with dots in its name.
    assert_eq!(hosts(2, "predict")[0], "https://s3.{{ aws_region }}.amazonaws.com");
    let written = PROJECTS[1].spin().manifest.variables;
    assert_eq!(written["bucket"].default.as_deref(), Some("tide"));
    assert_eq!(written["prefix"].default.as_deref(), Some("mill"));
    for name in ["aws_secret_access_key", "aws_session_token"] {
        assert!(written[name].secret, "{name}");
    }
    assert_eq!(written["aws_secret_access_key"].default, None);
}

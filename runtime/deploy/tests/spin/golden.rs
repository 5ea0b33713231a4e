//! The manifests of three projects, as they are committed. After a change that is meant, `TIDEMILL_UPDATE=1` writes them anew, and the
//! review reads the difference.

use tidemill_deploy::{
    difference::Difference,
    spin::{Recipe, Spin, check, manifest::sections},
};

use crate::projects::{FLIGHTS, GEOCODE, PROJECTS, compare};

fn between(old: &str, new: &str) -> Difference {
    let read = |text| sections("spin.toml", text).unwrap();
    Difference::of_templates(&read(old), &read(new))
}

#[test]
fn manifests_are_as_committed() {
    for project in &PROJECTS {
        let text = project.spin().manifest.toml().unwrap();
        compare(&format!("{}/spin.toml", project.manifest), &text, |committed| {
            between(committed, &text).render_text()
        });
        check("spin.toml", &text).unwrap();
    }
}

#[test]
fn one_more_stage_is_one_component() {
    let [before, after] = ["", GEOCODE].map(|more| FLIGHTS.try_spin(more).unwrap());
    let texts = [&before, &after].map(|spin| spin.manifest.toml().unwrap());
    let people = between(&texts[0], &texts[1]).render_text();
    let shown: Vec<&str> = people.lines().map(|line| line.split(": + {").next().unwrap()).collect();
    assert_eq!(
        shown.join("\n"),
        "application
  ~ application
      tool.tidemill.stages: + geocode
components
  ~ events
      environment.TIDEMILL_CONFIG.nodes[geocode:geocode]
0 to add, 2 to change, 0 to remove"
    );
    let chained = |spin: &Spin| match &spin.files[1].recipe {
        Recipe::Chain(stages) => stages.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(chained(&before), ["tidemill:register", "tidemill:retrain"]);
    assert_eq!(chained(&after), ["stages/geocode.wasm", "tidemill:register", "tidemill:retrain"]);
}

#[test]
fn a_changed_grant_is_named() {
    let wider = GEOCODE.replace("\"datasets/flights/**\"", "\"datasets/flights/**\", \"models/late/**\"");
    let [before, after] = [GEOCODE, &wider].map(|more| FLIGHTS.try_spin(more).unwrap().manifest.toml().unwrap());
    assert_eq!(
        between(&before, &after).render_text(),
        "components
  ~ events
      environment.TIDEMILL_CONFIG.nodes[geocode:geocode].reads: + models/late/**
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
    let spin = FLIGHTS.try_spin(&launch).unwrap();
    assert!(
        spin.notes[0].contains("geocode (imports `acme:rockets/launch@1.0.0`, which Spin does not offer)"),
        "{:?}",
        spin.notes
    );
}

#[test]
fn what_spin_does_not_take_is_said() {
    let refused = FLIGHTS.try_spin_at(Some("/srv/store"), "").unwrap_err().message;
    assert!(
        refused.contains("`/srv/store`") && refused.contains("s3://bucket/prefix"),
        "{refused}"
    );
}

/// What a component may ask follows from the store and from the stage's own grants.
#[test]
fn hosts_are_the_fewest() {
    let hosts = |n: usize, id: &str| PROJECTS[n].spin().manifest.component[id].allowed_outbound_hosts.clone();
    let store = ["https://{{ bucket }}.s3.{{ region }}.amazonaws.com", "{{ endpoint }}"];
    assert_eq!(hosts(0, "predict"), store);
    assert_eq!(hosts(0, "events"), store);
    assert_eq!(
        hosts(1, "events")[2..],
        ["https://sensors.example.org", "http://api.example.org", "https://api.example.org"].map(str::to_owned)
    );
    // No certificate fits a bucket with dots in its name.
    assert_eq!(hosts(2, "predict")[0], "https://s3.{{ region }}.amazonaws.com");
    let written = PROJECTS[1].spin().manifest.variables;
    assert_eq!(written["bucket"].default.as_deref(), Some("tide"));
    assert_eq!(written["prefix"].default.as_deref(), Some("mill"));
    for name in ["secret_access_key", "session_token"] {
        assert!(written[name].secret, "{name}");
    }
    assert_eq!(written["secret_access_key"].default, None);
}

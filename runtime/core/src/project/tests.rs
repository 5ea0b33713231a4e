//! Each kind of mistake in `tidemill.toml`, with the line and the column that its message names.

use super::Project;
use crate::{Error, ErrorKind, Result, pipeline::Node};

const GOOD: &str = r#"[project]
name = "flights"
[dataset.flights]
contract = "c.toml"
time = "at"
key = ["id"]
[features.late]
dataset = "flights"
sql = "f.sql"
label = "late"
holdout = { block = "1 day", share = 0.2 }
[model.late]
features = "late"
task = "binary"
gates = ["auc >= 0.6"]
retrain = { when = ["drift", "auc < training.auc - 0.03"] }
[store] # takes no line away from what follows
path = "s3://tide/mill"
"#;

fn read(path: &str) -> Result<String> {
    match path {
        "c.toml" => Ok("[columns]\nid = { type = \"integer\" }\nat = { type = \"timestamp\" }\n".into()),
        "typo.toml" => Ok("[columns]\nid = { type = \"integer\" }\nat = { typo = \"timestamp\" }\n".into()),
        "f.sql" => Ok("SELECT * FROM flights".into()),
        _ => Err(Error::not_found(format!("`{path}` is not there"))),
    }
}

fn check_error(text: &str, place: &str, part: &str) {
    let error = Project::parse(text, &read).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
    let message = &error.message;
    assert!(message.contains(part), "`{part}` is not in: {message}");
    let place = if place.contains(".toml") {
        format!("{place}: ")
    } else {
        format!("tidemill.toml:{place}: ")
    };
    assert!(message.starts_with(&place), "`{place}` is not the start of: {message}");
}

#[test]
fn the_chain_follows() {
    let project = Project::parse(GOOD, &read).unwrap();
    assert_eq!(project.store.path.as_deref(), Some("s3://tide/mill"));
    let observed = format!("{GOOD}[observe]\notlp = \"http://collector:4318\"\n");
    let observed = Project::parse(&observed, &read).unwrap();
    assert_eq!(observed.observe.otlp.as_deref(), Some("http://collector:4318"));
    let pipeline = project.pipeline;
    let edges: Vec<String> = pipeline.edges().into_iter().map(|e| format!("{} > {}", e.from, e.to)).collect();
    assert_eq!(
        edges,
        [
            "evaluate:late > register:late",
            "featurize:late > train:late",
            "monitor:late > retrain:late",
            "retrain:late > featurize:late",
            "train:late > evaluate:late",
            "validate:flights > monitor:late"
        ]
    );
    let triggered = pipeline.nodes.iter().filter(|node| node.is_triggered_by("raw/flights/2013-01.csv"));
    assert!(triggered.map(Node::id).eq(["validate:flights"]));
}

#[test]
fn mistakes_in_tables_are_named_with_their_place() {
    for (good, bad, place, part) in [
        ("time =", "tyme =", "5:1", "`tyme`"),
        ("task =", "tusk =", "14:1", "`tusk`"),
        ("label = ", "key = [\"x\"]\nlabel = ", "10:1", "`key`"),
        ("\"binary\"", "\"binery\"", "14:8", "`binery`"),
        ("share = 0.2 }", "share = 0.2, }}", "11:", ""),
        ("\"1 day\"", "\"one day\"", "11:21", "`one day`"),
        ("auc >= 0.6", "auc is 0.6", "15:10", "`is`"),
        ("path =", "paht =", "18:1", "`paht`"),
        ("\"flights\"\n[", "\"the flights\"\n[", "2:8", "`the flights`"),
        ("model.late]", "model.\"a b\"]", "12:8", "`a b`"),
        (
            "dataset = \"flights\"",
            "dataset = \"trains\"",
            "8:11",
            "unknown dataset `trains`; there is `flights`",
        ),
        (
            "features = \"late\"",
            "features = \"early\"",
            "13:12",
            "unknown features `early`; there is `late`",
        ),
        ("\"at\"", "\"when\"", "5:8", "`when` as key or time"),
        ("[\"id\"]", "[\"it\"]", "6:7", "`it` as key or time"),
        ("c.toml", "nowhere.toml", "4:12", "nowhere.toml"),
        ("f.sql", "nowhere.sql", "9:7", "nowhere.sql"),
        ("c.toml", "typo.toml", "typo.toml:3:8", "`typo`"),
        ("share = 0.2", "share = 1.2", "11:38", "(1.2)"),
        ("label =", "validation-share = 0.9\nlabel =", "10:20", "(0.9)"),
        ("- 0.03", "by 0.03", "16:30", "`by 0.03` follows"),
        ("training.auc", "champion.auc", "16:30", "compare with `training.auc`"),
        ("task =", "monitor = { window = \"0 days\" }\ntask =", "14:22", "need a length"),
        (
            "task =",
            "[model.late.monitor]\nfalse-alarm-rate = 2.0\n[model.late]\ntask =",
            "16:",
            "",
        ),
        ("task =", "monitor = { false-alarm-rate = 2.0 }\ntask =", "14:32", "`2`"),
        ("task =", "trainer = { rounds = 0 }\ntask =", "14:22", "`rounds` (0)"),
        (
            "task =",
            "trainer = { kind = \"onnx\" }\ntask =",
            "14:1",
            "tidemill models import late <file>",
        ),
        (
            "task =",
            "trainer = { kind = \"onnx\", onnx = \"model.onnx\" }\ntask =",
            "14:35",
            "`onnx = \"model.onnx\"`, which is no SHA-256",
        ),
        (
            "task =",
            "trainer = { onnx = \"model.onnx\" }\ntask =",
            "14:20",
            "or leave `onnx` out",
        ),
        (
            "key = [\"id\"]",
            "key = [\"id\"]\ncollect = { url = \"ftp://x\" }",
            "7:1",
            "`ftp://x` is not an http or https URL",
        ),
        (
            "key = [\"id\"]",
            "key = [\"id\"]\ncollect = { url = \"https://me:pw@x.org/a.csv\" }",
            "7:1",
            "`https://x.org/a.csv` has a name and a password",
        ),
        (
            "key = [\"id\"]",
            "key = [\"id\"]\ncollect = { url = \"https://x.org/a.csv\", header = { host = \"env:A\" } }",
            "7:1",
            "`header` cannot set `host`",
        ),
        (
            "key = [\"id\"]",
            "key = [\"id\"]\ncollect = { url = \"https://x.org/a.csv\", header = { authorization = \"Bearer s3cr3t\" } }",
            "7:1",
            "`header`, `authorization`: the value of a header is `env:NAME` or `file:/path`",
        ),
        (
            "key = [\"id\"]",
            "key = [\"id\"]\ncollect = { prefix = \"inbox\", header = { authorization = \"env:A\" } }",
            "7:1",
            "`header` is for `url`",
        ),
        (
            "key = [\"id\"]",
            "key = [\"id\"]\ncollect = {}",
            "7:1",
            "exactly one of `url` and `prefix`",
        ),
    ] {
        let text = GOOD.replacen(good, bad, 1);
        if place.ends_with(':') {
            let message = Project::parse(&text, &read).unwrap_err().message;
            assert!(
                message.starts_with(&format!("tidemill.toml:{place}")) && message.contains(part),
                "{message}"
            );
        } else {
            check_error(&text, place, part);
        }
    }
}

#[test]
fn secrets_are_not_repeated() {
    for collect in [
        "url = \"https://me:s3cr3t@x.org/a.csv\"",
        "url = \"ftp://me:s3cr3t@x.org/a.csv?s3cr3t\"",
        "url = \"https://x.org/a.csv\", header = { authorization = \"Bearer s3cr3t\" }",
    ] {
        let text = GOOD.replacen("key = [\"id\"]", &format!("key = [\"id\"]\ncollect = {{ {collect} }}"), 1);
        let message = Project::parse(&text, &read).unwrap_err().message;
        assert!(
            message.starts_with("tidemill.toml:7:1: ") && !message.contains("s3cr3t"),
            "{message}"
        );
    }
}

#[test]
fn mistakes_in_added_stages_are_named_with_their_place() {
    for (stage, place, part) in [
        (
            "name = \"geo code\"\ncomponent = \"g.wasm\"\non = \"raw/x/**\"",
            "20:8",
            "`geo code`",
        ),
        ("name = \"geocode\"\non = \"raw/x/**\"", "20:8", "needs `component`"),
        ("name = \"geocode\"\ncomponent = \"g.wasm\"", "20:8", "is never triggered"),
        (
            "name = \"a\"\ncomponent = \"a.wasm\"\non = \"raw/x/**\"\nwrites = [\"raw/**\"]",
            "23:10",
            "would trigger itself",
        ),
        (
            "name = \"a\"\ncomponent = \"a.wasm\"\non = \"raw/x/**\"\nwrites = [\"outcomes/a/**\"]",
            "23:10",
            "belong to the host",
        ),
        (
            "name = \"a\"\ncomponent = \"a.wasm\"\non = \"raw/x/**\"\nwrites = [\"{outcomes,a}/**\"]",
            "23:10",
            "belong to the host",
        ),
        (
            "name = \"a\"\ncomponent = \"a.wasm\"\non = \"raw/x/**\"\nwrites = [\"features/**\"]",
            "23:10",
            "must not be able to write the same key",
        ),
        (
            "name = \"a\"\ncomponent = \"a.wasm\"\non = \"outcomes/vallidate/flights/*\"",
            "22:6",
            "waits for `outcomes/vallidate/flights/*`, which no stage of this project writes; there are `outcomes/validate/flights/*`",
        ),
        (
            "name = \"a\"\ncomponent = \"a.wasm\"\non = \"outcomes/validate/flihgts/*\"",
            "22:6",
            "`outcomes/validate/flihgts/*`, which no stage",
        ),
        (
            "name = \"a\"\ncomponent = \"a.wasm\"\non = \"outcomes/collect/**\"",
            "22:6",
            "`outcomes/collect/**`, which no stage",
        ),
        ("name = \"train\"\nwrites = [\"x/**\"]", "21:10", "one of the nine"),
        ("name = \"train\"\non = \"x/**\"", "21:6", "one of the nine"),
        (
            "name = \"a\"\ncomponent = \"a.wasm\"\non = \"b/**\"\nwrites = [\"a/**\"]\n[[stage]]\nname = \"b\"\ncomponent = \"b.wasm\"\non = \"a/**\"\nwrites = [\"b/**\"]",
            "22:6",
            "a:a → b:b → a:a",
        ),
        (
            "name = \"a\"\ncomponent = \"a.wasm\"\non = \"b/**\"\n[[stage]]\nname = \"a\"\ncomponent = \"b.wasm\"\non = \"a/**\"",
            "24:8",
            "is defined twice",
        ),
    ] {
        check_error(&format!("{GOOD}[[stage]]\n{stage}"), place, part);
    }
}

#[test]
fn a_message_shows_the_line() {
    let text = GOOD.replace("\"binary\"", "\"binery\"");
    let message = Project::parse(&text, &read).unwrap_err().message;
    assert!(
        message.ends_with("\n   |\n14 | task = \"binery\"\n   |        ^^^^^^^^"),
        "{message}"
    );
}

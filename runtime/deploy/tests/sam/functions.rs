//! What follows from a node, from the processor, and from a run that failed for good.

use serde_json::{Value as Json, json};
use tidemill_deploy::sam::{Architecture, Options, render};

use crate::projects::{FLIGHTS, PROJECTS};

fn of(template: &Json, name: &str) -> Json {
    template["Resources"][name]["Properties"].clone()
}

/// Tidemill's `register` and `retrain` write a few records. What runs in their place may ask SQL and read data, and its order matters as
/// much.
#[test]
fn another_component_gets_room_for_data() {
    let ours = FLIGHTS.sam().json().unwrap();
    let replaced = "\n[[stage]]\nname = \"register\"\ncomponent = \"own.wasm\"\n";
    let theirs = FLIGHTS.sam_with(replaced).json().unwrap();
    let memory = |template: &Json| template["Parameters"]["RegisterMemory"]["Default"].as_u64().unwrap();
    assert_eq!(memory(&theirs), memory(&ours) + 1024);
    let (ours, theirs) = (of(&ours, "RegisterLateFunction"), of(&theirs, "RegisterLateFunction"));
    let room = |function: &Json| function["EphemeralStorage"]["Size"].as_u64().unwrap();
    assert_eq!((room(&ours), room(&theirs)), (512, 4096));
    let batch = |function: &Json| function["Events"]["Queue"]["Properties"]["BatchSize"].as_u64().unwrap();
    assert_eq!((batch(&ours), batch(&theirs)), (10, 1));
    assert_eq!(ours["ReservedConcurrentExecutions"], theirs["ReservedConcurrentExecutions"]);
    assert!(theirs["ReservedConcurrentExecutions"].is_object());
}

/// A run that fails for good leaves a dead letter in the store. The alarm looks at the dead-letter queue: a rule brings it there.
#[test]
fn a_dead_letter_in_the_store_reaches_the_alarm() {
    for project in &PROJECTS {
        let template = project.sam().json().unwrap();
        let resources = template["Resources"].as_object().unwrap();
        let functions = resources.keys().filter_map(|name| name.strip_suffix("DeadLettersAlarm"));
        for function in functions.filter(|name| *name != "Coordinator") {
            let rule = of(&template, &format!("{function}OnDeadLetter"));
            let queue = format!("{function}DeadLetters");
            assert_eq!(
                rule["Targets"],
                json!([{ "Id": "queue", "Arn": { "Fn::GetAtt": [queue, "Arn"] } }]),
                "{function}"
            );
            let prefix = rule["EventPattern"]["detail"]["object"]["key"][0]["prefix"].as_str().unwrap();
            let role = of(&template, &format!("{function}Role")).to_string();
            assert!(prefix.starts_with("dead/") && prefix.ends_with('/'), "{function}: {prefix}");
            assert!(
                role.contains(&format!("${{Store.Arn}}/{prefix}*")),
                "{function} writes its dead letters elsewhere than under {prefix}"
            );
            let policy = of(&template, &format!("{function}QueuePolicy")).to_string();
            assert!(
                policy.contains(&format!("\"{function}OnDeadLetter\"")),
                "the rule may not send: {policy}"
            );
            let watched = of(&template, &format!("{function}DeadLettersAlarm"));
            assert_eq!(watched["Dimensions"][0]["Value"], json!({ "Fn::GetAtt": [queue, "QueueName"] }));
        }
    }
}

/// Without a parameter, the stack is for the processor that the programs beside the template were built for.
#[test]
fn the_default_architecture_is_that_of_the_programs() {
    let pipeline = FLIGHTS.pipeline("").unwrap();
    for architecture in Architecture::ALL {
        let options = Options {
            architecture,
            ..Options::default()
        };
        let template = render(&pipeline, &options).unwrap().json().unwrap();
        let parameter = &template["Parameters"]["Architecture"];
        assert_eq!(parameter["Default"], architecture.name());
        assert_eq!(parameter["AllowedValues"], json!(["arm64", "x86_64"]));
    }
    assert_eq!(Options::default().architecture, Architecture::Arm64);
}

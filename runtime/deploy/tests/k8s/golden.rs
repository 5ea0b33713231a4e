//! The manifests of the demo's project, as they are committed. After a change that is meant, `TIDEMILL_UPDATE=1` writes them anew, and the
//! review reads the difference.

use std::fs;

use tidemill_deploy::{
    difference::Difference,
    k8s::{FILES, KUSTOMIZATION, Kubernetes, Options, read, sections},
};

use super::{options, other_options};
use crate::projects::{FLIGHTS, GEOCODE, PROJECTS, compare, root};

/// The folder of the example.
const EXAMPLE: &str = "infra/k8s";

#[test]
fn manifests_are_as_committed() {
    let kubernetes = FLIGHTS.k8s(&options());
    for file in &kubernetes.files {
        let text = file.yaml();
        compare(&format!("{EXAMPLE}/{}", file.name), &text, |committed| {
            let [old, new] = [committed, &text].map(|text| sections(&read(file.name, text).unwrap_or_default()));
            Difference::of_templates(&old, &new).render_text()
        });
    }
    let there = fs::read_dir(root().join(EXAMPLE)).unwrap().count();
    assert_eq!(there, kubernetes.files.len(), "a file is committed that is not written");
}

/// What is written is what is read, whatever is in the project's files.
#[test]
fn yaml_comes_back_as_it_was() {
    for project in &PROJECTS {
        for options in [options(), other_options()] {
            for file in project.k8s(&options).files {
                assert!(FILES.contains(&file.name), "{}", file.name);
                assert_eq!(read(file.name, &file.yaml()).unwrap(), file.objects);
            }
        }
    }
}

#[test]
fn the_first_file_names_the_others() {
    let kubernetes = FLIGHTS.k8s(&other_options());
    let (first, rest) = kubernetes.files.split_first().unwrap();
    assert_eq!((first.name, &first.objects[0]["namespace"]), (KUSTOMIZATION, &"ml".into()));
    let named: Vec<&str> = first.objects[0]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|name| name.as_str())
        .collect();
    assert_eq!(named, rest.iter().map(|file| file.name).collect::<Vec<_>>());
}

fn between(old: &Kubernetes, new: &Kubernetes) -> String {
    Difference::of_templates(&old.sections(), &new.sections()).render_text()
}

/// Another configuration is another ConfigMap, which a roll-back finds unchanged, and the pods are replaced.
#[test]
fn a_changed_project_is_another_config_map() {
    let [before, after] = ["", "\n[serve]\nidle-seconds = 120\n"].map(|more| FLIGHTS.try_k8s(more, &options()).unwrap());
    let text = between(&before, &after);
    let lines: Vec<&str> = text.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert!(text.ends_with("1 to add, 2 to change, 1 to remove"), "{text}");
    assert!(
        lines.contains(&"  ~ flights-coordinator") && lines.contains(&"  ~ flights"),
        "{text}"
    );
    assert!(text.contains("spec.template.spec.volumes[project].configMap.name"), "{text}");
}

#[test]
fn another_option_changes_what_it_names() {
    let with = |change: fn(&mut Options)| {
        let mut options = options();
        change(&mut options);
        FLIGHTS.k8s(&options)
    };
    let before = FLIGHTS.k8s(&options());
    let more = between(&before, &with(|options| options.servers = 3));
    assert!(
        more.contains("spec.minReplicas: 2 → 3") && more.ends_with("0 to add, 1 to change, 0 to remove"),
        "{more}"
    );
    let volume = between(&before, &with(|options| options.log_volume = Some("1Gi".into())));
    assert!(
        volume.contains("StatefulSet") && volume.ends_with("1 to add, 1 to change, 1 to remove"),
        "{volume}"
    );
    let without = between(&before, &with(|options| options.has_monitor = false));
    assert!(without.ends_with("0 to add, 1 to change, 1 to remove"), "{without}");
    // The project's files are in the image, whatever they are.
    let inside = with(|options| options.project_in_image = true);
    assert!(super::of_kind(&inside, "ConfigMap").is_empty());
    let larger = FLIGHTS.try_k8s(GEOCODE, &options()).unwrap();
    assert!(
        between(&before, &larger).contains("flights-project-"),
        "{}",
        between(&before, &larger)
    );
}

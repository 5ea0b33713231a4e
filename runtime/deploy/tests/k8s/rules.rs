//! What no schema says: that objects find each other, that pods have no rights but those that they need, and what is refused.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tidemill_deploy::k8s::{Kubernetes, Options};

use super::{objects, of_kind, options, other_options};
use crate::projects::{FLIGHTS, PROJECTS, Project};

/// Each project with both options.
fn each() -> Vec<Kubernetes> {
    let options = [options(), other_options()];
    let mut rendered = Vec::new();
    for project in &PROJECTS {
        rendered.extend(options.iter().map(|options| project.k8s(options)));
    }
    rendered
}

fn workloads(kubernetes: &Kubernetes) -> Vec<&Json> {
    ["Deployment", "StatefulSet"]
        .into_iter()
        .flat_map(|kind| of_kind(kubernetes, kind))
        .collect()
}

fn pod(workload: &Json) -> &Json {
    &workload["spec"]["template"]["spec"]
}

fn container(workload: &Json) -> &Json {
    &pod(workload)["containers"][0]
}

/// Whether labels fulfil a selector.
fn selects(selector: &Json, labels: &Json) -> bool {
    let selector = selector.as_object().unwrap();
    assert!(!selector.is_empty(), "an empty selector selects everything");
    selector.iter().all(|(name, value)| labels[name] == *value)
}

fn names<'a>(of: impl IntoIterator<Item = &'a Json>) -> BTreeSet<&'a str> {
    of.into_iter().map(|one| one["name"].as_str().unwrap()).collect()
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn selectors_find_their_pods() {
    for kubernetes in each() {
        let workloads = workloads(&kubernetes);
        assert_eq!(workloads.len(), 2);
        let selected = |selector: &Json| {
            let labels = workloads.iter().map(|workload| &workload["spec"]["template"]["metadata"]["labels"]);
            labels.filter(|labels| selects(selector, labels)).count()
        };
        for workload in &workloads {
            assert_eq!(selected(&workload["spec"]["selector"]["matchLabels"]), 1);
            assert_eq!(
                selected(&pod(workload)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]),
                1
            );
        }
        let services = of_kind(&kubernetes, "Service");
        for service in &services {
            assert_eq!(selected(&service["spec"]["selector"]), 1);
        }
        assert_eq!(
            selected(&of_kind(&kubernetes, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"]),
            1
        );
        for policy in of_kind(&kubernetes, "NetworkPolicy") {
            assert_ne!(selected(&policy["spec"]["podSelector"]["matchLabels"]), 0, "{policy}");
        }
        let monitor = &of_kind(&kubernetes, "ServiceMonitor")[0]["spec"]["selector"]["matchLabels"];
        assert!(services.iter().all(|service| selects(monitor, &service["metadata"]["labels"])));
        let target = &of_kind(&kubernetes, "HorizontalPodAutoscaler")[0]["spec"]["scaleTargetRef"];
        let is_target = |workload: &&&Json| workload["kind"] == target["kind"] && workload["metadata"]["name"] == target["name"];
        assert_eq!(workloads.iter().filter(is_target).count(), 1);
    }
}

#[test]
fn every_named_port_is_there() {
    for kubernetes in each() {
        for workload in workloads(&kubernetes) {
            let ports = names(list(&container(workload)["ports"]));
            for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
                assert!(ports.contains(container(workload)[probe]["httpGet"]["port"].as_str().unwrap()));
            }
            for service in of_kind(&kubernetes, "Service") {
                assert!(ports.contains(service["spec"]["ports"][0]["targetPort"].as_str().unwrap()));
                let endpoints = list(&of_kind(&kubernetes, "ServiceMonitor")[0]["spec"]["endpoints"]);
                let ports = names(list(&service["spec"]["ports"]));
                assert!(endpoints.iter().all(|endpoint| ports.contains(endpoint["port"].as_str().unwrap())));
            }
            for policy in of_kind(&kubernetes, "NetworkPolicy") {
                let rules = list(&policy["spec"]["ingress"]).iter().flat_map(|rule| list(&rule["ports"]));
                assert!(rules.filter_map(|rule| rule["port"].as_str()).all(|port| ports.contains(port)));
            }
            let address = format!("0.0.0.0:{}", container(workload)["ports"][0]["containerPort"]);
            assert!(list(&container(workload)["args"]).contains(&json!(address)));
        }
    }
}

#[test]
fn names_are_for_the_dns() {
    for kubernetes in each() {
        for object in objects(&kubernetes) {
            let name = object["metadata"]["name"].as_str().unwrap();
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(name.len() <= 63 && name.chars().all(is_plain) && name.starts_with(|c: char| c.is_ascii_lowercase()));
            for label in object["metadata"]["labels"].as_object().unwrap().values() {
                assert!(label.as_str().unwrap().len() <= 63, "{label}");
            }
        }
    }
}

#[test]
fn pods_have_no_rights_and_write_to_volumes_alone() {
    for kubernetes in each() {
        for workload in workloads(&kubernetes) {
            let (pod, container) = (pod(workload), container(workload));
            assert_eq!(pod["automountServiceAccountToken"], false);
            let account = of_kind(&kubernetes, "ServiceAccount")[0];
            assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
            assert_eq!(container["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
            let mut volumes = names(list(&pod["volumes"]));
            volumes.extend(
                list(&workload["spec"]["volumeClaimTemplates"])
                    .iter()
                    .map(|claim| claim["metadata"]["name"].as_str().unwrap()),
            );
            assert_eq!(names(list(&container["volumeMounts"])), volumes);
            let mounts = list(&container["volumeMounts"]);
            let written: Vec<&Json> = mounts
                .iter()
                .filter(|mount| mount["readOnly"] != true)
                .map(|mount| &mount["mountPath"])
                .collect();
            assert_eq!(written, ["/data", "/cache", "/tmp"]);
            let state = list(&container["env"])
                .iter()
                .find(|variable| variable["name"] == "TIDEMILL_STATE")
                .unwrap();
            assert_eq!(state["value"], "/data");
        }
    }
}

#[test]
fn the_project_is_mounted_whole() {
    for kubernetes in each() {
        let map = of_kind(&kubernetes, "ConfigMap")[0];
        let keys: BTreeSet<&String> = ["data", "binaryData"]
            .into_iter()
            .filter_map(|part| map[part].as_object())
            .flat_map(|part| part.keys())
            .collect();
        for workload in workloads(&kubernetes) {
            let volume = list(&pod(workload)["volumes"])
                .iter()
                .find(|volume| volume["name"] == "project")
                .unwrap();
            assert_eq!(volume["configMap"]["name"], map["metadata"]["name"]);
            let items = list(&volume["configMap"]["items"]);
            assert_eq!(items.len(), keys.len());
            assert!(items.iter().all(|item| keys.iter().any(|key| item["key"] == **key)));
        }
    }
    let map = PROJECTS[1].k8s(&options());
    let map = of_kind(&map, "ConfigMap")[0];
    assert_eq!(map["binaryData"]["stages.geocode.wasm"], "AGFzbQ3/");
}

/// The ports that pods may reach, of the policy with this end of its name.
fn egress(kubernetes: &Kubernetes, end: &str) -> Vec<u64> {
    let policies = of_kind(kubernetes, "NetworkPolicy").into_iter();
    let policy = policies.filter(|policy| policy["metadata"]["name"].as_str().unwrap().ends_with(end));
    let rules = policy
        .flat_map(|policy| list(&policy["spec"]["egress"]))
        .flat_map(|rule| list(&rule["ports"]));
    rules.map(|rule| rule["port"].as_u64().unwrap()).collect()
}

#[test]
fn pods_reach_what_the_project_needs() {
    let flights = FLIGHTS.k8s(&options());
    assert_eq!(egress(&flights, "-egress"), [53, 53, 443]);
    assert!(egress(&flights, "-fetch").is_empty(), "it fetches nothing");
    assert_eq!(egress(&FLIGHTS.k8s(&other_options()), "-egress"), [53, 53, 443, 9000]);
    let more = "\n[observe]\notlp = \"http://collector:4318\"\n\n[[stage]]\nname = \"weather\"\ncomponent = \"weather.wasm\"\non = \"drop/**\"\n\
                fetch = [\"api.example.org:8443\", \"other.example.org\"]\n";
    let fetching = FLIGHTS.try_k8s(more, &options()).unwrap();
    assert_eq!(egress(&fetching, "-egress"), [53, 53, 443, 4318]);
    assert_eq!(egress(&fetching, "-fetch"), [80, 8443]);
    let environment = |kubernetes: &Kubernetes| container(workloads(kubernetes)[0])["env"].clone();
    let other = environment(&FLIGHTS.k8s(&other_options()));
    assert!(
        list(&other).contains(&json!({ "name": "AWS_ALLOW_HTTP", "value": "true" })),
        "{other}"
    );
}

#[test]
fn credentials_come_from_a_role_or_a_secret() {
    let with_secret = FLIGHTS.k8s(&options());
    assert_eq!(with_secret.secret.as_deref(), Some("flights-store"));
    for workload in workloads(&with_secret) {
        assert_eq!(
            container(workload)["envFrom"],
            json!([{ "secretRef": { "name": "flights-store" } }])
        );
    }
    let with_role = FLIGHTS.k8s(&other_options());
    assert_eq!(with_role.secret, None);
    assert!(
        workloads(&with_role)
            .iter()
            .all(|workload| container(workload)["envFrom"].is_null())
    );
    let annotations = &of_kind(&with_role, "ServiceAccount")[0]["metadata"]["annotations"];
    assert_eq!(annotations["eks.amazonaws.com/role-arn"], "arn:aws:iam::123456789012:role/flights");
    let collect = |secret: &str| {
        let header =
            format!("collect = {{ url = \"https://example.org/s.csv\", every = \"1 hour\", header = {{ authorization = \"{secret}\" }} }}");
        format!("\n[dataset.more]\ncontract = \"contracts/flights.toml\"\ntime = \"scheduled_departure\"\nkey = [\"flight\"]\n{header}\n")
    };
    let collecting = FLIGHTS.try_k8s(&collect("env:SENSORS"), &options()).unwrap();
    let reference = json!({ "name": "SENSORS", "valueFrom": { "secretKeyRef": { "name": "flights-collect", "key": "SENSORS" } } });
    let has_reference = |workload: &Json| list(&container(workload)["env"]).contains(&reference);
    let holders: Vec<bool> = workloads(&collecting).into_iter().map(has_reference).collect();
    assert_eq!(holders, [true, false], "the coordinator alone collects");
    assert!(
        collecting
            .notes
            .iter()
            .any(|note| note.contains("`SENSORS`") && note.contains("`flights-collect`"))
    );
    let refused = FLIGHTS.try_k8s(&collect("file:/run/token"), &options()).unwrap_err().message;
    assert!(refused.contains("`file:/run/token`") && refused.contains("`env:NAME`"), "{refused}");
}

/// Memory follows from the limits of the stages.
#[test]
fn memory_follows_from_the_stages() {
    let resources = |project: &Project, more: &str| {
        let kubernetes = project.try_k8s(more, &options()).unwrap();
        let coordinators = workloads(&kubernetes)
            .into_iter()
            .map(container)
            .find(|container| container["args"][0] == "up");
        coordinators.unwrap()["resources"].clone()
    };
    let flights = resources(&FLIGHTS, "");
    assert_eq!(
        (&flights["requests"]["memory"], &flights["limits"]["memory"]),
        (&json!("4Gi"), &json!("9Gi"))
    );
    let larger = resources(&FLIGHTS, "\n[[stage]]\nname = \"train\"\nmemory-megabytes = 6000\n");
    assert_ne!(flights["limits"]["memory"], larger["limits"]["memory"]);
}

/// There is one coordinator at a time, and a server is ready before another one goes.
#[test]
fn pods_are_replaced_in_order() {
    let flights = FLIGHTS.k8s(&options());
    let [coordinator, servers] = workloads(&flights)[..] else {
        panic!("two workloads")
    };
    assert_eq!(
        (&coordinator["spec"]["replicas"], &coordinator["spec"]["strategy"]["type"]),
        (&json!(1), &json!("Recreate"))
    );
    assert_eq!(servers["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    assert!(servers["spec"]["replicas"].is_null(), "the autoscaler says how many");
    // What `[serve]` says goes before the option.
    let delayed = FLIGHTS.try_k8s("\n[serve]\nstop-delay-seconds = 30\n", &options()).unwrap();
    for workload in workloads(&delayed) {
        assert!(!list(&container(workload)["args"]).contains(&json!("--stop-delay")));
    }
    let grace = |kubernetes: &Kubernetes, n: usize| pod(workloads(kubernetes)[n])["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert_eq!(grace(&delayed, 1), grace(&flights, 1) + 20);
}

#[test]
fn what_kubernetes_does_not_take_is_said() {
    let refused = |change: &dyn Fn(&mut Options)| {
        let mut options = options();
        change(&mut options);
        FLIGHTS.try_k8s("", &options).unwrap_err().message
    };
    let folder = refused(&|options| options.store = "/project/.tidemill/store".into());
    assert!(
        folder.contains("`/project/.tidemill/store`") && folder.contains("s3://bucket/prefix"),
        "{folder}"
    );
    assert!(refused(&|options| options.image = "two words".into()).contains("`two words`"));
    assert!(refused(&|options| options.servers = 0).contains("at least one"));
    assert!(refused(&|options| options.max_servers = 1).contains("`--servers 2` and `--max-servers 1`"));
    assert!(refused(&|options| options.endpoint = Some("storage:9000".into())).contains("`--endpoint` is `storage:9000`"));
    assert!(refused(&|options| options.namespace = Some("My_Space".into())).contains("`--namespace` is `My_Space`"));
    for wrong in ["1", "Gi", "0Gi", "1.5Gi", "1 Gi", "1gb"] {
        assert!(
            refused(&|options| options.log_volume = Some(wrong.into())).contains(&format!("`{wrong}`")),
            "{wrong}"
        );
    }
}

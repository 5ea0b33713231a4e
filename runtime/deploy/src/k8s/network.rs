//! What reaches the pods, and what they reach: nothing but what a policy here allows. Policies select by label and port; a host that a stage
//! may fetch from is checked by the stage's own sandbox.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tidemill_core::Result;

use super::{
    address::{HTTPS, host_ports, url_port},
    build::{Build, PORT_NAME},
    coordinator, servers,
};

const DNS: u16 = 53;

pub(super) fn policies(build: &Build<'_>) -> Result<Vec<Json>> {
    let base = &build.names.base;
    let everything = build.instance();
    let http = json!([{ "protocol": "TCP", "port": PORT_NAME }]);
    let same_namespace = json!({ "podSelector": {} });
    let monitoring = json!({
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": build.options.monitoring_namespace } }
    });
    let mut policies = vec![
        policy(
            build,
            &format!("{base}-deny"),
            &everything,
            json!({ "policyTypes": ["Ingress", "Egress"] }),
        ),
        policy(
            build,
            base,
            &build.selector(servers::COMPONENT),
            json!({ "policyTypes": ["Ingress"], "ingress": [{ "ports": http }] }),
        ),
        // It has no authentication of its own, and takes data.
        policy(
            build,
            &build.names.coordinator,
            &build.selector(coordinator::COMPONENT),
            json!({ "policyTypes": ["Ingress"], "ingress": [{ "from": [same_namespace, monitoring], "ports": http }] }),
        ),
        policy(build, &format!("{base}-egress"), &everything, egress(egress_ports(build)?)),
    ];
    let fetched = fetch_ports(build);
    if !fetched.is_empty() {
        let ports = fetched.into_iter().map(tcp).collect::<Vec<_>>();
        policies.push(policy(
            build,
            &format!("{base}-fetch"),
            &build.selector(coordinator::COMPONENT),
            json!({ "policyTypes": ["Egress"], "egress": [{ "ports": ports }] }),
        ));
    }
    Ok(policies)
}

fn policy(build: &Build<'_>, name: &str, selector: &Json, rules: Json) -> Json {
    let mut spec = json!({ "podSelector": { "matchLabels": selector } });
    if let (Json::Object(spec), Json::Object(rules)) = (&mut spec, rules) {
        spec.extend(rules);
    }
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": build.metadata(name, None),
        "spec": spec,
    })
}

/// Names are asked of any server, for where the cluster's is differs; connections go to these ports.
fn egress(ports: BTreeSet<u16>) -> Json {
    let dns = json!([{ "protocol": "UDP", "port": DNS }, { "protocol": "TCP", "port": DNS }]);
    let ports: Vec<Json> = ports.into_iter().map(tcp).collect();
    json!({ "policyTypes": ["Egress"], "egress": [{ "ports": dns }, { "ports": ports }] })
}

/// The ports of the store, of what gives credentials, and of the collector of metrics.
fn egress_ports(build: &Build<'_>) -> Result<BTreeSet<u16>> {
    let mut ports = BTreeSet::from([HTTPS]);
    if let Some(endpoint) = &build.options.endpoint {
        ports.insert(url_port("`--endpoint`", endpoint)?);
    }
    if let Some(collector) = &build.source.observe.otlp {
        ports.insert(url_port("`otlp` of [observe]", collector)?);
    }
    Ok(ports)
}

/// The ports of the hosts that stages may fetch from, beside those that every pod reaches.
fn fetch_ports(build: &Build<'_>) -> BTreeSet<u16> {
    let hosts = build.source.pipeline.nodes.iter().flat_map(|node| &node.fetch);
    let mut ports: BTreeSet<u16> = hosts.flat_map(|host| host_ports(host)).collect();
    ports.remove(&HTTPS);
    ports
}

fn tcp(port: u16) -> Json {
    json!({ "protocol": "TCP", "port": port })
}

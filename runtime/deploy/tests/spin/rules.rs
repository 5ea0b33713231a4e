//! Spin's rules for manifests: what it takes passes, and what it refuses is refused with what to change.

use tidemill_deploy::spin::check;

const GOOD: &str = r#"
spin_manifest_version = 2

[application]
name = "tide"
version = "1.0.0"
authors = ["mill@example.org"]
targets = ["spin-up:4.1", { url = "https://example.org/environment.toml" }]

[application.trigger.redis]
address = "redis://example.org:6379"

[application.tool.anything]
at = { all = [1, 2] }

[variables]
host = { default = "https://example.org" }
key = { required = true, secret = true, description = "of the host" }

[[trigger.http]]
route = "/v2/..."
component = "a"

[[trigger.http]]
route = "/user/:name"
component = { source = "inline.wasm", allowed_outbound_hosts = ["{{ host }}"] }

[[trigger.http]]
route = { private = true }
component = "b"

[[trigger.http]]
route = "/gone"
static_response = { status_code = 410, headers = { a = "b" }, body = "gone" }

[[trigger.redis]]
channel = "tides"
component = "a"

[[trigger.cron]]
component = "b"
cron_expression = "0 * * * * *"

[component.a]
source = "a.wasm"
description = "d"
environment = { Any = "text" }
variables = { my_key = "{{ key }} of {{ host }}" }
files = ["assets/**", { source = "content", destination = "/" }]
exclude_files = ["**/secret"]
allowed_outbound_hosts = ["{{ host }}", "https://{{ key }}.example.org", "https://example.org:443", "*://*:*"]
key_value_stores = ["default", "my_store", "my-store"]
sqlite_databases = ["default"]
ai_models = ["llama2-chat"]
dependencies_inherit_configuration = true

[component.a.build]
command = ["one", "two"]
workdir = "x"
watch = ["src/**"]

[component.a.dependencies]
"a:b/c" = { version = "^1", package = "a:b", export = "d", inherit_configuration = ["ai_models"] }
"a:c" = ">= 1"
plain = { path = "p.wasm" }

[component.a.profile.debug]
source = "debug.wasm"
build.command = "debug"

[component.b]
source = { url = "https://example.org/b.wasm", digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123" }
"#;

#[test]
fn what_spin_takes_passes() {
    check("spin.toml", GOOD).unwrap();
    check(
        "spin.toml",
        "spin_manifest_version = 2\n[application]\nname = \"x\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = { source = \"x.wasm\" }\n",
    )
    .unwrap();
}

/// In the good manifest, this becomes that, and the error says so.
fn refused(from: &str, to: &str, parts: &[&str]) {
    assert!(GOOD.contains(from), "`{from}` is not in the manifest");
    let error = check("spin.toml", &GOOD.replacen(from, to, 1)).unwrap_err().message;
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn unknown_keys_are_refused() {
    refused(
        "[application]\n",
        "[application]\ntitle = 1\n",
        &["application: `title` is not known here", "authors"],
    );
    refused(
        "[variables]\n",
        "[varibles]\n",
        &["the file: `varibles` is not known here", "variables"],
    );
    refused("description = \"d\"", "descripton = \"d\"", &["component.a: `descripton`"]);
    refused("workdir = \"x\"", "folder = \"x\"", &["component.a.build: `folder`", "workdir"]);
    refused("secret = true", "hidden = true", &["variables.key: `hidden`", "secret"]);
    refused(
        "route = \"/v2/...\"",
        "route = \"/v2/...\"\nmethod = \"GET\"",
        &["trigger.http[0]: `method`"],
    );
    refused(
        "destination = \"/\"",
        "to = \"/\"",
        &["component.a.files[1]: `to`", "`destination` is missing"],
    );
    refused(
        "allowed_outbound_hosts = [\"{{ host }}\"]",
        "hosts = []",
        &["trigger.http[1].component: `hosts`"],
    );
}

#[test]
fn version_1_is_refused() {
    refused(
        "spin_manifest_version = 2",
        "spin_manifest_version = \"1\"",
        &["the number 2", "old Spins"],
    );
    refused(
        "spin_manifest_version = 2",
        "spin_version = \"1\"",
        &["write `spin_manifest_version = 2`"],
    );
    refused(
        "[component.b]\n",
        "[component.b.trigger]\nroute = \"/x\"\n[component.b]\n",
        &["component.b: `trigger` is not known here", "[[trigger.http]]"],
    );
    refused(
        "[application]\n",
        "name = \"tide\"\n[application]\n",
        &["it belongs to [application]"],
    );
}

#[test]
fn names_are_as_spin_wants_them() {
    refused("[component.b]", "[component.b_c]", &["the name `b_c`", "the character `_`"]);
    refused("component = \"b\"", "component = \"b_c\"", &["`b_c` has the character `_`"]);
    refused("key = { required", "my-key = { required", &["the name `my-key`"]);
    refused("my_key = ", "MyKey = ", &["component.a.variables: the name `MyKey`"]);
    refused("\"my-store\"]", "\"my store\"]", &["key_value_stores[2]", "`my store`"]);
}

#[test]
fn triggers_call_what_is_there() {
    refused(
        "component = \"b\"",
        "component = \"c\"",
        &["trigger.http[2]: there is no component `c`; there is `a`, `b`"],
    );
    refused(
        "route = \"/v2/...\"",
        "route = \"v2\"",
        &["trigger.http[0].route: `v2` does not begin with `/`"],
    );
    refused("route = \"/v2/...\"", "route = \"/.../v2\"", &["before its end"]);
    refused("route = \"/v2/...\"\n", "", &["trigger.http[0]: `route` is missing"]);
    refused("private = true", "private = false", &["`false`", "not `true`"]);
    refused("/user/:name", "/v2/...", &["the route `/v2/...` is there twice"]);
    refused(
        "route = \"/gone\"",
        "route = \"/gone\"\ncomponent = \"a\"",
        &["which of them answers?"],
    );
    refused("status_code = 410", "status_code = 4100", &["a status from 100 to 599"]);
    refused("channel = \"tides\"\n", "", &["trigger.redis[0]: `channel` is missing"]);
}

#[test]
fn variables_have_a_value_and_are_there() {
    refused("required = true, ", "", &["variables.key: it has neither of"]);
    refused(
        "{ default = \"https",
        "{ required = true, default = \"https",
        &["variables.host: it has both of"],
    );
    refused(
        "{ default = \"https://example.org\" }",
        "{ default = 1 }",
        &["variables.host.default: `1` is integer, not a text"],
    );
    refused(
        "{{ key }} of",
        "{{ kee }} of",
        &["takes the variable `kee`; [variables] has host, key"],
    );
    refused("{{ key }} of {{ host }}", "{{ key of", &["without its `}}`"]);
    refused(
        "default = \"https://example.org\"",
        "default = \"example.org\"",
        &["with the variables' defaults", "has no scheme"],
    );
}

#[test]
fn hosts_are_hosts() {
    refused(
        "https://example.org:443",
        "example.org",
        &["allowed_outbound_hosts[2]: `example.org` has no scheme"],
    );
    refused("https://example.org:443", "https://example.org/x", &["has a path"]);
    refused("https://example.org:443", "ftp://example.org", &["names no port"]);
}

#[test]
fn sources_and_dependencies_are_whole() {
    refused("digest = \"sha256:0123", "digest = \"0123", &["`sha256:` and 64"]);
    refused("source = \"a.wasm\"\n", "", &["component.a: `source` is missing"]);
    refused(
        "source = \"a.wasm\"",
        "source = { url = \"https://example.org\" }",
        &["`url` and `digest`"],
    );
    refused("plain = { path = \"p.wasm\" }", "plain = \">= 1\"", &["must say its `package`"]);
    refused(
        "\"a:c\" = \">= 1\"",
        "\"a:c\" = { path = \"c.wasm\", export = \"e\" }",
        &["one `export`"],
    );
    refused("command = [\"one\", \"two\"]", "command = 1", &["a text or a list"]);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let error = check("my.toml", "spin_manifest_version = 3\n[application]\n[component.a]\n")
        .unwrap_err()
        .message;
    assert!(error.starts_with("`my.toml` is no manifest that Spin takes:\n"), "{error}");
    for part in [
        "the number 2",
        "`name` is missing",
        "`trigger` is missing",
        "component.a: `source` is missing",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert!(check("my.toml", "[").unwrap_err().message.contains("`my.toml` is not TOML"));
}

//! Checks of a manifest against Spin's rules, before Spin applies them, with messages that tell what to change.
//!
//! Everything that Spin refuses should be refused here. Beyond that, two triggers of the same route are refused: Spin would ignore the
//! first with a warning.

use std::collections::BTreeSet;

use tidemill_core::{Error, Result};
use toml::{Table, Value};

use super::{
    rules::{HTTP, Key, MANIFEST, REDIS, Record, Shape},
    words,
};

/// Checks a manifest. `name` is the name of the file; the error lists all problems.
pub fn check(name: &str, text: &str) -> Result<()> {
    let manifest: Table = text
        .parse()
        .map_err(|e: toml::de::Error| Error::config(format!("`{name}` is not TOML: {}", e.to_string().trim_end())))?;
    let mut found = Found::default();
    found.value("", &Value::Table(manifest.clone()), &MANIFEST);
    // If the form is wrong, problems that follow from it would be reported twice.
    if found.0.is_empty() {
        triggers(&manifest, &mut found);
        variables(&manifest, &mut found);
        dependencies(&manifest, &mut found);
    }
    match found.0.as_slice() {
        [] => Ok(()),
        all => Err(Error::config(format!(
            "`{name}` is no manifest that Spin takes:\n  {}",
            all.join("\n  ")
        ))),
    }
}

/// The problems, each with its path.
#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn say(&mut self, path: &str, wrong: impl std::fmt::Display) {
        let path = if path.is_empty() { "the file" } else { path };
        self.0.push(format!("{path}: {wrong}"));
    }

    fn value(&mut self, path: &str, value: &Value, shape: &Shape) {
        match (shape, value) {
            (Shape::Version, Value::Integer(2)) | (Shape::Flag, Value::Boolean(_)) | (Shape::True, Value::Boolean(true)) => {}
            (Shape::Free, Value::Table(_)) => {}
            (Shape::Status, Value::Integer(100..=599)) => {}
            (Shape::Text(is), Value::String(text)) => {
                if let Err(wrong) = is(text) {
                    self.say(path, format!("`{text}` {wrong}"));
                }
            }
            (Shape::List(each), Value::Array(list)) => {
                for (n, element) in list.iter().enumerate() {
                    self.value(&format!("{path}[{n}]"), element, each);
                }
            }
            (Shape::Map(is, each), Value::Table(table)) => {
                for (name, value) in table {
                    if let Err(wrong) = is(name) {
                        self.say(path, format!("the name `{name}` {wrong}"));
                    }
                    self.value(&beneath(path, name), value, each);
                }
            }
            (Shape::Record(record), Value::Table(table)) => self.record(path, table, record),
            (Shape::Either(shapes), value) => match shapes.iter().find(|shape| is_kind(shape, value)) {
                Some(shape) => self.value(path, value, shape),
                None => self.unfit(path, value, shape),
            },
            (shape, value) => self.unfit(path, value, shape),
        }
    }

    fn unfit(&mut self, path: &str, value: &Value, shape: &Shape) {
        let hint = match (shape, value) {
            (Shape::Version, Value::String(one)) if one == "1" => "; version 1 is read by old Spins alone",
            _ => "",
        };
        self.say(
            path,
            format!("`{}` is {}, not {}{hint}", shown(value), value.type_str(), wanted(shape)),
        );
    }

    fn record(&mut self, path: &str, table: &Table, record: &Record) {
        for (name, value) in table {
            match record.keys.iter().find(|key| key.name == name) {
                Some(key) => self.value(&beneath(path, name), value, &key.shape),
                None => self.unknown(path, name, record),
            }
        }
        for Key { name, .. } in record.keys.iter().filter(|key| key.must && !table.contains_key(key.name)) {
            self.say(path, format!("`{name}` is missing"));
        }
    }

    fn unknown(&mut self, path: &str, name: &str, record: &Record) {
        let mistaken = record.mistaken.iter().find(|(mistaken, _)| *mistaken == name);
        match mistaken {
            Some((_, instead)) => self.say(path, format!("`{name}` is not known here; {instead}")),
            None => {
                let known: Vec<&str> = record.keys.iter().map(|key| key.name).collect();
                self.say(path, format!("`{name}` is not known here; known are {}", known.join(", ")));
            }
        }
    }
}

fn beneath(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

fn is_kind(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::Version | Shape::Status => value.is_integer(),
        Shape::Flag | Shape::True => value.is_bool(),
        Shape::Text(_) => value.is_str(),
        Shape::List(_) => value.is_array(),
        Shape::Map(..) | Shape::Record(_) | Shape::Free => value.is_table(),
        Shape::Either(shapes) => shapes.iter().any(|shape| is_kind(shape, value)),
    }
}

fn wanted(shape: &Shape) -> String {
    match shape {
        Shape::Version => "the number 2".into(),
        Shape::Flag => "`true` or `false`".into(),
        Shape::True => "`true`".into(),
        Shape::Status => "a status from 100 to 599".into(),
        Shape::Text(_) => "a text".into(),
        Shape::List(_) => "a list".into(),
        Shape::Map(..) | Shape::Record(_) | Shape::Free => "a table".into(),
        Shape::Either(shapes) => shapes.iter().map(wanted).collect::<Vec<_>>().join(" or "),
    }
}

/// The tables of `[component]` and those inside a trigger, with their paths.
fn components(manifest: &Table) -> Vec<(String, &Table)> {
    let named = manifest.get("component").and_then(Value::as_table).into_iter().flatten();
    let named = named.map(|(id, value)| (format!("component.{id}"), value));
    let inline = each_trigger(manifest)
        .into_iter()
        .filter_map(|(path, _, trigger)| Some((format!("{path}.component"), trigger.get("component")?)));
    named
        .chain(inline)
        .filter_map(|(path, value)| Some((path, value.as_table()?)))
        .collect()
}

/// All triggers: path, type, table.
fn each_trigger(manifest: &Table) -> Vec<(String, &str, &Table)> {
    let types = manifest.get("trigger").and_then(Value::as_table).into_iter().flatten();
    let all = types.flat_map(|(kind, list)| {
        let list = list.as_array().into_iter().flatten().enumerate();
        list.filter_map(move |(n, trigger)| Some((format!("trigger.{kind}[{n}]"), kind.as_str(), trigger.as_table()?)))
    });
    all.collect()
}

fn triggers(manifest: &Table, found: &mut Found) {
    let known: BTreeSet<&String> = manifest
        .get("component")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::keys)
        .collect();
    let mut routes = BTreeSet::new();
    for (path, kind, trigger) in each_trigger(manifest) {
        let shape = match kind {
            "http" => Some(&HTTP),
            "redis" => Some(&REDIS),
            // Triggers of plugins are checked by the plugins.
            _ => None,
        };
        if let Some(shape) = shape {
            found.value(&path, &Value::Table(trigger.clone()), shape);
        }
        let component = trigger.get("component");
        if let Some(id) = component.and_then(Value::as_str)
            && !known.contains(&id.to_owned())
        {
            let known: Vec<String> = known.iter().map(|id| format!("`{id}`")).collect();
            found.say(&path, format!("there is no component `{id}`; there is {}", known.join(", ")));
        }
        if kind == "http" {
            match (component, trigger.get("static_response")) {
                (None, None) => found.say(&path, "it names neither a `component` nor a `static_response`"),
                (Some(_), Some(_)) => found.say(&path, "it names a `component` and a `static_response`: which of them answers?"),
                _ => {}
            }
            if let Some(route) = trigger.get("route").and_then(Value::as_str)
                && !routes.insert(route.trim_end_matches('/').to_owned())
            {
                found.say(
                    &path,
                    format!("the route `{route}` is there twice: Spin would call the last component alone"),
                );
            }
        }
    }
}

fn variables(manifest: &Table, found: &mut Found) {
    let empty = Table::new();
    let variables = manifest.get("variables").and_then(Value::as_table).unwrap_or(&empty);
    for (name, variable) in variables {
        let required = variable.get("required").and_then(Value::as_bool).unwrap_or_default();
        if required == variable.get("default").is_some() {
            let both = if required { "both" } else { "neither" };
            found.say(
                &format!("variables.{name}"),
                format!("it has {both} of `required = true` and `default`, and must have one"),
            );
        }
    }
    let default = |name: &str| variables.get(name)?.get("default")?.as_str();
    for (path, component) in components(manifest) {
        let own = component.get("variables").and_then(Value::as_table).into_iter().flatten();
        let own = own.map(|(name, value)| (format!("{path}.variables.{name}"), value));
        let hosts = component
            .get("allowed_outbound_hosts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let hosts = hosts
            .enumerate()
            .map(|(n, value)| (format!("{path}.allowed_outbound_hosts[{n}]"), value));
        for (place, text) in own.filter_map(|(place, value)| Some((place, value.as_str()?))) {
            taken(&place, text, variables, found);
        }
        for (place, host) in hosts.filter_map(|(place, value)| Some((place, value.as_str()?))) {
            taken(&place, host, variables, found);
            let filled = words::filled(host, default).filter(|filled| filled != host);
            // An empty variable allows nothing.
            let filled = filled.filter(|filled| !["", "http://", "https://"].contains(&filled.as_str()));
            if let Some(Err(wrong)) = filled.as_deref().map(words::literal_endpoint) {
                found.say(
                    &place,
                    format!("with the variables' defaults it is `{}`, which {wrong}", filled.unwrap_or_default()),
                );
            }
        }
    }
}

/// Checks that the variables in a text exist.
fn taken(place: &str, text: &str, variables: &Table, found: &mut Found) {
    match words::variables(text) {
        Err(wrong) => found.say(place, format!("`{text}` {wrong}")),
        Ok(names) => {
            for name in names.iter().filter(|name| !variables.contains_key(name.as_str())) {
                let known: Vec<&str> = variables.keys().map(String::as_str).collect();
                found.say(
                    place,
                    format!("`{text}` takes the variable `{name}`; [variables] has {}", known.join(", ")),
                );
            }
        }
    }
}

fn dependencies(manifest: &Table, found: &mut Found) {
    for (path, component) in components(manifest) {
        for (name, dependency) in component.get("dependencies").and_then(Value::as_table).into_iter().flatten() {
            let place = format!("{path}.dependencies.{name}");
            let has = |key: &str| dependency.get(key).is_some();
            let is_plain = !name.contains(':');
            if is_plain && !["package", "path", "url", "component"].iter().any(|key| has(key)) {
                found.say(&place, "a plain name must say its `package`");
            }
            if !is_plain && !name.contains('/') && has("export") {
                found.say(&place, "a whole package is not satisfied by one `export`: name an interface of it");
            }
        }
        if let Some(source) = component.get("source").and_then(Value::as_table) {
            let has = |keys: &[&str]| keys.iter().all(|key| source.contains_key(*key));
            if !has(&["url", "digest"]) && !has(&["package", "version"]) {
                found.say(
                    &format!("{path}.source"),
                    "it needs `url` and `digest`, or `package` and `version` of a registry",
                );
            }
        }
    }
}

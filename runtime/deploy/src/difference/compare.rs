//! Two values side by side, down to the properties that differ.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::Property;

/// All names, first those of the old in its order, then what is new.
pub(super) fn names(old: &Map<String, Json>, new: &Map<String, Json>) -> Vec<String> {
    let known: BTreeSet<&String> = old.keys().collect();
    old.keys().chain(new.keys().filter(|name| !known.contains(name))).cloned().collect()
}

pub(super) fn compare(path: &str, old: &Json, new: &Json, found: &mut Vec<Property>) {
    let beneath = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match (old, new) {
        (old, new) if old == new => {}
        (Json::Object(old), Json::Object(new)) if !is_intrinsic(old) && !is_intrinsic(new) => {
            for name in names(old, new) {
                match (old.get(&name), new.get(&name)) {
                    (Some(old), Some(new)) => compare(&beneath(&name), old, new, found),
                    (old, new) => found.push(property(&beneath(&name), old, new)),
                }
            }
        }
        (Json::Array(old), Json::Array(new)) => elements(path, old, new, found),
        _ => found.push(property(path, Some(old), Some(new))),
    }
}

/// Elements that have a name are compared by it, others are there or not.
fn elements(path: &str, old: &[Json], new: &[Json], found: &mut Vec<Property>) {
    let named = |list: &[Json]| -> Option<Map<String, Json>> {
        let list: Vec<(String, Json)> = list.iter().map(|e| Some((identity(e)?, e.clone()))).collect::<Option<_>>()?;
        let count = list.len();
        let map: Map<String, Json> = list.into_iter().collect();
        (map.len() == count && count > 0).then_some(map)
    };
    if let (Some(old), Some(new)) = (named(old), named(new)) {
        for name in names(&old, &new) {
            let path = format!("{path}[{name}]");
            match (old.get(&name), new.get(&name)) {
                (Some(old), Some(new)) => compare(&path, old, new, found),
                (old, new) => found.push(property(&path, old, new)),
            }
        }
        return;
    }
    let gone = old.iter().filter(|element| !new.contains(element));
    found.extend(gone.map(|element| property(path, Some(element), None)));
    let come = new.iter().filter(|element| !old.contains(element));
    found.extend(come.map(|element| property(path, None, Some(element))));
    let has_same = old.iter().all(|element| new.contains(element)) && new.iter().all(|element| old.contains(element));
    if has_same {
        // Only the order or the number of equal elements differs.
        found.push(property(path, Some(&Json::from(old)), Some(&Json::from(new))));
    }
}

/// What tells an element of a list from its neighbours.
fn identity(element: &Json) -> Option<String> {
    let named = |field: &str| element.get(field)?.as_str();
    // A node of the pipeline has two names.
    let node = || Some(format!("{}:{}", named("stage")?, named("resource")?));
    let name = ["Sid", "Id", "Key", "PolicyName", "Name", "name"].into_iter().find_map(named);
    name.map(str::to_owned).or_else(node)
}

/// `{"Ref": …}` and its like are values, not objects to look into.
fn is_intrinsic(object: &Map<String, Json>) -> bool {
    object.len() == 1 && object.keys().all(|key| key == "Ref" || key.starts_with("Fn::"))
}

fn property(path: &str, from: Option<&Json>, to: Option<&Json>) -> Property {
    Property {
        path: path.to_owned(),
        from: from.cloned(),
        to: to.cloned(),
    }
}

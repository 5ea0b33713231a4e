//! What differs between the template that is there and the one that would be written, as a person reads it: resources by name,
//! properties by path. Order and layout of the files do not matter.

mod compare;

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value as Json};
use tidemill_core::{Error, Result};

use compare::{compare, names};

/// All that differs.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Difference {
    /// By section and name.
    pub entries: Vec<Entry>,
}

/// A resource, parameter, output or file that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// `Resources`, `Parameters`, …, or `files`.
    pub section: String,
    /// Its name there.
    pub name: String,
    /// A resource's type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What happens to it.
    pub change: Change,
    /// What changes in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub properties: Vec<Property>,
    /// Whether AWS makes a new one in its place.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_replaced: bool,
}

/// What happens to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is new.
    Added,
    /// It is no longer there.
    Removed,
    /// It is another.
    Changed,
}

/// A property that changes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Property {
    /// `Properties.MemorySize`.
    pub path: String,
    /// What stands there; nothing if it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Json>,
    /// What will stand there; nothing if it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Json>,
}

/// Properties that AWS cannot change in place: a new resource is made, and the old one goes.
const REPLACING: [&str; 5] = [
    "Properties.FunctionName",
    "Properties.QueueName",
    "Properties.LogGroupName",
    "Properties.LayerName",
    "Type",
];

/// Reads a template that was written before, in YAML or JSON.
pub fn read(name: &str, text: &str) -> Result<Json> {
    let template: Json = serde_norway::from_str(text).map_err(|e| {
        Error::input(format!(
            "`{name}` cannot be read as YAML: {}; mend it, or remove it and write it again",
            e.to_string().lines().next().unwrap_or_default()
        ))
    })?;
    if !template.is_object() {
        return Err(Error::input(format!(
            "`{name}` is not a template: it holds no sections such as `Resources`; name another file with `--out`"
        )));
    }
    Ok(template)
}

impl Difference {
    /// Compares templates, section by section.
    pub fn of_templates(old: &Json, new: &Json) -> Self {
        let mut difference = Self::default();
        let empty = Map::new();
        let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
        for section in names(old, new) {
            match (old.get(&section), new.get(&section)) {
                (old, new) if old.is_none_or(Json::is_object) && new.is_none_or(Json::is_object) => {
                    let of = |side: Option<&Json>| side.and_then(Json::as_object).cloned().unwrap_or_default();
                    difference.add_section(&section, &of(old), &of(new));
                }
                (old, new) => difference.add("Template", &section, old, new),
            }
        }
        difference
    }

    /// Compares a file that comes with the template; `None` where it is not there.
    pub fn add_file(&mut self, path: &str, old: Option<&Json>, new: Option<&Json>) {
        self.add("files", path, old, new);
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries have a change.
    pub fn count(&self, change: Change) -> usize {
        self.entries.iter().filter(|entry| entry.change == change).count()
    }

    fn add_section(&mut self, section: &str, old: &Map<String, Json>, new: &Map<String, Json>) {
        for name in names(old, new) {
            self.add(section, &name, old.get(&name), new.get(&name));
        }
    }

    fn add(&mut self, section: &str, name: &str, old: Option<&Json>, new: Option<&Json>) {
        let mut properties = Vec::new();
        let change = match (old, new) {
            (None, Some(_)) => Change::Added,
            (Some(_), None) => Change::Removed,
            (Some(old), Some(new)) => {
                compare("", old, new, &mut properties);
                Change::Changed
            }
            (None, None) => return,
        };
        if change == Change::Changed && properties.is_empty() {
            return;
        }
        let kind = new.or(old).and_then(|entry| entry.get("Type")?.as_str()).map(str::to_owned);
        self.entries.push(Entry {
            section: section.to_owned(),
            name: name.to_owned(),
            kind: kind.filter(|_| section == "Resources"),
            change,
            is_replaced: section == "Resources" && properties.iter().any(|property| REPLACING.contains(&property.path.as_str())),
            properties,
        });
    }

    /// As lines: `+` is new, `-` goes, `~` changes.
    pub fn render_text(&self) -> String {
        if self.is_empty() {
            return "nothing differs".to_owned();
        }
        let mut text = String::new();
        let mut section = "";
        for entry in &self.entries {
            if entry.section != section {
                section = &entry.section;
                let _infallible = writeln!(text, "{section}");
            }
            let sign = match entry.change {
                Change::Added => '+',
                Change::Removed => '-',
                Change::Changed => '~',
            };
            let kind = entry.kind.as_deref().map_or_else(String::new, |kind| format!("  {kind}"));
            let replaced = if entry.is_replaced { "  (replaced)" } else { "" };
            let _infallible = writeln!(text, "  {sign} {}{kind}{replaced}", entry.name);
            for property in &entry.properties {
                let _infallible = writeln!(text, "      {}", property.render_text());
            }
        }
        let [added, changed, removed] = [Change::Added, Change::Changed, Change::Removed].map(|change| self.count(change));
        let _infallible = write!(text, "{added} to add, {changed} to change, {removed} to remove");
        text
    }
}

impl Property {
    fn render_text(&self) -> String {
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("{}: {} → {}", self.path, short(from), short(to)),
            (None, Some(to)) => format!("{}: + {}", self.path, short(to)),
            (Some(from), None) => format!("{}: - {}", self.path, short(from)),
            (None, None) => self.path.clone(),
        }
    }
}

/// Characters of a value that are shown.
const SHOWN: usize = 80;

fn short(value: &Json) -> String {
    let text = match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_named_by_its_path() {
        let old = json!({ "Description": "d", "Resources": {
            "A": { "Type": "T", "Properties": { "Size": 1, "List": ["x", "y"], "Tags": [{ "Key": "k", "Value": "v" }], "Where": { "Ref": "P" } } },
            "B": { "Type": "U" }
        } });
        let new = json!({ "Resources": {
            "C": { "Type": "V" },
            "A": { "Type": "T", "Properties": { "Where": { "Ref": "Q" }, "Size": 2, "List": ["y", "z"], "Tags": [{ "Key": "k", "Value": "w" }] } }
        }, "Description": "e" });
        let difference = Difference::of_templates(&old, &new);
        assert_eq!(
            difference.render_text(),
            "Template\n  ~ Description\n      : d → e\nResources\n  ~ A  T\n      Properties.Size: 1 → 2\n      Properties.List: - x\n      \
             Properties.List: + z\n      Properties.Tags[k].Value: v → w\n      Properties.Where: {\"Ref\":\"P\"} → {\"Ref\":\"Q\"}\n  - B  U\n  \
             + C  V\n1 to add, 2 to change, 1 to remove"
        );
        assert!(Difference::of_templates(&old, &old).is_empty());
        let reordered = json!({ "Resources": { "A": { "P": ["y", "x"] } } });
        let difference = Difference::of_templates(&json!({ "Resources": { "A": { "P": ["x", "y"] } } }), &reordered);
        assert_eq!(difference.entries[0].properties[0].path, "P");
    }

    #[test]
    fn a_new_name_is_a_new_thing() {
        let of = |name: &str| json!({ "Resources": { "A": { "Type": "T", "Properties": { "QueueName": name } } } });
        let difference = Difference::of_templates(&of("a"), &of("b"));
        assert!(difference.entries[0].is_replaced && difference.render_text().contains("(replaced)"));
    }

    #[test]
    fn what_is_no_template_is_said() {
        assert!(
            read("t.yaml", "a: [")
                .unwrap_err()
                .message
                .contains("`t.yaml` cannot be read as YAML")
        );
        assert!(read("t.yaml", "just a text").unwrap_err().message.contains("is not a template"));
        assert_eq!(read("t.yaml", "Resources: {}").unwrap(), json!({ "Resources": {} }));
    }
}

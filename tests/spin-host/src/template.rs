//! `{{ name }}` in a component's variables and hosts, in the place of the application's values.

use std::collections::BTreeMap;

use tidemill_core::{Error, Result};

/// The text with its values.
pub(crate) fn expand(text: &str, values: &BTreeMap<String, String>) -> Result<String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, behind) = after
            .split_once("}}")
            .ok_or_else(|| Error::config(format!("`{text}` opens `{{{{` and does not close it")))?;
        let value = values.get(name.trim()).ok_or_else(|| {
            Error::config(format!(
                "`{text}` names `{}`, which is not among the application's variables",
                name.trim()
            ))
        })?;
        expanded += before;
        expanded += value;
        rest = behind;
    }
    Ok(expanded + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_values() {
        let values = [("a".to_owned(), "1".to_owned())].into();
        assert_eq!(expand("x{{ a }}-{{a}}y", &values).unwrap(), "x1-1y");
        assert_eq!(expand("plain", &values).unwrap(), "plain");
        assert!(expand("{{ b }}", &values).unwrap_err().message.contains("`b`"));
        assert!(expand("{{ a", &values).is_err());
    }
}

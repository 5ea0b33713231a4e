//! Values as YAML that every reader takes for what it is. AWS's tools read YAML 1.1, where a bare `yes` is true and a bare `2010-09-09` a
//! day. The crates that were tried do not fit: `serde_norway` (`serde_yaml` kept alive) writes both bare, and enums as tags;
//! `serde-saphyr` quotes well, but turns on a feature of serde's core, and everything would be compiled anew.

use serde_json::Value;

/// A value as a document, in blocks.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

/// Lines of a value, each after `indent` spaces.
fn block(text: &mut String, value: &Value, indent: usize) {
    let margin = " ".repeat(indent);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                text.push_str(&format!("{margin}{}:", scalar(name)));
                match field {
                    Value::Object(inner) if !inner.is_empty() => {
                        text.push('\n');
                        block(text, field, indent + 2);
                    }
                    Value::Array(inner) if !inner.is_empty() => {
                        text.push('\n');
                        block(text, field, indent);
                    }
                    Value::String(lines) if is_literal(lines) => {
                        text.push_str(if lines.ends_with('\n') { " |\n" } else { " |-\n" });
                        for line in lines.lines() {
                            let margin = if line.is_empty() { 0 } else { indent + 2 };
                            text.push_str(&format!("{:margin$}{line}\n", ""));
                        }
                    }
                    _ => text.push_str(&format!(" {}\n", flat(field))),
                }
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            for element in elements {
                let mut lines = String::new();
                block(&mut lines, element, indent + 2);
                // The first line has the dash in its margin.
                text.push_str(&format!("{margin}- {}", lines.get(indent + 2..).unwrap_or_default()));
            }
        }
        _ => text.push_str(&format!("{margin}{}\n", flat(value))),
    }
}

/// Whether lines can be written as they are: a literal block keeps them, if its indentation shows in the first line and its end in the last.
fn is_literal(text: &str) -> bool {
    let is_printable = |c: char| c == '\n' || c == '\t' || !c.is_control() && !"\u{85}\u{2028}\u{2029}\u{feff}".contains(c);
    text.trim_end_matches('\n').contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && !text.ends_with("\n\n")
        && text.chars().all(is_printable)
        && text.lines().all(|line| line.is_empty() || !line.trim().is_empty())
}

/// What stands on one line.
fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        // Numbers, `true`, `null`, `[]` and `{}` are the same in JSON.
        other => other.to_string(),
    }
}

/// Words that YAML 1.1 takes for something else.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// A text, bare where nobody can mistake it, else as JSON writes it, which is YAML.
fn scalar(text: &str) -> String {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '$');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " _-./:;,'`$(){}*=+".contains(c);
    let reads_as_itself = !text.contains(": ") && !text.ends_with([' ', ':']) && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if begins && text.chars().all(is_plain) && reads_as_itself {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_reader_reads_the_same() {
        let value = json!({
            "Version": "2010-09-09", "yes": ["no", "on", true, 3, ""], "Arn": "${Store.Arn}/raw/*", "Empty": {}, "None": [],
            "Lines": "a: 1\n\n  # b\tc \nd\n", "Cut": "a\n b", "One": "a\n", "Odd": [" a\nb", "a\nb\n\n", "a\r\nb", "a\n \nb"],
            "Nested": [[1, [2]], { "a": { "b": "c: d" }, "e": "arn:aws:s3:::x" }], "*": "- not a list", "Last": "colon:", "Quote": "\"#\""
        });
        let text = document(&value);
        assert!(
            text.contains("Version: \"2010-09-09\"\n\"yes\":\n- \"no\"\n- \"on\"\n- true\n- 3\n- \"\"\n"),
            "{text}"
        );
        assert!(
            text.contains("Lines: |\n  a: 1\n\n    # b\tc \n  d\nCut: |-\n  a\n   b\nOne: \"a\\n\"\n"),
            "{text}"
        );
        assert!(text.contains("Arn: ${Store.Arn}/raw/*\nEmpty: {}\nNone: []\n"), "{text}");
        assert!(
            text.contains("- - 1\n  - - 2\n- a:\n    b: \"c: d\"\n  e: arn:aws:s3:::x\n"),
            "{text}"
        );
        assert_eq!(serde_norway::from_str::<Value>(&text).unwrap(), value);
    }
}

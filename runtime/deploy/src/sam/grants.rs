//! From the grants of `tidemill.toml` to the policy of a function's role: what the stage may touch, and the records that its host
//! keeps about it. What the role lacks, S3 refuses, whatever the program in the function believes.

use serde_json::json;

use super::{
    resources::Statement,
    template::{Scalar, Value},
};

/// Patterns of keys, by what may be done.
#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    pub(super) reads: Vec<String>,
    pub(super) writes: Vec<String>,
}

impl Access {
    /// The statements about the store.
    pub(super) fn statements(&self) -> Vec<Statement> {
        // What may be written may be read: an output is compared with what is there, and S3 asks for it when it replaces by condition.
        let reads: Vec<&String> = self.reads.iter().chain(&self.writes).collect();
        let mut statements = vec![
            Statement {
                sid: "ReadObjects",
                effect: "Allow",
                principal: None,
                action: vec!["s3:GetObject"],
                resource: objects(reads.iter().copied()),
                condition: None,
            },
            Statement {
                sid: "ListPrefixes",
                effect: "Allow",
                principal: None,
                action: vec!["s3:ListBucket"],
                resource: vec![Value::arn("Store")],
                // `IfExists`: reading a key that is not there asks for the right to list, without a prefix. Without it S3 answers
                // 403 instead of 404, and nothing could be created that must not be there yet.
                condition: Some(json!({ "StringLikeIfExists": { "s3:prefix": prefixes(reads.iter().copied()) } })),
            },
        ];
        if !self.writes.is_empty() {
            statements.push(Statement {
                sid: "WriteObjects",
                effect: "Allow",
                principal: None,
                action: vec!["s3:PutObject", "s3:AbortMultipartUpload"],
                resource: objects(self.writes.iter()),
                condition: None,
            });
        }
        statements
    }
}

fn objects<'a>(patterns: impl Iterator<Item = &'a String>) -> Vec<Value> {
    let keys = sorted(patterns.map(|pattern| key_pattern(pattern)));
    keys.into_iter()
        .map(|key| Value::substitute(format!("${{Store.Arn}}/{key}")))
        .collect()
}

/// The patterns of prefixes under which keys may be listed.
fn prefixes<'a>(patterns: impl Iterator<Item = &'a String>) -> Vec<String> {
    sorted(patterns.map(|pattern| {
        let fixed = pattern.split(WILD).next().unwrap_or_default();
        let folder = fixed.rfind('/').map_or("", |slash| &fixed[..=slash]);
        format!("{}*", folder.replace('$', "?"))
    }))
}

const WILD: [char; 4] = ['*', '?', '[', '{'];

/// A pattern of keys as IAM writes it: there `*` crosses `/`, and there are no sets and alternatives, which become `*`.
pub(super) fn key_pattern(pattern: &str) -> String {
    let mut key = String::new();
    let mut inside: Option<char> = None;
    for letter in pattern.chars() {
        match (inside, letter) {
            (Some(end), _) if letter == end => inside = None,
            (Some(_), _) => {}
            (None, '[' | '{') => {
                inside = Some(if letter == '[' { ']' } else { '}' });
                key.push('*');
            }
            // `$` begins a variable, both of IAM and of `Fn::Sub`.
            (None, '$') => key.push('?'),
            (None, _) => key.push(letter),
        }
    }
    let key = key.replace("**/", "*");
    let mut short = String::new();
    for letter in key.chars() {
        if !(letter == '*' && short.ends_with('*')) {
            short.push(letter);
        }
    }
    short
}

fn sorted(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = texts.collect();
    texts.sort();
    texts.dedup();
    // A key that another pattern covers by its beginning need not be said.
    let covering: Vec<String> = texts.iter().filter_map(|t| t.strip_suffix('*').map(str::to_owned)).collect();
    texts.retain(|text| {
        !covering
            .iter()
            .any(|start| text.starts_with(start.as_str()) && text.strip_suffix('*') != Some(start))
    });
    texts
}

/// One statement of a role about something else than the store.
pub(super) fn allow(sid: &'static str, action: &[&'static str], resource: Value) -> Statement {
    Statement {
        sid,
        effect: "Allow",
        principal: None,
        action: action.to_vec(),
        resource: vec![resource],
        condition: None,
    }
}

/// Who may take a role.
pub(super) fn assumed_by(service: &str) -> Statement {
    Statement {
        sid: "AssumedByService",
        effect: "Allow",
        principal: Some(json!({ "Service": [service] })),
        action: vec!["sts:AssumeRole"],
        resource: Vec::new(),
        condition: None,
    }
}

/// Nobody may speak to these without TLS.
pub(super) fn only_tls(action: &'static str, resource: Vec<Value>) -> Statement {
    Statement {
        sid: "OnlyOverTls",
        effect: "Deny",
        principal: Some(json!("*")),
        action: vec![action],
        resource,
        condition: Some(json!({ "Bool": { "aws:SecureTransport": Scalar::Text("false".to_owned()) } })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_become_iams() {
        for (pattern, expected) in [
            ("raw/flights/**", "raw/flights/*"),
            ("outcomes/train/late/*", "outcomes/train/late/*"),
            ("a/**/z.json", "a/*z.json"),
            ("a/[0-9]{b,c}.csv", "a/*.csv"),
            ("a/$x", "a/?x"),
        ] {
            assert_eq!(key_pattern(pattern), expected);
        }
    }

    #[test]
    fn what_is_granted_is_in_the_policy_and_nothing_else() {
        let access = Access {
            reads: vec!["datasets/d/**".into(), "models/m/**".into(), "models/m/aliases/*".into()],
            writes: vec!["out/x/*.json".into()],
        };
        let [read, list, write] = access.statements().try_into().unwrap();
        let arns = |statement: &Statement| serde_json::to_string(&statement.resource).unwrap();
        assert_eq!(
            arns(&read),
            r#"[{"Fn::Sub":"${Store.Arn}/datasets/d/*"},{"Fn::Sub":"${Store.Arn}/models/m/*"},{"Fn::Sub":"${Store.Arn}/out/x/*.json"}]"#
        );
        assert_eq!(arns(&write), r#"[{"Fn::Sub":"${Store.Arn}/out/x/*.json"}]"#);
        assert_eq!(
            list.condition.unwrap()["StringLikeIfExists"]["s3:prefix"],
            json!(["datasets/d/*", "models/m/*", "out/x/*"])
        );
        let reader = Access {
            reads: vec!["a/**".into()],
            writes: vec![],
        };
        assert!(reader.statements().iter().all(|s| s.sid != "WriteObjects"));
    }
}

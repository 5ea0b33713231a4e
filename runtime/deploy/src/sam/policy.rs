//! Roles and policies: from the keys that a program touches to what its role may do, in IAM's words.

#![allow(missing_docs, reason = "the fields are AWS's own, by their own names")]

use serde::Serialize;
use serde_json::{Value as Json, json};
use tidemill_core::{layout::literal_folder, pipeline::deployment::Access};

use super::{
    resources::Tag,
    template::{Scalar, Value},
};

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Role {
    pub description: String,
    pub assume_role_policy_document: Policy,
    pub policies: Vec<InlinePolicy>,
    pub tags: Vec<Tag>,
}

impl Role {
    /// The role that a service takes to do what the statements allow.
    pub(super) fn of(description: String, service: &str, statements: Vec<Statement>, tags: Vec<Tag>) -> Self {
        let assumed = Statement {
            sid: "AssumedByService",
            effect: "Allow",
            principal: Some(json!({ "Service": [service] })),
            action: vec!["sts:AssumeRole"],
            resource: Vec::new(),
            condition: None,
        };
        Self {
            description,
            assume_role_policy_document: Policy::of(vec![assumed]),
            policies: vec![InlinePolicy {
                policy_name: "grants",
                policy_document: Policy::of(statements),
            }],
            tags,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InlinePolicy {
    pub policy_name: &'static str,
    pub policy_document: Policy,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    pub version: &'static str,
    pub statement: Vec<Statement>,
}

impl Policy {
    /// In the policy language of 2012, the newest there is.
    pub fn of(statement: Vec<Statement>) -> Self {
        Self {
            version: "2012-10-17",
            statement,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    pub sid: &'static str,
    pub effect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<Json>,
    pub action: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub condition: Option<Json>,
}

/// What the role of a program may do with the store. What the role lacks, S3 refuses, whatever the program believes.
pub(super) fn of_store(access: &Access) -> Vec<Statement> {
    // What may be written may be read: an output is compared with what is there, and S3 asks for it when it replaces by condition.
    let reads: Vec<&String> = access.reads.iter().chain(&access.writes).collect();
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
    if !access.writes.is_empty() {
        statements.push(Statement {
            sid: "WriteObjects",
            effect: "Allow",
            principal: None,
            action: vec!["s3:PutObject", "s3:AbortMultipartUpload"],
            resource: objects(access.writes.iter()),
            condition: None,
        });
    }
    statements
}

fn objects<'a>(patterns: impl Iterator<Item = &'a String>) -> Vec<Value> {
    let keys = sorted(patterns.map(|pattern| key_pattern(pattern)));
    keys.into_iter()
        .map(|key| Value::substitute(format!("${{Store.Arn}}/{key}")))
        .collect()
}

/// The patterns of prefixes under which keys may be listed.
fn prefixes<'a>(patterns: impl Iterator<Item = &'a String>) -> Vec<String> {
    sorted(patterns.map(|pattern| format!("{}*", literal_folder(pattern).replace('$', "?"))))
}

/// A pattern of keys as IAM writes it: there `*` crosses `/`, and there are no sets and alternatives, which become `*`.
fn key_pattern(pattern: &str) -> String {
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
        let [read, list, write] = of_store(&access).try_into().unwrap();
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
        assert!(of_store(&reader).iter().all(|s| s.sid != "WriteObjects"));
    }
}

//! Where the store is and with whose rights: the application's variables. Credentials are named here, and given when it is started.

use std::collections::BTreeMap;

use serde::Serialize;
use tidemill_core::{Error, Result};

use super::manifest::Variable;

/// Each variable, what it is, whether it is a secret, and what it is if nobody says: nothing, where it must be given.
const VARIABLES: [(&str, &str, bool, Option<&str>); 7] = [
    ("bucket", "The store's bucket", false, None),
    (
        "prefix",
        "Before each key of the store; empty where the bucket is the store",
        false,
        Some(""),
    ),
    ("aws_region", "The bucket's region", false, Some("us-east-1")),
    (
        "aws_endpoint_url",
        "Another server that speaks S3, such as https://s3.example.com; empty for AWS",
        false,
        Some(""),
    ),
    ("aws_access_key_id", "Of whoever may read and write the bucket", false, None),
    ("aws_secret_access_key", "Of the same", true, None),
    ("aws_session_token", "Of the same, where its rights are temporary", true, Some("")),
];

/// The application's variables; the bucket and its prefix have the store's as their defaults, where that is known.
pub(super) fn of(store: Option<&str>) -> Result<BTreeMap<String, Variable>> {
    let store = store.map(bucket).transpose()?;
    let own = |name: &str| match (name, &store) {
        ("bucket", Some((bucket, _))) => Some((*bucket).to_owned()),
        ("prefix", Some((_, prefix))) => Some((*prefix).to_owned()),
        _ => None,
    };
    let all = VARIABLES.iter().map(|(name, description, secret, default)| {
        let default = own(name).or_else(|| default.map(str::to_owned));
        let variable = Variable {
            description: (*description).to_owned(),
            required: default.is_none(),
            default,
            secret: *secret,
        };
        ((*name).to_owned(), variable)
    });
    Ok(all.collect())
}

/// What a component is given of them, and what it is told of the project (JSON).
pub(super) fn passed(told: &impl Serialize) -> Result<BTreeMap<String, String>> {
    let told = serde_json::to_string(told).map_err(|e| Error::bug(format!("what a component is told cannot be written: {e}")))?;
    let aws = VARIABLES.iter().map(|(name, ..)| *name).filter(|name| name.starts_with("aws_"));
    let aws = aws.map(|name| (name.to_owned(), format!("{{{{ {name} }}}}")));
    let own = [
        ("tidemill_store", "s3://{{ bucket }}/{{ prefix }}".to_owned()),
        // Two braces stand for a variable, and in JSON that is written so they are inside a string.
        (super::TOLD, told.replace("{{", "{\\u007b")),
    ];
    Ok(aws.chain(own.map(|(name, value)| (name.to_owned(), value))).collect())
}

/// The hosts behind the store: the bucket's own at AWS, and the other server where one is named.
pub(super) fn hosts(store: Option<&str>) -> Result<Vec<String>> {
    // A bucket with dots in its name is not part of the host's: no certificate would fit.
    let dotted = store.map(bucket).transpose()?.is_some_and(|(bucket, _)| bucket.contains('.'));
    let aws = if dotted {
        "https://s3.{{ aws_region }}.amazonaws.com"
    } else {
        "https://{{ bucket }}.s3.{{ aws_region }}.amazonaws.com"
    };
    Ok(vec![aws.to_owned(), "{{ aws_endpoint_url }}".to_owned()])
}

fn bucket(store: &str) -> Result<(&str, &str)> {
    let rest = store.strip_prefix("s3://").filter(|rest| !rest.is_empty());
    let rest = rest.ok_or_else(|| {
        Error::config(format!(
            "the store is `{store}`, and Spin reaches a bucket alone: give `s3://bucket/prefix` as `path` of [store] or by `--store`"
        ))
    })?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    Ok((bucket, prefix.trim_end_matches('/')))
}

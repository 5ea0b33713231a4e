//! The application's variables: the location of the store, and its credentials. Credentials are only named here; they are given when the
//! application is started.

use std::collections::BTreeMap;

use tidemill_core::{Error, Result};

use super::manifest::Variable;

/// Each variable with its description, whether it is secret, and its default; `None` if a value must be given.
const VARIABLES: [(&str, &str, bool, Option<&str>); 7] = [
    ("bucket", "The store's bucket", false, None),
    (
        "prefix",
        "Before each key of the store; empty where the bucket is the store",
        false,
        Some(""),
    ),
    ("region", "The bucket's region", false, Some("us-east-1")),
    (
        "endpoint",
        "Another server that speaks S3, such as https://s3.example.com; empty for AWS",
        false,
        Some(""),
    ),
    ("access_key_id", "Credentials that may read and write the bucket", false, None),
    ("secret_access_key", "Of the same", true, None),
    ("session_token", "Of the same, where its rights are temporary", true, Some("")),
];

/// The application's variables. The bucket and its prefix default to the store's, if it is known.
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

/// The variables that a component sees: all, under the same names.
pub(super) fn passed() -> BTreeMap<String, String> {
    let all = VARIABLES.iter().map(|(name, ..)| ((*name).to_owned(), format!("{{{{ {name} }}}}")));
    all.collect()
}

/// The hosts of the store: the bucket's own at AWS, and the other server if one is named.
pub(super) fn hosts(store: Option<&str>) -> Result<Vec<String>> {
    // A bucket with dots in its name is not part of the host name: no certificate would match.
    let dotted = store.map(bucket).transpose()?.is_some_and(|(bucket, _)| bucket.contains('.'));
    let aws = if dotted {
        "https://s3.{{ region }}.amazonaws.com"
    } else {
        "https://{{ bucket }}.s3.{{ region }}.amazonaws.com"
    };
    Ok(vec![aws.to_owned(), "{{ endpoint }}".to_owned()])
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

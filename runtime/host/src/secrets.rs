//! The headers of a stage's requests: where one is the reference to a secret that its node was granted, the secret takes its place. Every
//! other value is sent as it is, a reference that was not granted too, so that no stage can read the environment of its host.

use tidemill_core::{Error, Result, secret::SecretRef};

/// The headers with the secrets in place.
///
/// # Errors
/// `Config` if a secret is not there. Messages name references only.
pub(crate) fn resolve_headers(granted: &[SecretRef], headers: &[(String, String)]) -> Result<Vec<(String, String)>> {
    let resolve = |(name, value): &(String, String)| {
        let secret = granted.iter().find(|secret| secret.to_string() == *value);
        let value = match secret {
            Some(secret) => read(secret).map_err(|error| error.context(format!("the header `{name}`")))?,
            None => value.clone(),
        };
        Ok((name.clone(), value))
    };
    headers.iter().map(resolve).collect()
}

fn read(secret: &SecretRef) -> Result<String> {
    let value = match secret {
        SecretRef::Variable(name) => std::env::var(name).map_err(|_| {
            Error::config(format!(
                "the variable `{name}` is not set where tidemill runs, or is no text; set it to the header's value"
            ))
        }),
        SecretRef::File(path) => std::fs::read_to_string(path).map_err(|e| Error::config(format!("`{path}` cannot be read: {e}"))),
    }?;
    let value = value.trim_end_matches(['\r', '\n']);
    let is_value = |c: char| c == '\t' || !c.is_control();
    match !value.is_empty() && value.chars().all(is_value) {
        true => Ok(value.to_owned()),
        false => Err(Error::config(format!("`{secret}` is empty, or not one line of text"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_granted_references_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            SecretRef::File(path.to_str().unwrap().to_owned())
        };
        let (token, lines) = (file("token", "Bearer s3cr3t\n"), file("lines", "a\nb\n"));
        let header = |value: &str| [("authorization".to_owned(), value.to_owned())];
        let resolved = |granted: &[SecretRef], value: &str| resolve_headers(granted, &header(value)).map(|headers| headers[0].1.clone());
        assert_eq!(resolved(std::slice::from_ref(&token), &token.to_string()).unwrap(), "Bearer s3cr3t");
        assert_eq!(resolved(std::slice::from_ref(&token), "env:HOME").unwrap(), "env:HOME", "as it is");
        assert_eq!(resolved(&[], &token.to_string()).unwrap(), token.to_string());
        let error = resolved(std::slice::from_ref(&lines), &lines.to_string()).unwrap_err();
        assert!(error.message.contains("not one line"), "{error}");
        let missing = SecretRef::Variable("TIDEMILL_NO_SUCH_VARIABLE".into());
        let error = resolved(std::slice::from_ref(&missing), &missing.to_string()).unwrap_err();
        assert!(
            error.message.contains("the header `authorization`") && error.message.contains("`TIDEMILL_NO_SUCH_VARIABLE`"),
            "{error}"
        );
    }
}

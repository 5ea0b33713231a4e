//! Profiles of `~/.aws/credentials` and `~/.aws/config`, as far as they hold keys, a region or a server. What the environment says
//! comes first, as with AWS's own tools.

use std::{collections::BTreeMap, path::PathBuf};

use tidemill_core::{Error, Result, text::quoted_list};

/// Names of settings and where their values stand in a profile.
const SETTINGS: [(&str, &str); 5] = [
    ("AWS_ACCESS_KEY_ID", "aws_access_key_id"),
    ("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
    ("AWS_SESSION_TOKEN", "aws_session_token"),
    ("AWS_REGION", "region"),
    ("AWS_ENDPOINT_URL", "endpoint_url"),
];
/// Ways to credentials that need a program or a browser.
const INDIRECT: [&str; 5] = ["sso_session", "sso_start_url", "credential_process", "role_arn", "login_session"];

type Settings = BTreeMap<String, String>;

/// Adds what the chosen profile says to the settings of the environment.
pub(super) fn apply_profile(settings: &mut Settings) -> Result<()> {
    let text = |settings: &Settings, name: &str, file: &str| {
        let home = settings.get("HOME").or_else(|| settings.get("USERPROFILE")).map(PathBuf::from);
        let path = settings
            .get(name)
            .map(PathBuf::from)
            .or_else(|| Some(home?.join(".aws").join(file)));
        path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default()
    };
    let credentials = text(settings, "AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = text(settings, "AWS_CONFIG_FILE", "config");
    merge_profile(settings, &credentials, &config)
}

fn merge_profile(settings: &mut Settings, credentials: &str, config: &str) -> Result<()> {
    let named = settings.get("AWS_PROFILE").or_else(|| settings.get("AWS_DEFAULT_PROFILE")).cloned();
    let name = named.clone().unwrap_or_else(|| "default".into());
    let mut profiles = parse_profiles(config);
    for (name, values) in parse_profiles(credentials) {
        profiles.entry(name).or_default().extend(values);
    }
    let Some(profile) = profiles.get(&name) else {
        let all = quoted_list(profiles.keys());
        return match named {
            Some(_) => Err(Error::config(format!(
                "AWS_PROFILE is `{name}`, and no such profile is in ~/.aws/credentials or ~/.aws/config; there is {all}"
            ))),
            None => Ok(()),
        };
    };
    let keyed = [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ]
    .iter()
    .any(|name| settings.contains_key(*name));
    let indirect = INDIRECT.iter().find(|key| profile.contains_key(**key));
    if let (false, false, Some(way)) = (keyed, profile.contains_key("aws_access_key_id"), indirect) {
        return Err(Error::config(format!(
            "the profile `{name}` comes to its credentials by `{way}`, which is left to AWS's own tool: \
             `eval \"$(aws configure export-credentials --profile {name} --format env)\"`, then try again"
        )));
    }
    for (setting, key) in SETTINGS {
        let is_key = key.starts_with("aws_");
        let is_region = setting == "AWS_REGION" && settings.contains_key("AWS_DEFAULT_REGION");
        let is_set = is_region || keyed && is_key;
        if let Some(value) = profile.get(key).filter(|_| !is_set) {
            settings.entry(setting.to_owned()).or_insert_with(|| value.clone());
        }
    }
    Ok(())
}

/// `[name]` or `[profile name]`, then `key = value` a line.
fn parse_profiles(text: &str) -> BTreeMap<String, Settings> {
    let mut found: BTreeMap<String, Settings> = BTreeMap::new();
    let mut section = None;
    for line in text.lines() {
        // What is indented belongs to a setting of its own, such as `s3 =`.
        let nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            let name = name.trim();
            let name = name.strip_prefix("profile ").map_or(name, str::trim);
            found.entry(name.to_owned()).or_default();
            section = Some(name.to_owned());
        } else if let (Some((key, value)), false, Some(section)) = (line.split_once('='), nested || line.starts_with(['#', ';']), &section)
        {
            let values = found.entry(section.clone()).or_default();
            values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str =
        "[default]\naws_access_key_id = A\naws_secret_access_key=B\n# c = d\n[mill]\naws_access_key_id=C\naws_secret_access_key=D\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\ns3 =\n  region = nested\n[profile mill]\nendpoint_url = https://s3.example.com\n[profile far]\nsso_session = x\n";

    fn chosen(environment: &[(&str, &str)]) -> Result<Settings> {
        let mut settings = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        merge_profile(&mut settings, CREDENTIALS, CONFIG).map(|()| settings)
    }

    fn get<'a>(settings: &'a Settings, name: &str) -> Option<&'a str> {
        settings.get(name).map(String::as_str)
    }

    #[test]
    fn the_environment_comes_first() {
        let settings = chosen(&[]).unwrap();
        assert_eq!(
            (get(&settings, "AWS_ACCESS_KEY_ID"), get(&settings, "AWS_REGION")),
            (Some("A"), Some("eu-west-1"))
        );
        let settings = chosen(&[("AWS_PROFILE", "mill")]).unwrap();
        assert_eq!(get(&settings, "AWS_SECRET_ACCESS_KEY"), Some("D"));
        assert_eq!(
            (get(&settings, "AWS_ENDPOINT_URL"), get(&settings, "AWS_REGION")),
            (Some("https://s3.example.com"), None)
        );
        let settings = chosen(&[("AWS_ACCESS_KEY_ID", "Z"), ("AWS_DEFAULT_REGION", "us-east-2")]).unwrap();
        assert_eq!(
            (get(&settings, "AWS_ACCESS_KEY_ID"), get(&settings, "AWS_SECRET_ACCESS_KEY")),
            (Some("Z"), None)
        );
        assert_eq!(get(&settings, "AWS_REGION"), None);
        assert_eq!(merge_profile(&mut Settings::new(), "", ""), Ok(()));
    }

    #[test]
    fn what_cannot_be_used_teaches() {
        let error = chosen(&[("AWS_PROFILE", "mil")]).unwrap_err();
        assert!(
            error.message.contains("`mil`") && error.message.contains("`default`, `far`, `mill`"),
            "{error}"
        );
        let error = chosen(&[("AWS_PROFILE", "far")]).unwrap_err();
        assert!(
            error.message.contains("`sso_session`") && error.message.contains("export-credentials --profile far"),
            "{error}"
        );
    }
}

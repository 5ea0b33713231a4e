//! Checks of names, routes and hosts by Spin's rules. Each check returns the problem as the end of a sentence.

/// A check of a text; `Err` is the end of a sentence that begins with the text.
pub(super) type Is = fn(&str) -> Result<(), String>;

/// Any string.
pub(super) fn text(_: &str) -> Result<(), String> {
    Ok(())
}

/// Any name.
pub(super) fn anything(_: &str) -> Result<(), String> {
    Ok(())
}

/// `my-component`: the names of components.
pub(super) fn kebab(name: &str) -> Result<(), String> {
    words(name, '-', false)
}

/// `my_variable`: the names of variables.
pub(super) fn snake(name: &str) -> Result<(), String> {
    words(name, '_', true)
}

/// The names of stores and databases.
pub(super) fn kebab_or_snake(name: &str) -> Result<(), String> {
    words(name, '_', false).or_else(|_| kebab(name))
}

fn words(name: &str, between: char, lower: bool) -> Result<(), String> {
    for word in name.split(between) {
        let Some(first) = word.chars().next() else {
            return Err(format!("is not words with one `{between}` between them"));
        };
        if !first.is_ascii_alphabetic() {
            return Err(format!(
                "has the word `{word}`: each word between `{between}` begins with an ASCII letter"
            ));
        }
        if let Some(wrong) = word.chars().find(|c| !c.is_ascii_alphanumeric()) {
            return Err(format!(
                "has the character `{wrong}`: words of ASCII letters and digits stand between `{between}`"
            ));
        }
        let is_upper = first.is_ascii_uppercase();
        let mixed = word.chars().any(|c| c.is_ascii_alphabetic() && c.is_ascii_uppercase() != is_upper);
        if mixed || (lower && is_upper) {
            let may = if lower { "lower case" } else { "all lower or all upper case" };
            return Err(format!("has the word `{word}`: it must be {may}"));
        }
    }
    Ok(())
}

/// The path that Spin reserves.
const RESERVED: &str = "/.well-known/spin";

/// A route: `/`, `/user/:name`, `/v2/...`.
pub(super) fn route(route: &str) -> Result<(), String> {
    let Some(segments) = route.strip_prefix('/') else {
        return Err("does not begin with `/`".into());
    };
    if route.starts_with(RESERVED) {
        return Err(format!("is under `{RESERVED}`, which Spin answers itself"));
    }
    let segments: Vec<&str> = segments.split('/').collect();
    for (n, segment) in segments.iter().enumerate() {
        let is_last = n + 1 == segments.len();
        if matches!(*segment, "..." | "*") && !is_last {
            return Err(format!("has `{segment}` before its end: it stands for the rest of a path"));
        }
        if segment.is_empty() && !is_last {
            return Err("has an empty segment".into());
        }
        if *segment == ":" {
            return Err("has a `:` without a name: `:name` is one segment".into());
        }
        if segment.contains("...") && *segment != "..." {
            return Err(format!("has `{segment}`: `...` is a segment of its own, as in `/v2/...`"));
        }
    }
    Ok(())
}

/// An absolute path in the component.
pub(super) fn rooted(path: &str) -> Result<(), String> {
    match path.starts_with('/') {
        true => Ok(()),
        false => Err("is not absolute: where files appear begins with `/`".into()),
    }
}

/// `sha256:…`.
pub(super) fn digest(digest: &str) -> Result<(), String> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    match hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(()),
        false => Err("is not `sha256:` and 64 hexadecimal digits".into()),
    }
}

/// `https://example.org:443`, with `*` for any part; checked later if it contains a variable.
pub(super) fn endpoint(host: &str) -> Result<(), String> {
    match variables(host) {
        Err(wrong) => Err(wrong),
        Ok(names) if names.is_empty() => literal_endpoint(host),
        Ok(_) => Ok(()),
    }
}

/// Schemes whose port may be omitted.
const PORTS: [&str; 6] = ["http", "https", "redis", "mqtt", "postgres", "mysql"];

/// A host without variables.
pub(super) fn literal_endpoint(endpoint: &str) -> Result<(), String> {
    let form = "write `<scheme>://<host>[:<port>]`";
    let Some((scheme, rest)) = endpoint.trim().split_once("://") else {
        return Err(format!("has no scheme: {form}, such as `https://example.org`"));
    };
    if scheme != "*" && (scheme.is_empty() || !scheme.chars().all(char::is_alphabetic)) {
        return Err(format!("has the scheme `{scheme}`: it is letters, or `*`"));
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.rsplit_once(':').filter(|_| !rest.ends_with(']')) {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    match port {
        Some("*") => {}
        Some(port) if port.split("..").count() <= 2 && port.split("..").all(|one| one.parse::<u16>().is_ok()) => {}
        Some(port) => return Err(format!("has the port `{port}`: it is a number, a range such as `80..90`, or `*`")),
        None if PORTS.contains(&scheme) => {}
        None => return Err(format!("names no port, and `{scheme}` has none that is usual: {form}")),
    }
    // A network: `10.0.0.0/8`.
    let network = host.split_once('/').is_some_and(|(address, bits)| {
        let most = address
            .parse::<std::net::IpAddr>()
            .map(|address| if address.is_ipv4() { 32 } else { 128 });
        most.is_ok_and(|most| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
    });
    if network || host == "*" {
        return Ok(());
    }
    if host.contains('/') {
        return Err("has a path: hosts are allowed whole".into());
    }
    let named = host.strip_prefix("*.").unwrap_or(host);
    if named.contains('*') {
        return Err("has a `*` inside its host: it may be the whole host, or its first part, as in `*.example.org`".into());
    }
    let bare = named.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    let is_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !named.is_empty() && named.chars().all(plain),
    };
    match is_host {
        true => Ok(()),
        false => Err(format!("has the host `{host}`, which is none")),
    }
}

/// The variables in a text, as `{{ name }}`.
pub(super) fn variables(text: &str) -> Result<Vec<String>, String> {
    let (mut names, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else {
            return Err("has a `{{` without its `}}`".into());
        };
        names.push(name.trim().to_owned());
        rest = after;
    }
    Ok(names)
}

/// Replaces the variables in a text with their values; `None` if one has no value.
pub(super) fn filled<'a>(text: &str, value: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}")?;
        filled.push_str(before);
        filled.push_str(value(name.trim())?);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "predict", "stage-register", "stage-X2-y"] {
            assert_eq!(kebab(good), Ok(()), "{good}");
        }
        let wrong = |name: &str| kebab(name).unwrap_err();
        assert!(wrong("geo_code").contains("the character `_`"));
        assert!(wrong("geo-2").contains("the word `2`"));
        assert!(wrong("").contains("one `-`") && wrong("a--b").contains("one `-`"));
        assert!(wrong("geoCode").contains("all lower or all upper"));
        assert!(snake("Bucket").unwrap_err().contains("lower case"));
        assert_eq!(kebab_or_snake("my_store"), Ok(()));
        assert_eq!(kebab_or_snake("my-store"), Ok(()));
    }

    #[test]
    fn routes() {
        for good in ["/", "/...", "/v2/...", "/user/:name/x", "/data/*", "/trailing/"] {
            assert_eq!(route(good), Ok(()), "{good}");
        }
        for bad in ["v2", "/.../v2", "/v2...", "/a//b", "/user/:", "/.well-known/spin/health"] {
            assert!(route(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts() {
        for good in [
            "https://example.org",
            "https://example.org:8443",
            "http://127.0.0.1:9000",
            "http://[::1]:9000",
            "*://*:*",
            "https://*.example.org",
            "http://self",
            "http://10.0.0.0/8:80",
            "http://stage-register.spin.internal",
            "https://{{ bucket }}.s3.{{ region }}.amazonaws.com",
            "http://localhost:80..90",
            "https://example.org/",
        ] {
            assert_eq!(endpoint(good), Ok(()), "{good}");
        }
        for bad in [
            "example.org",
            "*",
            "https://example.org/path",
            "https://a.*.org",
            "ftp://example.org",
            "https://example.org:x",
            "https://{{ bucket",
            "https://",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}

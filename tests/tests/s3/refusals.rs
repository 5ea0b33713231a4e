//! What is said when a bucket, rights, region, credentials or clock are wrong. What SeaweedFS never answers, a server of a few lines
//! answers as AWS does.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use anyhow::{Result, ensure};
use tidemill_core::{Error, ErrorKind};
use tidemill_harness::seaweedfs::{self, BUCKET, READ_ONLY_KEY, SeaweedFs};
use tidemill_host::Store;

use super::fresh;

/// The environment with some variables set otherwise.
pub(crate) fn with(endpoint: &str, other: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut environment = SeaweedFs::environment(endpoint);
    for (name, value) in other {
        environment.retain(|(known, _)| known != name);
        environment.push(((*name).to_owned(), (*value).to_owned()));
    }
    environment
}

async fn put(location: &str, environment: &[(String, String)]) -> Result<Error> {
    let store = seaweedfs::open_store(location, environment)?;
    Ok(store.create("raw/a.csv", "x".into()).await.expect_err("a refusal"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_refuses() -> Result<()> {
    let Some(server) = tokio::task::spawn_blocking(|| fresh(None)).await?? else {
        return Ok(());
    };
    let (at, own) = (server.weed.endpoint(), format!("s3://{BUCKET}/a"));
    for (location, environment, kind, said) in [
        (
            "s3://no-such-bucket",
            with(&at, &[]),
            ErrorKind::Config,
            "has no bucket `no-such-bucket`",
        ),
        (
            &own,
            with(&at, &[("AWS_ACCESS_KEY_ID", "nobody")]),
            ErrorKind::Config,
            "does not know the credentials",
        ),
        (
            &own,
            with(&at, &[("AWS_SECRET_ACCESS_KEY", "x")]),
            ErrorKind::Config,
            "does not fit AWS_ACCESS_KEY_ID",
        ),
        (
            &own,
            with(&at, &[("AWS_ACCESS_KEY_ID", READ_ONLY_KEY)]),
            ErrorKind::Denied,
            "give them the right",
        ),
    ] {
        let error = put(location, &environment).await?;
        assert_eq!(error.kind, kind, "{error}");
        ensure!(
            error.message.contains("`raw/a.csv` could not be written") && error.message.contains(said),
            "{error}"
        );
    }
    // A bucket that goes away is not an empty one.
    let store = server.weed.store("a")?;
    store.create("raw/a.csv", "x".into()).await?;
    assert_eq!(store.head("raw/b.csv").await, Ok(None));
    let server = tokio::task::spawn_blocking(move || server.weed.remove_bucket().map(|()| server)).await??;
    for error in [
        store.head("raw/a.csv").await.expect_err("no bucket"),
        store.get("raw/a.csv").await.expect_err("no bucket"),
        store.list("raw/", None, 10).await.expect_err("no bucket"),
        store.create("raw/a.csv", "x".into()).await.expect_err("no bucket"),
    ] {
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
    }
    tokio::task::spawn_blocking(move || drop(server)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listens() -> Result<()> {
    let closed = format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    let error = put("s3://tide", &with(&closed, &[])).await?;
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
    ensure!(
        error.message.contains(&closed) && error.message.contains("cannot be reached"),
        "{error}"
    );
    Ok(())
}

/// Answers every request with this status and body.
pub(crate) fn canned(status: &'static str, body: &'static str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let is_head = stream.read(&mut request).is_ok() && request.starts_with(b"HEAD");
            let shown = if is_head { "" } else { body };
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{shown}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Ok(format!("http://{address}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_answers() -> Result<()> {
    for (status, body, kind, said) in [
        (
            "400 Bad Request",
            "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>",
            ErrorKind::Config,
            "have expired; get new ones",
        ),
        (
            "403 Forbidden",
            "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>",
            ErrorKind::Transient,
            "set this machine's clock",
        ),
        (
            "400 Bad Request",
            "<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region is wrong</Message><Region>eu-west-1</Region></Error>",
            ErrorKind::Config,
            "in another region, `eu-west-1`; set AWS_REGION",
        ),
        (
            "301 Moved Permanently",
            "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>",
            ErrorKind::Config,
            "in another region",
        ),
    ] {
        let store = seaweedfs::open_store("s3://tide", &with(&canned(status, body)?, &[]))?;
        let errors = [
            store.create("raw/a.csv", "x".into()).await.expect_err("a refusal"),
            store.get("raw/a.csv").await.expect_err("a refusal"),
            store.head("raw/a.csv").await.expect_err("a refusal"),
            store.list("raw/", None, 1).await.expect_err("a refusal"),
        ];
        for error in errors {
            assert_eq!(error.kind, kind, "{error}");
            ensure!(error.message.contains(said), "{error}");
        }
    }
    Ok(())
}

#[test]
fn what_cannot_be_opened() {
    for (location, settings, said) in [
        ("gs://tide", vec![], "`gs` is not known"),
        ("s3://Tide", vec![], "small letters"),
        ("s3://tide", vec![("AWS_ENDPOINT_URL", "http://192.0.2.1:9000")], "AWS_ALLOW_HTTP"),
        ("s3://tide", vec![("AWS_ACCESS_KEY_ID", "a")], "AWS_ variables"),
        (
            "s3://tide",
            vec![("AWS_TIMEOUT", "soon"), ("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")],
            "`soon`",
        ),
    ] {
        let error = Store::open_with(location, &settings).expect_err("a mistake");
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
        assert!(error.message.contains(said), "{location}: {error}");
    }
}

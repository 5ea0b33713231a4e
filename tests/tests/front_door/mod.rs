//! What `tidemill up` answers before a model or a dataset is looked at: who asks, how long and how much they may send, and that every answer
//! arrives.

/// Answers to odd requests, and to what is no HTTP.
mod answers;
/// Slow clients, many of them, and large bodies.
mod limits;
/// What a page in a browser can send.
mod pages;
/// The end of a server.
mod stop;
/// The times of a request's rows.
mod windows;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use anyhow::Result;
use tidemill_harness::{
    http::{Connection, Response},
    server::Server,
};
use tidemill_tests::{small, trained};

const INFER: &str = "/v2/models/alarm/infer";
const LIMITS: &str = "TIDEMILL_TEST_LIMITS";

/// The trained project, served with further variables of the environment.
fn up(folder: &Path, environment: &[(&str, &str)]) -> Result<Option<Server>> {
    let Some(tidemill) = trained::find_tidemill() else {
        return Ok(None);
    };
    let project = trained::project(&tidemill, Path::new(env!("CARGO_TARGET_TMPDIR")), folder)?;
    Server::up(&tidemill, &project, environment).map(Some)
}

/// The head of a request and its body.
fn request(method: &str, path: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
    for header in headers {
        text += &format!("{header}\r\n");
    }
    format!("{text}\r\n{body}").into_bytes()
}

fn infer(id: &str) -> Vec<u8> {
    let body = small::request(id, &small::day(3)[..2]).to_string();
    request("POST", INFER, &["host: localhost", "content-type: application/json"], &body)
}

/// Sends bytes on a new connection, and reads one answer.
fn ask(address: &str, bytes: &[u8]) -> Result<Response> {
    let mut connection = Connection::open(address)?;
    connection.send(bytes)?;
    connection.read_response()
}

/// What a connection receives until it ends, or until two seconds have passed without a byte.
fn receive(address: &str, bytes: &[u8]) -> Result<(String, bool)> {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    // The server may have answered, and closed, before the last byte.
    let _sent = stream.write_all(bytes);
    Ok(drain(&mut stream))
}

fn drain(stream: &mut TcpStream) -> (String, bool) {
    let mut received = Vec::new();
    let ended = stream.read_to_end(&mut received).is_ok();
    (String::from_utf8_lossy(&received).into_owned(), ended)
}

fn statuses(received: &str) -> Vec<&str> {
    received.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect()
}

//! A persistent HTTP/1.1 connection without a client library, so that malformed requests can be sent and the state of the connection
//! afterwards is visible.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// A connection to a server at `http://…`.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    /// The body as JSON, or as a string if it is not JSON.
    pub body: Value,
}

impl Response {
    /// The error message of the body.
    pub fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }
}

impl Connection {
    /// Connects to a server.
    pub fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address.trim_start_matches("http://")).with_context(|| address.to_owned())?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends bytes unchanged.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// Sends a request and reads its response. `headers` are lines without a line end.
    pub fn request(&mut self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Result<Response> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for header in headers {
            head += &format!("{header}\r\n");
        }
        self.send(format!("{head}\r\n").as_bytes())?;
        self.send(body)?;
        self.read_response()
            .with_context(|| format!("{method} {path} of {} bytes", body.len()))
    }

    /// Reads the next response.
    pub fn read_response(&mut self) -> Result<Response> {
        let first = self.read_line()?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("`{first}` is no answer"))?;
        let mut headers = BTreeMap::new();
        loop {
            let line = self.read_line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into());
        Ok(Response { status, headers, body })
    }

    fn read_line(&mut self) -> Result<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line)?;
        ensure!(read > 0, "the server closed the connection");
        Ok(line.trim_end().to_owned())
    }
}

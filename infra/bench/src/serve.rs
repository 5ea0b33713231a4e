//! Requests of one flight each over HTTP by sixteen clients, with the log on, compared with the same model on the same rows in this
//! process.
//!
//! The clients share the machine with the server, so the figure includes their cost.

use std::{
    cell::Cell,
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::json;
use tidemill_core::record::ModelVersion;
use tidemill_harness::{flights, server::Server};
use tidemill_nn::{Backend, NativeFirst, OnnxRuntime, Tensor, Tract, find_onnxruntime};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    Arguments,
    numbers::{quantile, to_micros, to_millis},
    project,
};

const CLIENTS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);

pub(crate) fn run(arguments: &Arguments) -> Result<serde_json::Value> {
    let (server, files) = project::with_champion(arguments)?;
    let inputs = flights::inputs(&server)?;
    let requests = flights::requests(&server, &inputs, &flights::raw_key(&files[2]), Some(1))?;
    let (rate, mut took) = load(&server, &requests)?;
    let (half, most) = (to_millis(quantile(&mut took, 0.5)), to_millis(quantile(&mut took, 0.99)));
    println!("serve: {rate:.0} requests/s of one row by {CLIENTS} clients, p50 {half:.2} ms, p99 {most:.2} ms (aim: 8000 requests/s)");
    let mut report = json!({ "requests_per_second": rate, "clients": CLIENTS, "p50_ms": half, "p99_ms": most });
    for (name, engine) in engines() {
        let native = native(&server, engine.as_ref())?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let ratio = cores / rate / native.as_secs_f64();
        println!(
            "  {name} in the process: {:.1} µs a row; a request over HTTP takes {ratio:.1} times as much of a core",
            to_micros(native)
        );
        report[format!("native_{name}_us")] = json!(to_micros(native));
        report[format!("http_over_native_{name}")] = json!(ratio);
    }
    server.stop()?;
    Ok(report)
}

fn engines() -> Vec<(&'static str, Arc<dyn Backend>)> {
    let mut engines: Vec<(&'static str, Arc<dyn Backend>)> =
        vec![("tract", Arc::new(Tract)), ("own", Arc::new(NativeFirst::new(Arc::new(Tract))))];
    if let Some(Ok(native)) = find_onnxruntime().map(|path| OnnxRuntime::open(&path)) {
        engines.insert(0, ("onnxruntime", Arc::new(native)));
    }
    engines
}

/// Requests per second, and the duration of each request.
fn load(server: &Server, requests: &[String]) -> Result<(f64, Vec<Duration>)> {
    let clients = Clients {
        address: server.address.trim_start_matches("http://").to_owned(),
        requests,
        counting: Cell::new(false),
        stopped: Cell::new(false),
    };
    // One thread for all clients, so that switching between them takes no core from the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = try_join_all((0..CLIENTS).map(|number| clients.run(number)));
        let watching = async {
            tokio::time::sleep(WARM_UP).await;
            let start = Instant::now();
            clients.counting.set(true);
            tokio::time::sleep(MEASURED).await;
            clients.counting.set(false);
            clients.stopped.set(true);
            start.elapsed().as_secs_f64()
        };
        let (took, seconds) = tokio::join!(running, watching);
        let took = took?.concat();
        Ok((took.len() as f64 / seconds, took))
    })
}

/// The state of all clients, which share one thread.
struct Clients<'a> {
    address: String,
    requests: &'a [String],
    counting: Cell<bool>,
    stopped: Cell<bool>,
}

impl Clients<'_> {
    /// Sends requests one after the other on one connection. Returns the duration of each counted one. A status other than 200 is an error.
    async fn run(&self, number: usize) -> Result<Vec<Duration>> {
        let mut connection = Connection::open(&self.address).await?;
        let mut took = Vec::new();
        for (n, request) in self.requests.iter().cycle().skip(number * 997).enumerate() {
            if self.stopped.get() {
                break;
            }
            let request = request.replacen("{\"id\":\"", &format!("{{\"id\":\"bench-{number}-{n}-"), 1);
            let start = Instant::now();
            let status = connection.ask(&request).await?;
            ensure!(status == 200, "a request was answered with {status}");
            if self.counting.get() {
                took.push(start.elapsed());
            }
        }
        Ok(took)
    }
}

/// A persistent connection that parses as little of a response as possible.
struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: Vec::new(),
            answer: Vec::new(),
        })
    }

    /// Sends a body and reads the response. Returns its status.
    async fn ask(&mut self, body: &str) -> Result<u16> {
        self.request.clear();
        write!(
            self.request,
            "POST /v2/models/late/infer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        self.stream.write_all(&self.request).await?;
        self.answer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the server hung up");
            if let Some((status, whole)) = head(&self.answer)?
                && self.answer.len() >= whole
            {
                return Ok(status);
            }
        }
    }
}

/// The status and total length of a response, once its head is complete.
fn head(answer: &[u8]) -> Result<Option<(u16, usize)>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end])?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then_some(value)
    });
    let length: usize = length.context("an answer has no length")?.parse()?;
    Ok(Some((status, end + 4 + length)))
}

/// Scores one row at a time with the champion, without HTTP, parsing, transform or log.
fn native(server: &Server, engine: &dyn Backend) -> Result<Duration> {
    let version: ModelVersion = server.json("models/late/versions/1.json")?.context("there is no version 1")?;
    let onnx = server.runtime.block_on(server.store.get(&version.onnx))?;
    let graph = engine.load(&version.onnx, &onnx)?;
    let transform = server.runtime.block_on(server.store.get(&version.transform))?;
    let width = flights::feature_count(&transform)?;
    let row: Vec<f32> = (0..width).map(|column| column as f32).collect();
    let once = || -> Result<()> {
        let features = Tensor::from_f32(vec![1, width], &row)?;
        ensure!(graph.compute(vec![("features".into(), features)])?.len() == 1, "one output was due");
        Ok(())
    };
    for _ in 0..200 {
        once()?;
    }
    let (start, mut calls) = (Instant::now(), 0u32);
    while start.elapsed() < Duration::from_secs(1) {
        once()?;
        calls += 1;
    }
    Ok(start.elapsed() / calls)
}

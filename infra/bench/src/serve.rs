//! One flight a request over HTTP by sixteen clients, the log on; beside it the same model on the same rows in this process.
//!
//! The clients share the machine with the server: what they cost is in the number.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidemill_core::record::Version;
use tidemill_demo::{months, server::Server, traffic};
use tidemill_host::nn::{Nn, OnnxRuntime, Tensor, Tract, Trained, find_onnxruntime};

use crate::{
    Arguments,
    numbers::{micros, millis, share},
    project,
};

const CLIENTS: usize = 16;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);

pub(crate) fn run(arguments: &Arguments) -> Result<serde_json::Value> {
    let (server, files) = project::with_champion(arguments)?;
    let inputs = traffic::inputs(&server)?;
    let requests = traffic::requests(&server, &inputs, &months::raw_key(&files[2]), Some(1))?;
    let (rate, mut took) = load(&server, &requests)?;
    let (half, most) = (millis(share(&mut took, 0.5)), millis(share(&mut took, 0.99)));
    println!("serve: {rate:.0} requests/s of one row by {CLIENTS} clients, p50 {half:.2} ms, p99 {most:.2} ms (aim: 8000 requests/s)");
    let mut report = json!({ "requests_per_second": rate, "clients": CLIENTS, "p50_ms": half, "p99_ms": most });
    for (name, engine) in engines() {
        let native = native(&server, engine.as_ref())?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let ratio = cores / rate / native.as_secs_f64();
        println!(
            "  {name} in the process: {:.1} µs a row; a request over HTTP takes {ratio:.1} times as much of a core",
            micros(native)
        );
        report[format!("native_{name}_us")] = json!(micros(native));
        report[format!("http_over_native_{name}")] = json!(ratio);
    }
    server.stop()?;
    Ok(report)
}

fn engines() -> Vec<(&'static str, Arc<dyn Nn>)> {
    let mut engines: Vec<(&'static str, Arc<dyn Nn>)> =
        vec![("tract", Arc::new(Tract)), ("own", Arc::new(Trained::before(Arc::new(Tract))))];
    if let Some(Ok(native)) = find_onnxruntime().map(|path| OnnxRuntime::open(&path)) {
        engines.insert(0, ("onnxruntime", Arc::new(native)));
    }
    engines
}

/// Requests a second, and how long each took.
fn load(server: &Server, requests: &[String]) -> Result<(f64, Vec<Duration>)> {
    let address = server.address.trim_start_matches("http://").to_owned();
    let (counting, stop, failed) = (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    let mut took = Vec::new();
    let seconds = std::thread::scope(|scope| -> Result<f64> {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (address, counting, stop, failed) = (&address, &counting, &stop, &failed);
                scope.spawn(move || -> Result<Vec<Duration>> {
                    let mut connection = Connection::open(address)?;
                    let mut took = Vec::new();
                    for (n, request) in requests.iter().cycle().skip(client * 997).enumerate() {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let request = request.replacen("{\"id\":\"", &format!("{{\"id\":\"bench-{client}-{n}-"), 1);
                        let start = Instant::now();
                        if connection.ask(&request)? != 200 {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                        if counting.load(Ordering::Relaxed) {
                            took.push(start.elapsed());
                        }
                    }
                    Ok(took)
                })
            })
            .collect();
        std::thread::sleep(WARM_UP);
        let start = Instant::now();
        counting.store(true, Ordering::Relaxed);
        std::thread::sleep(MEASURED);
        counting.store(false, Ordering::Relaxed);
        let seconds = start.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let client = client.join().ok().context("a client ended in a panic")?;
            took.extend(client?);
        }
        Ok(seconds)
    })?;
    ensure!(
        failed.load(Ordering::Relaxed) == 0,
        "{} requests failed",
        failed.load(Ordering::Relaxed)
    );
    Ok((took.len() as f64 / seconds, took))
}

/// A kept connection that reads no more of an answer than it must.
struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            line: String::new(),
            body: Vec::new(),
        })
    }

    fn ask(&mut self, body: &str) -> Result<u16> {
        let request = format!(
            "POST /v2/models/late/infer HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut status, mut length) = (0, 0);
        loop {
            self.line.clear();
            ensure!(self.stream.read_line(&mut self.line)? > 0, "the server hung up");
            let line = self.line.trim_end();
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest[..3].parse()?;
            } else if let Some((name, value)) = line.split_once(": ") {
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.parse()?;
                }
            } else if line.is_empty() {
                break;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok(status)
    }
}

/// One row at a time through the champion, without HTTP, parsing, transform or log.
fn native(server: &Server, engine: &dyn Nn) -> Result<Duration> {
    let version: Version = server.json("models/late/versions/1.json")?.context("there is no version 1")?;
    let onnx = server.runtime.block_on(server.store.get(&version.onnx))?;
    let graph = engine.load(&version.onnx, &onnx)?;
    let transform = server.runtime.block_on(server.store.get(&version.transform))?;
    let width = tidemill_demo::months::width(&transform)?;
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

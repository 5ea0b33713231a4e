//! What `tidemill up` answers over HTTP beside the predict component: rows come in at `POST /data/<dataset>`, notices of a bucket's
//! objects at `POST /events`, the flow's state goes out.
//!
//! An answer to `POST /data` is sent after the rows are an object in the store: from then on nothing loses them.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tidemill_core::{Digest, Error, ErrorKind, PutResult, Result, notification};
use tidemill_engine::{
    ServerHandle,
    serve::{HostRoutes, ServeLimits, ServeOptions, Server, listen},
};
use tidemill_flow::Flow;
use tidemill_host::{Store, log::DurableLog, nn};
use tokio::net::TcpListener;

use crate::{commands::known_dataset, project::Project};

/// The flow, once it runs.
pub(crate) type FlowSlot = Arc<OnceLock<Flow>>;

/// Takes an address such as `127.0.0.1:8080`.
pub(crate) async fn bind(addr: &str) -> Result<TcpListener> {
    listen(resolve(addr)?).await
}

/// Serves the project's predict component; with a `flow`, also the flow's own routes.
pub(crate) async fn start(
    project: &Project,
    store: &Store,
    log: DurableLog,
    listener: TcpListener,
    flow: Option<FlowSlot>,
) -> Result<ServerHandle> {
    let path = project.component_path(&project.pipeline.predict_component)?;
    let component = std::fs::read(&path).map_err(|e| Error::config(format!("`{}` cannot be read: {e}", path.display())))?;
    Server::start(ServeOptions {
        cache_dir: project.compile_cache_dir(),
        component,
        store: store.clone(),
        log,
        nn: nn::open_backend(nn::BackendChoice::OnnxRuntime),
        listener,
        limits: ServeLimits::default(),
        host_routes: flow.map(|flow| extra(project.clone(), flow)),
    })
    .await
}

fn resolve(addr: &str) -> Result<SocketAddr> {
    let found = addr.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| Error::config(format!("`{addr}` is not an address with a port, such as `127.0.0.1:8080`")))
}

fn extra(project: Project, flow: FlowSlot) -> HostRoutes {
    let project = Arc::new(project);
    HostRoutes {
        matches: Arc::new(|_: &Method, path: &str| path.starts_with("/data/") || matches!(path, "/healthz" | "/status" | "/events")),
        handle: Arc::new(move |request| {
            let (project, flow) = (project.clone(), flow.clone());
            Box::pin(async move { answer(&project, flow.get(), request).await })
        }),
    }
}

async fn answer(project: &Project, flow: Option<&Flow>, request: Request<Bytes>) -> Response<Bytes> {
    let Some(flow) = flow else {
        return error_response(&Error::transient("the flow is being started; ask again in a moment"));
    };
    let path = request.uri().path().to_owned();
    let allowed = match path.as_str() {
        "/events" => "GET, POST",
        path if path.starts_with("/data/") => "POST",
        _ => "GET",
    };
    if !allowed.split(", ").any(|method| method == request.method().as_str()) {
        let message = format!("`{path}` does not take `{}`; it takes {allowed}", request.method());
        let mut answer = json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": message }));
        answer
            .headers_mut()
            .insert(header::ALLOW, header::HeaderValue::from_static(allowed));
        return answer;
    }
    let answered = match (request.method(), path.as_str()) {
        (&Method::GET, "/healthz") => Ok(json_response(StatusCode::OK, &json!({ "status": "ok" }))),
        (&Method::GET, "/status") => flow
            .status()
            .await
            .map(|status| json_response(StatusCode::OK, &serde_json::to_value(status).unwrap_or_default())),
        (&Method::GET, "/events") => Ok(json_response(StatusCode::OK, &events(flow))),
        (&Method::POST, "/events") => receive_notification(flow, &request)
            .await
            .map(|looked| json_response(StatusCode::ACCEPTED, &json!({ "looked-at": looked }))),
        (&Method::POST, path) if path.starts_with("/data/") => {
            let dataset = path["/data/".len()..].to_owned();
            ingest(project, flow, &dataset, request).await
        }
        (method, _) => Err(Error::not_found(format!(
            "there is no `{method} {path}`; there is GET /healthz, GET /status, GET and POST /events, and POST /data/<dataset>"
        ))),
    };
    answered.unwrap_or_else(|error| error_response(&error))
}

fn events(flow: &Flow) -> Value {
    let item = |(item, running): (tidemill_flow::QueueItem, bool)| {
        let mut value = serde_json::to_value(item).unwrap_or_default();
        value["running"] = running.into();
        value
    };
    flow.items().into_iter().map(item).collect()
}

/// What a bucket's server sends; answered after it waits in the flow's durable queue.
async fn receive_notification(flow: &Flow, request: &Request<Bytes>) -> Result<usize> {
    let header = |name: &str| Some(request.headers().get(name)?.to_str().ok()?.to_owned());
    let notices = notification::parse_http(&header, request.body())?;
    flow.handle_events(&notices).await
}

/// The file ending of a body, going by its headers; or why it cannot be read.
fn body_extension(headers: &HeaderMap) -> Result<&'static str, String> {
    let text = |name: header::HeaderName| {
        let value = headers.get(name).map(header::HeaderValue::as_bytes).unwrap_or_default();
        String::from_utf8_lossy(value).trim().to_ascii_lowercase()
    };
    let encoding = text(header::CONTENT_ENCODING);
    if !matches!(encoding.as_str(), "" | "identity") {
        return Err(format!(
            "the body is encoded as `{encoding}`; send the file as it is, without a content encoding"
        ));
    }
    let kind = text(header::CONTENT_TYPE);
    match kind.split(';').next().unwrap_or_default().trim() {
        "text/csv" | "application/csv" => Ok("csv"),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => Ok("jsonl"),
        "application/vnd.apache.parquet" | "application/x-parquet" => Ok("parquet"),
        _ => Err(format!(
            "the content type is `{kind}`; send `text/csv`, `application/x-ndjson` or `application/vnd.apache.parquet`"
        )),
    }
}

async fn ingest(project: &Project, flow: &Flow, dataset: &str, request: Request<Bytes>) -> Result<Response<Bytes>> {
    known_dataset(project, dataset)?;
    let ending = match body_extension(request.headers()) {
        Ok(ending) => ending,
        Err(unread) => return Ok(json_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, &json!({ "error": unread }))),
    };
    let bytes = request.into_body();
    if bytes.is_empty() {
        return Err(Error::input("the body is empty; send the rows in it"));
    }
    // Named by content: the same rows sent again are the same object.
    let key = format!("raw/{dataset}/posted-{}.{ending}", &Digest::sha256(&bytes).as_str()[..32]);
    let size = bytes.len();
    let put = flow.put(&key, bytes.to_vec()).await?;
    let taken = json!({ "key": key, "bytes": size, "new": put == PutResult::Written });
    Ok(json_response(StatusCode::ACCEPTED, &taken))
}

fn json_response(status: StatusCode, value: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("{value}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// An error as an answer. What is ours to mend is said to the log, not to the client.
fn error_response(error: &Error) -> Response<Bytes> {
    let status = StatusCode::from_u16(error.kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = match error.kind {
        ErrorKind::Bug => {
            tracing::error!("{error}");
            "something failed inside; the server's log says what"
        }
        _ => &error.message,
    };
    json_response(status, &json!({ "error": message }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_and_addresses() {
        let of = |kind: &'static str, encoding: &'static str| {
            let value = header::HeaderValue::from_static;
            body_extension(&HeaderMap::from_iter([
                (header::CONTENT_TYPE, value(kind)),
                (header::CONTENT_ENCODING, value(encoding)),
            ]))
        };
        assert_eq!(of("Text/CSV; charset=utf-8", "identity").unwrap(), "csv");
        assert_eq!(of("application/x-ndjson", "").unwrap(), "jsonl");
        assert!(of("application/json", "").unwrap_err().contains("`application/json`"));
        assert!(of("text/csv", "gzip").unwrap_err().contains("`gzip`"));
        assert!(body_extension(&HeaderMap::new()).unwrap_err().contains("send `text/csv`"));
        assert_eq!(resolve("127.0.0.1:0").unwrap().port(), 0);
        assert!(resolve("8080").unwrap_err().message.contains("`8080`"));
    }
}

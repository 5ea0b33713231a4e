//! To whom a request goes, and what it is told.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use wasmtime_wasi_http::{Error, WasiBody, handler::ProxyHandler};

use crate::{instances::Instances, route::Routes};

/// What Spin tells a component of the path below its route.
const BELOW: HeaderName = HeaderName::from_static("spin-path-info");

pub(crate) struct Front {
    pub(crate) routes: Routes,
    /// By the component's name.
    pub(crate) handlers: BTreeMap<String, ProxyHandler<Instances>>,
}

impl Front {
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<WasiBody> {
        let Some((component, below)) = self.routes.find(request.uri().path()) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let mut request = whole(request.map(|body| body.map_err(Error::from).boxed_unsync()));
        if let Ok(below) = HeaderValue::from_str(&below) {
            request.headers_mut().insert(BELOW, below);
        }
        self.component(component, request).await
    }

    /// What a component answers, whoever asks.
    pub(crate) async fn component(&self, component: &str, request: Request<WasiBody>) -> Response<WasiBody> {
        let Some(handler) = self.handlers.get(component) else {
            return empty(StatusCode::NOT_FOUND);
        };
        match handler.handle((), request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::error!("`{component}` failed on a request: {error:#}");
                empty(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

/// A component sees the whole address that was asked.
fn whole(mut request: Request<WasiBody>) -> Request<WasiBody> {
    let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
    let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let uri = http::Uri::builder()
        .scheme("http")
        .authority(host.unwrap_or("localhost"))
        .path_and_query(path)
        .build();
    if let Ok(uri) = uri {
        *request.uri_mut() = uri;
    }
    request
}

fn empty(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

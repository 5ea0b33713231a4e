//! HTTP functions, behind function URLs and API Gateway. What these add to a request (base64, a stage's name before the path) is removed
//! here.

use std::{future::Future, sync::Arc};

use anyhow::{Context as _, anyhow};
use lambda_http::{
    Body, Request, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header::CONTENT_TYPE},
    request::RequestContext,
    service_fn,
};
use tidemill_core::Result;

use crate::{ServingEnvironment, exit};

/// Answers HTTP requests with JSON.
pub trait Serve: Send + Sync + 'static {
    /// The status and the JSON of the response. `path` has no API Gateway stage before it.
    fn answer(&self, method: Method, path: String, headers: HeaderMap, body: Vec<u8>) -> impl Future<Output = (StatusCode, String)> + Send;
}

/// Serves until Lambda ends the process: the `main` of an HTTP function. A start that fails ends the process with the exit code of the
/// error's kind.
pub fn run_http<S: Serve>(open: impl FnOnce(ServingEnvironment) -> Result<S>) {
    if let Err(error) = serve(open) {
        exit(&error);
    }
}

fn serve<S: Serve>(open: impl FnOnce(ServingEnvironment) -> Result<S>) -> anyhow::Result<()> {
    lambda_http::tracing::init_default_subscriber();
    let server = Arc::new(open(ServingEnvironment::from_environment()?)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")?;
    let service = service_fn(move |request: Request| {
        let server = server.clone();
        async move { Ok::<_, lambda_http::Error>(respond(&*server, request).await) }
    });
    runtime
        .block_on(lambda_http::run(service))
        .map_err(|e| anyhow!("{e}"))
        .context("the Lambda runtime ended")
}

/// Answers one request of Lambda.
pub async fn respond(server: &impl Serve, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let path = without_stage(head.uri.path(), head.extensions.get::<RequestContext>()).to_owned();
    let (status, json) = server.answer(head.method, path, head.headers, body.to_vec()).await;
    let mut response = Response::new(Body::Text(json));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// `/prod/v2/models` is `/v2/models` at the stage `prod`; the default stage, and a function URL, have no such beginning.
fn without_stage<'a>(path: &'a str, context: Option<&RequestContext>) -> &'a str {
    let stage = match context {
        Some(RequestContext::ApiGatewayV2(context)) => context.stage.as_deref(),
        Some(RequestContext::ApiGatewayV1(context)) => context.stage.as_deref(),
        _ => None,
    };
    stage
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Answers with the request.
    struct Echo;

    impl Serve for Echo {
        async fn answer(&self, method: Method, path: String, _headers: HeaderMap, body: Vec<u8>) -> (StatusCode, String) {
            let body = String::from_utf8_lossy(&body).into_owned();
            (StatusCode::IM_A_TEAPOT, json!([method.as_str(), path, body]).to_string())
        }
    }

    async fn asked(stage: &str, path: &str, body: &str, base64: bool) -> (StatusCode, String) {
        let payload = json!({
            "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": { "host": "h.example" },
            "requestContext": { "accountId": "1", "apiId": "a", "domainName": "h.example", "requestId": "r", "routeKey": "$default", "stage": stage,
                "http": { "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "test" },
                "time": "11/Jan/2023:11:45:34 +0000", "timeEpoch": 1_673_437_534_837_i64 },
            "body": body, "isBase64Encoded": base64
        });
        let request = lambda_http::request::from_str(&payload.to_string()).unwrap();
        let response = respond(&Echo, request).await;
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        (response.status(), String::from_utf8(response.body().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn stages_and_base64_end_here() {
        let teapot = |text: &str| (StatusCode::IM_A_TEAPOT, text.to_owned());
        let plain = teapot(r#"["POST","/v2/models/late/infer","{}"]"#);
        assert_eq!(asked("$default", "/v2/models/late/infer", "{}", false).await, plain);
        assert_eq!(asked("$default", "/v2/models/late/infer", "e30=", true).await, plain);
        assert_eq!(asked("prod", "/prod/v2/models/late/infer", "{}", false).await, plain);
        assert_eq!(asked("v2", "/v2/v2", "", false).await, teapot(r#"["POST","/v2",""]"#));
        assert_eq!(asked("v", "/v/v2", "", false).await, teapot(r#"["POST","/v2",""]"#));
    }
}

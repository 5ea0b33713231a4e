//! A queue of SQS, by the three requests that a reader needs: signed and sent like those of the store, so that no other client is needed.

use std::time::Duration;

use object_store::{
    ClientOptions,
    aws::{AmazonS3ConfigKey, AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpConnector, HttpError, HttpRequestBody},
};
use serde_json::{Value, json};
use tidemill_core::{Error, Result};

use super::http::Connector;
use crate::{
    error::{Cause, Endpoint, ServerError},
    transport::TransportError,
};

/// How long a request for messages waits for the first one, in seconds: the longest that SQS takes.
const WAIT_SECONDS: u64 = 20;
/// Messages of one answer: the most that SQS gives.
const MAX_MESSAGES: usize = 10;

/// A message that was received and is hidden from others for the queue's visibility timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Names it in logs.
    pub id: String,
    /// What was sent.
    pub body: String,
    receipt: String,
}

/// A queue of SQS, or of a server that speaks its JSON protocol.
#[derive(Debug, Clone)]
pub struct MessageQueue {
    url: String,
    server: String,
    region: String,
    credentials: AwsCredentialProvider,
    client: HttpClient,
}

impl MessageQueue {
    /// The queue with this URL, such as `https://sqs.eu-west-1.amazonaws.com/123456789012/notices`. Credentials as for the store.
    pub fn open(url: &str) -> Result<Self> {
        Self::open_with(url, super::environment_settings()?)
    }

    /// Like [`open`](Self::open), with settings under the names of the AWS variables instead of the environment.
    pub fn open_with(url: &str, settings: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let wrong = |fault: &str| {
            Error::config(format!(
                "`{url}` is not the URL of a queue: {fault}; write it like `https://sqs.eu-west-1.amazonaws.com/123456789012/notices`"
            ))
        };
        let uri: ::http::Uri = url.parse().map_err(|_| wrong("it cannot be read"))?;
        let host = uri.host().ok_or_else(|| wrong("it names no host"))?;
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        let builder = super::configure(settings);
        super::check_scheme(uri.scheme_str(), host, &builder).map_err(|fault| wrong(&fault))?;
        let region = match host.split('.').collect::<Vec<_>>()[..] {
            ["sqs", region, "amazonaws", ..] => region.to_owned(),
            _ => builder
                .get_config_value(&AmazonS3ConfigKey::Region)
                .unwrap_or_else(|| "us-east-1".into()),
        };
        let failed = |e: object_store::Error| wrong(&e.to_string());
        // Only its credentials are used: they come from where the store's come from.
        let s3 = builder
            .with_bucket_name("none")
            .with_http_connector(Connector)
            .build()
            .map_err(failed)?;
        // A request is answered after `WAIT` at the latest.
        let options = ClientOptions::new().with_timeout(Duration::from_secs(WAIT_SECONDS + 10));
        Ok(Self {
            url: url.to_owned(),
            server: format!("{}://{authority}", uri.scheme_str().unwrap_or("https")),
            region,
            credentials: s3.credentials().clone(),
            client: Connector.connect(&options).map_err(failed)?,
        })
    }

    /// Waits for messages, up to 20 seconds; none if there was none.
    pub async fn receive(&self) -> Result<Vec<Message>> {
        let ask = json!({ "QueueUrl": self.url, "MaxNumberOfMessages": MAX_MESSAGES, "WaitTimeSeconds": WAIT_SECONDS });
        let answer = self.call("ReceiveMessage", &ask).await?;
        let messages = answer.get("Messages").and_then(Value::as_array).into_iter().flatten();
        let text = |message: &Value, name: &str| message.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let message = |message: &Value| Message {
            id: text(message, "MessageId"),
            body: text(message, "Body"),
            receipt: text(message, "ReceiptHandle"),
        };
        Ok(messages.map(message).collect())
    }

    /// Removes a message for good.
    pub async fn delete(&self, message: &Message) -> Result<()> {
        let ask = json!({ "QueueUrl": self.url, "ReceiptHandle": message.receipt });
        self.call("DeleteMessage", &ask).await.map(drop)
    }

    async fn call(&self, action: &str, body: &Value) -> Result<Value> {
        self.request(action, body).await.map_err(|cause| {
            let endpoint = Endpoint {
                bucket: None,
                server: self.server.clone(),
            };
            endpoint.explain(&format!("the queue `{}` could not be read", self.url), &cause)
        })
    }

    async fn request(&self, action: &str, body: &Value) -> Result<Value, Cause> {
        let other = |error: &dyn std::fmt::Display| Cause::Other(error.to_string());
        let mut request = ::http::Request::post(format!("{}/", self.server))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AmazonSQS.{action}"))
            .body(HttpRequestBody::from(body.to_string()))
            .map_err(|e| other(&e))?;
        let credential = self.credentials.get_credential().await.map_err(|e| Cause::from(&e))?;
        AwsAuthorizer::new(&credential, "sqs", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|e| Cause::from(&e))?;
        let response = self.client.execute(request).await.map_err(|e| transport_cause(&e))?;
        let status = response.status();
        let body = response.into_body().bytes().await.map_err(|e| transport_cause(&e))?;
        if !status.is_success() {
            return Err(server_cause(status.as_u16(), &body));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|e| Cause::Other(format!("the response is not JSON: {e}")))
    }
}

fn transport_cause(error: &HttpError) -> Cause {
    match TransportError::find(error) {
        Some(found) => Cause::Transport(found.clone()),
        None => Cause::Other(error.to_string()),
    }
}

/// SQS names its errors in JSON, as in `com.amazonaws.sqs#QueueDoesNotExist`.
fn server_cause(status: u16, body: &[u8]) -> Cause {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| parsed.get(name).and_then(Value::as_str);
    match text("__type").map(|kind| kind.rsplit('#').next().unwrap_or(kind)) {
        Some(code) => Cause::Server(ServerError::new(
            code,
            text("message").or_else(|| text("Message")).unwrap_or_default(),
        )),
        None => Cause::Other(format!("status {status}: {}", String::from_utf8_lossy(body))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_a_url() {
        let keys = || ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.to_owned(), "x".to_owned()));
        let open = |url: &str| MessageQueue::open_with(url, keys());
        let queue = open("https://sqs.eu-west-1.amazonaws.com/1/notices").unwrap();
        assert_eq!(
            (queue.region.as_str(), queue.server.as_str()),
            ("eu-west-1", "https://sqs.eu-west-1.amazonaws.com")
        );
        let queue = open("http://127.0.0.1:5000/1/notices").unwrap();
        assert_eq!(queue.server, "http://127.0.0.1:5000");
        for bad in ["notices", "http://10.0.0.1/1/notices", "ftp://x/y"] {
            let error = open(bad).unwrap_err();
            assert!(error.message.contains(&format!("`{bad}`")), "{error}");
        }
    }

    #[test]
    fn errors_have_their_codes() {
        let body = br#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#;
        let Cause::Server(error) = server_cause(400, body) else {
            panic!("it has a code");
        };
        assert_eq!(error.code, "QueueDoesNotExist");
        assert!(matches!(server_cause(500, b"oops"), Cause::Other(text) if text == "status 500: oops"));
    }
}

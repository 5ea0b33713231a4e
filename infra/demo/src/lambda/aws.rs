//! The calls to SQS, EventBridge and S3 that configure and transport a bucket's events. The emulator accepts any signature, and reads the
//! service from it.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// The region; moto accepts any.
pub const REGION: &str = "eu-west-2";

/// An emulator of AWS.
#[derive(Debug, Clone)]
pub struct Aws {
    endpoint: String,
    agent: ureq::Agent,
}

/// A queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// The endpoint of its messages.
    pub url: String,
    /// Its resource name.
    pub arn: String,
}

impl Aws {
    /// A client of `http://127.0.0.1:<port>`.
    pub fn new(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            agent: ureq::Agent::config_builder().http_status_as_error(false).build().into(),
        }
    }

    /// Creates a bucket without events.
    pub fn create_bucket(&self, name: &str) -> Result<()> {
        let text = format!("<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>");
        self.s3(name, &text)
    }

    /// Sends all events of the bucket to EventBridge, and those of new objects under a prefix to its queue.
    pub fn set_notifications(&self, bucket: &str, queues: &[(String, &Queue)]) -> Result<()> {
        let of = |(prefix, queue): &(String, &Queue)| {
            format!(
                "<QueueConfiguration><Queue>{}</Queue><Event>s3:ObjectCreated:*</Event><Filter><S3Key><FilterRule><Name>prefix</Name>\
                 <Value>{prefix}</Value></FilterRule></S3Key></Filter></QueueConfiguration>",
                queue.arn
            )
        };
        let queues: String = queues.iter().map(of).collect();
        let bridge = "<EventBridgeConfiguration></EventBridgeConfiguration>";
        let text = format!("<NotificationConfiguration>{queues}{bridge}</NotificationConfiguration>");
        self.s3(&format!("{bucket}?notification"), &text)
    }

    fn s3(&self, path: &str, body: &str) -> Result<()> {
        let request = self
            .agent
            .put(format!("{}/{path}", self.endpoint))
            .header("authorization", signature("s3"));
        let mut answer = request.send(body)?;
        ensure!(
            answer.status() == 200,
            "S3 refused `{path}`: {}",
            answer.body_mut().read_to_string()?
        );
        Ok(())
    }

    fn call(&self, service: &str, target: &str, body: &Value) -> Result<Value> {
        let request = self
            .agent
            .post(format!("{}/", self.endpoint))
            .header("authorization", signature(service))
            .header("x-amz-target", target)
            .header("content-type", "application/x-amz-json-1.0");
        let mut answer = request.send(body.to_string())?;
        let (status, text) = (answer.status(), answer.body_mut().read_to_string()?);
        ensure!(status == 200, "{target} was answered {status}: {text}");
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{target} was answered `{text}`"))
    }

    fn sqs(&self, action: &str, body: &Value) -> Result<Value> {
        self.call("sqs", &format!("AmazonSQS.{action}"), body)
    }

    /// Creates a queue that hides received messages for half an hour.
    pub fn create_queue(&self, name: &str) -> Result<Queue> {
        let made = self.sqs(
            "CreateQueue",
            &json!({ "QueueName": name, "Attributes": { "VisibilityTimeout": "1800" } }),
        )?;
        let url = made["QueueUrl"].as_str().context("a queue has a URL")?.to_owned();
        let arn = format!("arn:aws:sqs:{REGION}:123456789012:{name}");
        Ok(Queue { url, arn })
    }

    /// Creates a rule that sends `Object Created` of these prefixes to the queue.
    pub fn create_rule(&self, name: &str, bucket: &str, prefixes: &[String], queue: &Queue) -> Result<()> {
        let keys: Vec<Value> = prefixes.iter().map(|prefix| json!({ "prefix": prefix })).collect();
        let pattern = json!({ "source": ["aws.s3"], "detail-type": ["Object Created"], "detail": { "bucket": { "name": [bucket] }, "object": { "key": keys } } });
        self.call(
            "events",
            "AWSEvents.PutRule",
            &json!({ "Name": name, "EventPattern": pattern.to_string() }),
        )?;
        let target = json!({ "Rule": name, "Targets": [{ "Id": "queue", "Arn": queue.arn }] });
        let put = self.call("events", "AWSEvents.PutTargets", &target)?;
        ensure!(put["FailedEntryCount"] == 0, "the rule `{name}` has no target: {put}");
        Ok(())
    }

    /// Sends a message, as a bucket or another account would.
    pub fn send(&self, queue: &Queue, body: &str) -> Result<()> {
        self.sqs("SendMessage", &json!({ "QueueUrl": queue.url, "MessageBody": body }))
            .map(drop)
    }

    /// Receives up to ten messages.
    pub fn receive(&self, queue: &Queue) -> Result<Vec<Value>> {
        let ask = json!({ "QueueUrl": queue.url, "MaxNumberOfMessages": 10, "AttributeNames": ["All"], "WaitTimeSeconds": 0 });
        let got = self.sqs("ReceiveMessage", &ask)?;
        Ok(got["Messages"].as_array().cloned().unwrap_or_default())
    }

    /// Deletes a handled message.
    pub fn delete(&self, queue: &Queue, handle: &Value) -> Result<()> {
        self.sqs("DeleteMessage", &json!({ "QueueUrl": queue.url, "ReceiptHandle": handle }))
            .map(drop)
    }

    /// Makes a message visible again after this many seconds.
    pub fn change_visibility(&self, queue: &Queue, handle: &Value, seconds: u32) -> Result<()> {
        let ask = json!({ "QueueUrl": queue.url, "ReceiptHandle": handle, "VisibilityTimeout": seconds });
        self.sqs("ChangeMessageVisibility", &ask).map(drop)
    }

    /// The number of messages, visible or hidden.
    pub fn message_count(&self, queue: &Queue) -> Result<u64> {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let got = self.sqs("GetQueueAttributes", &json!({ "QueueUrl": queue.url, "AttributeNames": names }))?;
        let count = |name: &str| got["Attributes"][name].as_str().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        Ok(names.into_iter().map(count).sum())
    }
}

/// The part of a signature that the emulator reads.
fn signature(service: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0")
}

//! Payloads with the shapes that AWS, MinIO and the CloudEvents adapter document.

use serde_json::{Value, json};

use super::*;

fn notice(key: &str, kind: EventKind) -> ObjectEvent {
    ObjectEvent {
        bucket: "tide".into(),
        key: key.into(),
        kind,
    }
}

fn created(key: &str) -> ObjectEvent {
    notice(key, EventKind::Created)
}

fn record(version: &str, name: &str, key: &str) -> Value {
    json!({
        "eventVersion": version, "eventSource": "aws:s3", "awsRegion": "us-west-2", "eventTime": "1970-01-01T00:00:00.000Z", "eventName": name,
        "userIdentity": { "principalId": "AIDAJDPLRKLG7UEXAMPLE" }, "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD" },
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "testConfigRule",
            "bucket": { "name": "tide", "ownerIdentity": { "principalId": "A3NL1KOZZKExample" }, "arn": "arn:aws:s3:::tide" },
            "object": { "key": key, "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e", "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko", "sequencer": "0055AED6DCD90281E5" }
        }
    })
}

fn s3(name: &str, key: &str) -> Value {
    json!({ "Records": [record("2.1", name, key)] })
}

fn bridge(kind: &str, key: &str) -> Value {
    json!({
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": kind, "source": "aws.s3", "account": "123456789012",
        "time": "2021-11-12T00:00:00Z", "region": "ca-central-1", "resources": ["arn:aws:s3:::tide"],
        "detail": {
            "version": "0", "bucket": { "name": "tide" }, "object": { "key": key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184", "version-id": "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", "sequencer": "00617F08299329D189" },
            "request-id": "N4N7GDK58NMKJ12R", "requester": "123456789012", "source-ip-address": "1.2.3.4", "reason": "PutObject"
        }
    })
}

fn sns(message: &Value) -> Value {
    json!({
        "Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "TopicArn": "arn:aws:sns:us-west-2:123456789012:t",
        "Resource": "Amazon S3 Notification", "Message": message.to_string(), "Timestamp": "2012-05-02T00:54:06.655Z", "SignatureVersion": "1"
    })
}

fn queued(id: &str, receives: u32, body: &str) -> Value {
    json!({
        "messageId": id, "receiptHandle": "MessageReceiptHandle", "body": body,
        "attributes": { "ApproximateReceiveCount": receives.to_string(), "SentTimestamp": "1523232000000", "SenderId": "123456789012", "ApproximateFirstReceiveTimestamp": "1523232000001" },
        "messageAttributes": {}, "md5OfBody": "7b270e59b47ff90a553787216d55d91d", "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:q", "awsRegion": "us-east-1"
    })
}

#[test]
fn s3_speaks_of_encoded_keys() {
    for (key, expected) in [
        ("HappyFace.jpg", "HappyFace.jpg"),
        ("raw/d/a+b%2Bc.csv", "raw/d/a b+c.csv"),
        ("raw%2Fd%2F%C3%A9t%C3%A9.csv", "raw/d/été.csv"),
        ("raw/%E6%BD%AE%2525.csv", "raw/潮%25.csv"),
    ] {
        for version in ["2.0", "2.1", "2.2", "2.3", "2.9"] {
            let payload = json!({ "Records": [record(version, "ObjectCreated:Put", key)] });
            assert_eq!(parse_events(&payload).unwrap(), [created(expected)], "{version} {key}");
        }
    }
}

#[test]
fn names_of_events() {
    let kind = |name: &str| parse_events(&s3(name, "k")).unwrap().remove(0).kind;
    for name in [
        "ObjectCreated:Put",
        "ObjectCreated:CompleteMultipartUpload",
        "s3:ObjectCreated:Copy",
    ] {
        assert_eq!(kind(name), EventKind::Created, "{name}");
    }
    for name in [
        "ObjectRemoved:Delete",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "LifecycleExpiration:Delete",
    ] {
        assert_eq!(kind(name), EventKind::Removed, "{name}");
    }
    assert_eq!(kind("ObjectTagging:Put"), EventKind::Other("ObjectTagging:Put".into()));
    let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2014-10-13T15:57:02.089Z", "Bucket": "tide", "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE" });
    assert_eq!(parse_events(&test).unwrap(), [notice("", EventKind::Test)]);
}

#[test]
fn event_bridge_speaks_of_keys_as_they_are() {
    assert_eq!(
        parse_events(&bridge("Object Created", "raw/a+b %2F.csv")).unwrap(),
        [created("raw/a+b %2F.csv")]
    );
    assert_eq!(
        parse_events(&bridge("Object Deleted", "k")).unwrap(),
        [notice("k", EventKind::Removed)]
    );
    let other = EventKind::Other("Object Tags Added".into());
    assert_eq!(parse_events(&bridge("Object Tags Added", "k")).unwrap(), [notice("k", other)]);
}

#[test]
fn a_topic_that_asks_to_be_confirmed_is_shown_to_a_person() {
    let url = format!(
        "https://sns.eu-west-2.amazonaws.com/?Action=ConfirmSubscription&Token={}",
        "2".repeat(300)
    );
    let asked = json!({
        "Type": "SubscriptionConfirmation", "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b", "Token": "2336412f37",
        "TopicArn": "arn:aws:sns:eu-west-2:123456789012:MyTopic", "SubscribeURL": url, "SignatureVersion": "1",
        "Message": "You have chosen to subscribe to the topic arn:aws:sns:eu-west-2:123456789012:MyTopic.",
        "Timestamp": "2012-04-26T20:45:04.751Z",
    });
    let [one] = parse_events(&asked).unwrap().try_into().unwrap();
    assert!(matches!(&one.kind, EventKind::Other(what) if what.ends_with(&url)), "{one:?}");
}

#[test]
fn schedules_have_a_time() {
    let mut event = json!({
        "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event", "source": "aws.events",
        "account": "123456789012", "time": "2015-10-08T16:53:06Z", "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/my-scheduled-rule"], "detail": {}
    });
    let time = "2015-10-08T16:53:06Z".parse().ok();
    assert_eq!(parse_scheduled_time(&event), time);
    event["source"] = "aws.scheduler".into();
    assert_eq!(parse_scheduled_time(&event), time);
    event["source"] = "aws.s3".into();
    assert_eq!(parse_scheduled_time(&event), None);
    assert_eq!(parse_scheduled_time(&bridge("Object Created", "k")), None);
}

#[test]
fn queues_hold_any_of_them_and_each_item_stands_alone() {
    let direct = s3("ObjectCreated:Put", "a%2Fb");
    let batch = json!({ "Records": [
        queued("1", 1, &direct.to_string()),
        queued("2", 7, &bridge("Object Created", "b c").to_string()),
        queued("3", 1, &sns(&direct).to_string()),
        queued("4", 2, "no event"),
        queued("5", 1, &json!({ "Records": [queued("6", 1, &direct.to_string())] }).to_string()),
    ]});
    let found = parse_messages(&batch).unwrap().unwrap();
    let read: Vec<_> = found
        .iter()
        .map(|m| (m.id.as_str(), m.receive_count, m.events.clone().ok()))
        .collect();
    let expected = [
        ("1", 1, Some(vec![created("a/b")])),
        ("2", 7, Some(vec![created("b c")])),
        ("3", 1, Some(vec![created("a/b")])),
        ("4", 2, None),
        ("5", 1, None),
    ];
    assert_eq!(read, expected);
    assert!(found[3].events.as_ref().unwrap_err().message.contains("`no event`"));
    assert_eq!(parse_messages(&direct), Ok(None));
    assert_eq!(parse_messages(&bridge("Object Created", "k")), Ok(None));
    assert_eq!(parse_messages(&json!({ "Records": [] })), Ok(None));
    let nameless = json!({ "Records": [{ "body": "{}", "eventSource": "aws:sqs" }] });
    assert!(parse_messages(&nameless).unwrap_err().message.contains("`messageId`"));
    let topic = json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0", "Sns": sns(&direct) }] });
    assert_eq!(parse_events(&topic).unwrap(), [created("a/b")]);
}

#[test]
fn minio_encodes_even_slashes() {
    let mut inner = record("2.0", "s3:ObjectCreated:Put", "raw%2Fd%2Fa+b.csv");
    inner["eventSource"] = "minio:s3".into();
    let webhook = json!({ "EventName": "s3:ObjectCreated:Put", "Key": "tide/raw/d/a b.csv", "Records": [inner] });
    let body = webhook.to_string();
    assert_eq!(parse_http(&|_| None, body.as_bytes()).unwrap(), [created("raw/d/a b.csv")]);
}

#[test]
fn cloud_events_in_three_modes() {
    let attributes = json!({ "specversion": "1.0", "id": "1", "type": "com.amazonaws.s3.ObjectCreated:Put", "source": "aws:s3.us-west-2.tide", "subject": "raw/a+b.csv" });
    let with = |data: Value| {
        let mut event = attributes.clone();
        event["data"] = data;
        event
    };
    let inner = record("2.1", "ObjectCreated:Put", "raw/a+b.csv");
    let detail = bridge("Object Created", "raw/a b.csv")["detail"].clone();
    let datas = [
        inner.clone(),
        json!({ "Records": [inner.clone()] }),
        detail,
        bridge("Object Created", "raw/a b.csv"),
        Value::Null,
    ];
    let expected = [created("raw/a b.csv")];
    for event in datas.into_iter().map(with).chain([attributes.clone()]) {
        let kind = |name: &str| (name == "content-type").then(|| "application/cloudevents+json; charset=utf-8".to_owned());
        assert_eq!(parse_http(&kind, event.to_string().as_bytes()).unwrap(), expected, "{event}");
    }
    let batch = json!([attributes, attributes]).to_string();
    let kind = |name: &str| (name == "content-type").then(|| "application/cloudevents-batch+json".to_owned());
    assert_eq!(parse_http(&kind, batch.as_bytes()).unwrap().len(), 2);
    let headers = |name: &str| {
        let value = match name {
            "ce-specversion" => "1.0",
            "ce-type" => "com.amazonaws.s3.ObjectRemoved:Delete",
            "ce-source" => "aws:s3.us-west-2.tide",
            "ce-subject" => "raw/%C3%A9t%C3%A9.csv",
            "content-type" => "application/json",
            _ => return None,
        };
        Some(value.to_owned())
    };
    assert_eq!(parse_http(&headers, b"").unwrap(), [notice("raw/été.csv", EventKind::Removed)]);
    assert_eq!(
        parse_http(&headers, inner.to_string().as_bytes()).unwrap(),
        expected,
        "the data is more than the attributes"
    );
}

#[test]
fn what_a_page_can_send_unasked_is_no_event() {
    let is_taken = |headers: &[(&str, &str)]| {
        let header = |name: &str| {
            headers
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        check_media(&header).is_ok()
    };
    for kind in [
        "application/json; charset=utf-8",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
    ] {
        assert!(is_taken(&[("content-type", kind)]), "{kind}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        assert!(!is_taken(&[("content-type", kind)]), "{kind}");
    }
    assert!(!is_taken(&[]));
    assert!(!is_taken(&[("content-type", "application/json"), ("content-encoding", "gzip")]));
    assert!(is_taken(&[
        ("content-type", "text/plain; charset=UTF-8"),
        ("x-amz-sns-message-type", "Notification")
    ]));
    assert!(is_taken(&[("ce-specversion", "1.0")]));
}

#[test]
fn what_is_none_is_taught() {
    let message = |payload: Value| parse_events(&payload).unwrap_err().message;
    for (payload, says) in [
        (json!({ "hello": 1 }), "`{\"hello\":1}`"),
        (json!([]), "Object Created"),
        (json!({ "Records": 1 }), "`Records` are not a list"),
        (json!({ "Records": [{ "kinesis": {} }] }), "record 0: this is no event"),
        (json!({ "Records": [record("3.0", "ObjectCreated:Put", "k")] }), "version `3.0`"),
        (s3("ObjectCreated:Put", "100%.csv"), "`%.c` is no escape"),
        (s3("ObjectCreated:Put", "a%+1"), "`%+1` is no escape"),
        (s3("ObjectCreated:Put", "a%2"), "`%2` is no escape"),
        (s3("ObjectCreated:Put", "%FF"), "is not UTF-8"),
        (
            json!({ "Records": [{ "s3": { "bucket": { "name": "tide" } }, "eventName": "x" }] }),
            "no `s3.object.key`",
        ),
        (
            json!({ "detail-type": "Object Created", "source": "aws.ec2", "detail": {} }),
            "of `aws.ec2`",
        ),
        (
            json!({ "detail-type": "Object Created", "source": "aws.s3", "detail": {} }),
            "no `bucket.name`",
        ),
        (json!({ "Event": "s3:Other" }), "`s3:Other`"),
        (json!({ "specversion": "0.3", "type": "x" }), "version `0.3`"),
        (json!({ "specversion": "1.0", "type": "x", "source": "elsewhere" }), "type `x`"),
        (json!({ "Type": "Notification" }), "without `Message`"),
    ] {
        let message = message(payload);
        assert!(message.contains(says), "{message} should say {says}");
    }
    assert!(parse_http(&|_| None, b"{").unwrap_err().message.contains("not JSON"));
    assert_eq!(parse_events(&json!({ "key": "x" })).unwrap()[0].key, "x");
}

//! The bucket: the only state. It outlives the stack, tells EventBridge of every object, and speaks TLS with its owner alone.

use serde_json::json;

use super::{
    parameters::ACCESS_LOG,
    policy::{Policy, only_tls},
    resources::{Bucket, BucketPolicy, Tag},
    template::{Resource, Section, Value},
};

const SKIPPED: [(&str, &str); 1] = [("CKV_AWS_18", "access is logged if the parameter AccessLogBucket names a bucket")];

pub(super) fn add(resources: &mut Section<Resource>, tags: Vec<Tag>) {
    let log = json!({ "DestinationBucketName": { "Ref": "AccessLogBucket" }, "LogFilePrefix": { "Ref": "AWS::StackName" } });
    let bucket = Bucket {
        bucket_encryption: json!({
            "ServerSideEncryptionConfiguration": [{ "ServerSideEncryptionByDefault": { "SSEAlgorithm": "AES256" } }]
        }),
        versioning_configuration: json!({ "Status": "Enabled" }),
        public_access_block_configuration: json!({
            "BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true
        }),
        ownership_controls: json!({ "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] }),
        notification_configuration: json!({ "EventBridgeConfiguration": { "EventBridgeEnabled": true } }),
        lifecycle_configuration: json!({ "Rules": [
            {
                "Id": "earlier-contents", "Status": "Enabled",
                "NoncurrentVersionExpiration": { "NoncurrentDays": 30 }
            },
            {
                "Id": "unfinished-uploads", "Status": "Enabled",
                "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 7 }
            }
        ] }),
        logging_configuration: json!({ "Fn::If": [ACCESS_LOG, log, { "Ref": "AWS::NoValue" }] }),
        tags,
    };
    resources.add("Store", Resource::of(bucket).retain().skipping(&SKIPPED));
    let all = vec![Value::arn("Store"), Value::substitute("${Store.Arn}/*")];
    let policy = BucketPolicy {
        bucket: Value::reference("Store"),
        policy_document: Policy::of(vec![only_tls("s3:*", all)]),
    };
    resources.add("StorePolicy", Resource::of(policy).retain());
}

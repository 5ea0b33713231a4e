//! How events reach a function: a rule per prefix that the stage waits for, a queue, and a queue for what failed for good. Of a run that
//! failed for good, its function writes a dead letter to the store: a rule reports that object to the same queue, so that one alarm sees both.

use serde_json::{Value as Json, json};
use tidemill_core::{layout::Prefix, pipeline::MAX_RECEIVE_COUNT};

use super::{
    names::{DEAD, Names, logical},
    policy::{Policy, Statement, only_tls},
    resources::{DeadLetterConfig, EventSource, Queue, QueuePolicy, Redrive, Rule, Scaling, Tag, Target},
    template::{Resource, Section, Value},
};

/// A fortnight: as long as SQS keeps anything.
const RETENTION_SECONDS: u64 = 14 * 86_400;
/// An event that was received this often and not handled is put aside: its function ended before it could say why. Greater than what the
/// function itself takes for final (`max-deliveries` of its settings), because a call that is refused for want of concurrency counts too.
const MOST_RECEIVES: u64 = MAX_RECEIVE_COUNT as u64;
/// Least concurrency that Lambda takes for a queue.
const LEAST_CONCURRENCY: u64 = 2;

/// Rules of the policy check that do not fit a queue here.
const SKIPPED: [(&str, &str); 1] = [(
    "CKV_AWS_27",
    "encrypted by SQS's own keys, which the check does not know; EventBridge could not send to one with AWS's KMS key",
)];

/// A function's queue.
pub(super) struct Trigger<'a> {
    pub(super) names: &'a Names,
    /// What the keys of its events begin with.
    pub(super) prefixes: &'a [String],
    /// Seconds that the function may take.
    pub(super) timeout: u64,
    /// Events that one run takes.
    pub(super) batch: u64,
    /// Most runs at once.
    pub(super) concurrency: u64,
    /// Events may wait for others, for days: trainings of one model follow each other, and a day has a budget of them.
    pub(super) is_waiting: bool,
    /// What the keys of its dead letters begin with, if it writes any.
    pub(super) dead_letters: Option<String>,
    pub(super) tags: Vec<Tag>,
}

impl Trigger<'_> {
    /// Adds rules and queues.
    pub(super) fn add(&self, resources: &mut Section<Resource>) {
        let (queue, dead) = (self.names.resource("Queue"), self.names.resource("DeadLetters"));
        let waiting = Queue {
            queue_name: Value::substitute(&self.names.full),
            sqs_managed_sse_enabled: true,
            message_retention_period: RETENTION_SECONDS,
            // Else an event would come again while it is still being worked on, and a batch that was split could not wait.
            visibility_timeout: Some(6 * self.timeout),
            redrive_policy: Some(Redrive {
                dead_letter_target_arn: Value::arn(&dead),
                max_receive_count: self.receives(),
            }),
            tags: self.tags.clone(),
        };
        let failed = Queue {
            queue_name: Value::substitute(format!("{}{DEAD}", self.names.full)),
            sqs_managed_sse_enabled: true,
            message_retention_period: RETENTION_SECONDS,
            visibility_timeout: None,
            redrive_policy: None,
            tags: self.tags.clone(),
        };
        resources.add(&queue, Resource::of(waiting).skipping(&SKIPPED));
        resources.add(&dead, Resource::of(failed).skipping(&SKIPPED));
        let triggers = self.rules().into_iter().map(|(name, prefix)| {
            let description = format!("{} on {prefix}", self.names.short);
            (name, rule(description, prefix, &queue, Some(&dead)))
        });
        let dead_letters = self.dead_letters.iter().map(|prefix| {
            let description = format!("{} failed for good: {prefix}", self.names.short);
            (self.names.resource("OnDeadLetter"), rule(description, prefix, &dead, None))
        });
        let rules: Vec<(String, Rule)> = triggers.chain(dead_letters).collect();
        resources.add(self.names.resource("QueuePolicy"), Resource::of(policy(&queue, &dead, &rules)));
        for (name, rule) in rules {
            resources.add(name, Resource::of(rule));
        }
    }

    /// An event that waits comes again after each visibility timeout, as long as the queue keeps it; SQS counts to a thousand.
    fn receives(&self) -> u64 {
        match self.is_waiting {
            true => (RETENTION_SECONDS / (6 * self.timeout)).clamp(MOST_RECEIVES, 1000),
            false => MOST_RECEIVES,
        }
    }

    /// What calls the function.
    pub(super) fn source(&self) -> EventSource {
        EventSource::Queue {
            queue: Value::arn(&self.names.resource("Queue")),
            batch_size: self.batch,
            function_response_types: ["ReportBatchItemFailures"],
            scaling_config: Scaling {
                maximum_concurrency: self.concurrency.max(LEAST_CONCURRENCY),
            },
        }
    }

    /// `MonitorLateOnWindows`, `TrainLateOnFeaturize`: names that stay when another prefix comes.
    fn rules(&self) -> Vec<(String, &String)> {
        let outcomes = Prefix::Outcomes.root();
        let mut rules: Vec<(String, &String)> = Vec::new();
        for prefix in self.prefixes {
            let mut parts = prefix
                .strip_prefix(outcomes.as_str())
                .unwrap_or(prefix)
                .split('/')
                .filter(|part| !part.is_empty());
            let first = parts.next().map_or_else(|| "Any".to_owned(), logical);
            let short = self.names.resource(&format!("On{first}"));
            let long = format!("{short}{}", parts.map(logical).collect::<String>());
            let numbered = (2..).map(|number| format!("{long}{number}"));
            let name = [short, long.clone()]
                .into_iter()
                .chain(numbered)
                .find(|name| rules.iter().all(|(taken, _)| taken != name));
            rules.extend(name.map(|name| (name, prefix)));
        }
        rules
    }
}

/// Sends the events of created objects under a prefix to a queue, and what it cannot send to another one.
fn rule(description: String, prefix: &str, queue: &str, dead: Option<&str>) -> Rule {
    Rule {
        description,
        event_pattern: json!({
            "source": ["aws.s3"],
            "detail-type": ["Object Created"],
            "detail": { "bucket": { "name": [{ "Ref": "Store" }] }, "object": { "key": [{ "prefix": prefix }] } }
        }),
        targets: vec![Target {
            id: Some("queue"),
            arn: Value::arn(queue),
            role_arn: None,
            input: None,
            dead_letter_config: dead.map(|dead| DeadLetterConfig { arn: Value::arn(dead) }),
        }],
    }
}

fn policy(queue: &str, dead: &str, rules: &[(String, Rule)]) -> QueuePolicy {
    let queues = vec![Value::arn(queue), Value::arn(dead)];
    let sources: Vec<Json> = rules.iter().map(|(name, _)| json!({ "Fn::GetAtt": [name, "Arn"] })).collect();
    QueuePolicy {
        queues: vec![Value::reference(queue), Value::reference(dead)],
        policy_document: Policy::of(vec![
            Statement {
                sid: "EventsOfItsRules",
                effect: "Allow",
                principal: Some(json!({ "Service": ["events.amazonaws.com"] })),
                action: vec!["sqs:SendMessage"],
                resource: queues.clone(),
                condition: Some(json!({ "ArnEquals": { "aws:SourceArn": sources } })),
            },
            only_tls("sqs:*", queues),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_have_names_that_stay() {
        let names = Names::new("p", "monitor-late").unwrap();
        let prefixes = [
            "windows/late/",
            "outcomes/train/late/",
            "outcomes/train/early/",
            "outcomes/train/early",
            "",
        ]
        .map(str::to_owned);
        let trigger = Trigger {
            names: &names,
            prefixes: &prefixes,
            timeout: 60,
            batch: 1,
            concurrency: 1,
            is_waiting: false,
            dead_letters: None,
            tags: Vec::new(),
        };
        let found: Vec<String> = trigger.rules().into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            found,
            [
                "MonitorLateOnWindows",
                "MonitorLateOnTrain",
                "MonitorLateOnTrainEarly",
                "MonitorLateOnTrainEarly2",
                "MonitorLateOnAny"
            ]
        );
    }
}

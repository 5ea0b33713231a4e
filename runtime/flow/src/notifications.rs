//! What a bucket's server says of its objects, handed to the flow. A notice makes the flow look at a key now instead of at the next
//! listing; it is believed in nothing else, and one that is lost costs only time.

use std::time::Duration;

use tidemill_core::{
    Result,
    notification::{EventKind, ObjectEvent, parse_events},
};
use tidemill_host::{Message, MessageQueue, Store};

use crate::Flow;

/// After a queue could not be read.
const PAUSE: Duration = Duration::from_secs(5);

impl Flow {
    /// Takes in what was announced. Other buckets, other keys and whatever else happens to objects are passed over with a line in the
    /// log. Returns how many keys were looked at; announced twice is looked at twice, and changes nothing.
    pub async fn handle_events(&self, notices: &[ObjectEvent]) -> Result<usize> {
        let mut looked = 0;
        for notice in notices {
            if let Some(key) = own_key(self.store(), notice) {
                self.notify_key(key).await?;
                looked += 1;
            }
        }
        Ok(looked)
    }

    /// Reads a queue until the task is dropped. A message is deleted when what it announced waits in the flow's own durable queue (or
    /// never will); what could not be read stays and comes again, until the queue's redrive policy puts it aside.
    pub async fn consume(&self, queue: &MessageQueue) {
        loop {
            match queue.receive().await {
                Ok(messages) => {
                    for message in &messages {
                        self.take(queue, message).await;
                    }
                }
                Err(error) => {
                    tracing::error!("{error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn take(&self, queue: &MessageQueue, message: &Message) {
        let taken = async {
            let payload = serde_json::from_str(&message.body).map_err(|e| tidemill_core::Error::input(format!("it is not JSON: {e}")))?;
            self.handle_events(&parse_events(&payload)?).await?;
            queue.delete(message).await
        };
        if let Err(error) = taken.await {
            tracing::error!("message `{}` stays in its queue: {error}", message.id);
        }
    }
}

/// The key to look at, if the notice is of the store's own bucket and says that something was written.
fn own_key<'a>(store: &Store, notice: &'a ObjectEvent) -> Option<&'a str> {
    let ObjectEvent { bucket, key, kind } = notice;
    match kind {
        EventKind::Created => {}
        EventKind::Test => {
            tracing::info!("a test of the notifications arrived");
            return None;
        }
        EventKind::Removed => {
            tracing::debug!("`{key}` was removed, which makes nothing new");
            return None;
        }
        EventKind::Other(what) => {
            tracing::info!("passed over: {what} of `{key}`");
            return None;
        }
    }
    let Some(own) = store.bucket() else {
        let here = bucket.is_empty();
        if !here {
            tracing::info!("`{key}` in bucket `{bucket}` is passed over: the store is a folder");
        }
        return here.then_some(key);
    };
    if !bucket.is_empty() && *bucket != own.name {
        tracing::info!("`{key}` in bucket `{bucket}` is passed over: the store is `{}`", own.location());
        return None;
    }
    let found = own.key_of(key);
    if found.is_none() {
        tracing::info!("`{key}` is passed over: it is not in `{}`", own.location());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(bucket: &str, key: &str, kind: EventKind) -> ObjectEvent {
        ObjectEvent {
            bucket: bucket.into(),
            key: key.into(),
            kind,
        }
    }

    #[test]
    fn only_what_was_written_to_the_own_bucket_counts() {
        let settings = [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "b"),
        ];
        let bucket = Store::open_with("s3://tide/mill", &settings).unwrap();
        let key = |notice: ObjectEvent| own_key(&bucket, &notice).map(str::to_owned);
        assert_eq!(
            key(notice("tide", "mill/raw/a b.csv", EventKind::Created)).as_deref(),
            Some("raw/a b.csv")
        );
        assert_eq!(key(notice("tide", "raw/a.csv", EventKind::Created)), None);
        assert_eq!(key(notice("tides", "mill/raw/a.csv", EventKind::Created)), None);
        assert_eq!(key(notice("tide", "mill/raw/a.csv", EventKind::Removed)), None);
        assert_eq!(key(notice("tide", "", EventKind::Test)), None);
        let folder = Store::memory();
        assert_eq!(own_key(&folder, &notice("", "raw/a.csv", EventKind::Created)), Some("raw/a.csv"));
        assert_eq!(own_key(&folder, &notice("tide", "raw/a.csv", EventKind::Created)), None);
    }
}

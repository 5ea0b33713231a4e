//! Events of a bucket's objects, taken into the flow. An event makes the flow look at a key before the next listing does; nothing else of it
//! is trusted, and one that is lost costs only time.

use std::time::Duration;

use tidemill_core::{
    Error, Result,
    notification::{ObjectEvent, parse_events},
};
use tidemill_run::created_key;
use tidemill_store::{Message, MessageQueue};

use crate::Flow;

/// Between two requests to a queue that cannot be read.
const RECEIVE_RETRY_INTERVAL: Duration = Duration::from_secs(5);

impl Flow {
    /// Looks at the keys of objects that were created. Events of other buckets and other keys are logged and skipped. Returns the number
    /// of keys; an event that comes twice is counted twice, and changes nothing.
    pub async fn handle_events(&self, events: &[ObjectEvent]) -> Result<usize> {
        let keys: Vec<String> = events.iter().filter_map(|event| created_key(self.store(), event)).collect();
        for key in &keys {
            self.notify_key(key).await?;
        }
        Ok(keys.len())
    }

    /// Reads a queue until the task is dropped. A message is deleted when its events are in the flow's own durable queue; one that cannot
    /// be read stays, until the queue's redrive policy moves it.
    pub async fn consume(&self, queue: &MessageQueue) {
        loop {
            match queue.receive().await {
                Ok(messages) => {
                    for message in &messages {
                        self.handle_message(queue, message).await;
                    }
                }
                Err(error) => {
                    tracing::error!("{error}");
                    tokio::time::sleep(RECEIVE_RETRY_INTERVAL).await;
                }
            }
        }
    }

    async fn handle_message(&self, queue: &MessageQueue, message: &Message) {
        let handled = async {
            let payload = serde_json::from_str(&message.body).map_err(|e| Error::input(format!("it is not JSON: {e}")))?;
            self.handle_events(&parse_events(&payload)?).await?;
            queue.delete(message).await
        };
        if let Err(error) = handled.await {
            tracing::error!("message `{}` stays in its queue: {error}", message.id);
        }
    }
}

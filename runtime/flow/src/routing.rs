//! From an object to the events that it causes.

use tidemill_core::{Decision, Digest, Result, layout, record::OutcomeRecord};
use tidemill_run::failpoint;

use crate::{
    queue::{QueueItem, SeenObject},
    state::FlowState,
};

impl FlowState {
    /// Queues what this object triggers and is neither settled nor queued.
    pub(crate) fn route_object(&self, key: &str, digest: &Digest, depth: u32, seen: Option<SeenObject>) {
        let triggered = self.pipeline.triggered_nodes(key);
        let items = triggered.map(|node| QueueItem::new(&node.stage, &node.resource, key, digest, depth));
        let items: Vec<QueueItem> = items.filter(|item| !self.is_settled(&item.trigger_id())).collect();
        for item in &items {
            tidemill_observe::global().record_received(&item.stage, &item.resource);
        }
        if !items.is_empty() || seen.is_some() {
            self.queue.put(items, seen.map(|seen| (key, seen)));
            self.notify();
        }
    }

    /// Routes a committed outcome: its own key, and what the run wrote. `digest` is that of the record's bytes, where it is known.
    pub(crate) async fn route_outcome(&self, record: &OutcomeRecord, id: &str, digest: Option<Digest>) -> Result<()> {
        if record.decision == Decision::Done {
            let key = layout::outcome(&record.stage, &record.resource, id);
            if self.pipeline.triggered_nodes(&key).next().is_some() {
                let digest = match digest {
                    Some(digest) => digest,
                    None => Digest::sha256(&self.store.get(&key).await?),
                };
                self.route_object(&key, &digest, record.depth, None);
            }
            for output in &record.outputs {
                self.route_object(&output.key, &output.digest, record.depth, None);
            }
        }
        failpoint!("after-route");
        Ok(())
    }
}

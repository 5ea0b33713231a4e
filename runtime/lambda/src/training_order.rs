//! What the flow's queue sees to, asked of the store alone: trainings of one model go one after the other, in the order of their
//! requests, and not more of them a day than the model's budget. Whoever must wait is told so by a transient error.

use jiff::Timestamp;
use tidemill_core::{Decision, Digest, Error, Result, pipeline::Node, spec::Model, trigger_id};
use tidemill_flow::Budget;
use tidemill_host::{Ledger, Store};

/// The stages that a request goes through.
const TRAINING: [&str; 4] = ["featurize", "train", "evaluate", "register"];

/// Whether the node may run now for the object `key`, whose trigger id is `id`.
pub(crate) async fn check(store: &Store, ledger: &Ledger, budget: &Budget, node: &Node, key: &str, id: &str) -> Result<()> {
    if node.stage != TRAINING[0] {
        return Ok(());
    }
    if let Some(earlier) = before(store, key).await? {
        settled(store, ledger, &node.resource, earlier).await?;
    }
    let Ok(model) = serde_json::from_value::<Model>(node.config["model"].clone()) else {
        return Ok(());
    };
    match budget
        .reserve(store, &model.name, id, model.retrain.daily_budget, Timestamp::now())
        .await?
    {
        Some(until) => Err(Error::transient(format!("the daily budget of trainings is used up until {until}"))),
        None => Ok(()),
    }
}

/// The request before this one.
async fn before(store: &Store, key: &str) -> Result<Option<String>> {
    let folder = key.rfind('/').map_or("", |end| &key[..=end]);
    let (mut last, mut after): (Option<String>, Option<String>) = (None, None);
    loop {
        let page = store.list(folder, after.as_deref(), 1000).await?;
        last = page
            .iter()
            .map(|meta| meta.key.clone())
            .filter(|other| other.as_str() < key)
            .max()
            .or(last);
        match page.last() {
            Some(end) if page.len() == 1000 && end.key.as_str() < key => after = Some(end.key.clone()),
            _ => return Ok(last),
        }
    }
}

/// Whether nothing more comes of a request.
async fn settled(store: &Store, ledger: &Ledger, model: &str, request: String) -> Result<()> {
    let mut key = request.clone();
    for stage in TRAINING {
        let id = trigger_id(stage, model, &key, &Digest::sha256(&store.get(&key).await?));
        match ledger.find(stage, model, &id).await? {
            Some(record) if record.decision == Decision::Done => key = format!("outcomes/{stage}/{model}/{id}.json"),
            Some(_) => return Ok(()),
            None if store.head(&format!("dead/{stage}/{model}/{id}.json")).await?.is_some() => return Ok(()),
            None => {
                return Err(Error::transient(format!(
                    "the training for `{request}` waits for `{stage}`: trainings of `{model}` follow each other"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn put(store: &Store, key: &str, text: &str) {
        store.create(key, text.as_bytes().to_vec().into()).await.unwrap();
    }

    /// Commits an outcome of `stage` for the object `trigger`; returns its key.
    async fn commit(store: &Store, stage: &str, trigger: &str, decision: &str) -> String {
        let digest = Digest::sha256(&store.get(trigger).await.unwrap());
        let id = trigger_id(stage, "m", trigger, &digest);
        let key = format!("outcomes/{stage}/m/{id}.json");
        let record = json!({
            "stage": stage, "resource": "m", "trigger": { "key": trigger, "digest": digest }, "run-key": "r", "component": digest,
            "config": digest, "engines": "e", "as-of": "2013-01-01T00:00:00Z", "decision": decision, "reason": "", "findings": [],
            "result": {}, "outputs": [], "depth": 1,
        });
        put(store, &key, &record.to_string()).await;
        key
    }

    #[tokio::test]
    async fn trainings_follow_each_other() {
        let store = Store::memory();
        let ledger = Ledger::new(store.clone());
        for month in ["01", "02", "03"] {
            put(&store, &format!("requests/m/2013-{month}.json"), month).await;
        }
        assert_eq!(before(&store, "requests/m/2013-01.json").await, Ok(None));
        let second = before(&store, "requests/m/2013-03.json").await.unwrap().unwrap();
        assert_eq!(second, "requests/m/2013-02.json");
        let waits = async |stage: &str| {
            let error = settled(&store, &ledger, "m", second.clone()).await.unwrap_err();
            assert!(
                error.kind.is_retryable() && error.message.contains(&format!("waits for `{stage}`")),
                "{error}"
            );
        };
        waits("featurize").await;
        let featurized = commit(&store, "featurize", &second, "done").await;
        waits("train").await;
        let trained = commit(&store, "train", &featurized, "done").await;
        waits("evaluate").await;
        commit(&store, "evaluate", &trained, "rejected").await;
        assert_eq!(settled(&store, &ledger, "m", second.clone()).await, Ok(()));
    }
}

//! Order and budget of trainings: those of one model run one after the other, in the order of their requests, so that each candidate meets
//! the champion that the one before it left; and no more of them start on a day than the model's budget allows.

use jiff::Timestamp;
use tidemill_core::{
    Decision, Result,
    layout::{self, Key},
    pipeline::{StageKind, StagePolicy, TrainingStep},
    spec::Model,
    trigger_id,
};

use crate::{DeliveryContext, Wait};

/// The reason why the node, which has this policy, may not run yet for the request `key`, whose trigger id is `id`.
pub(crate) async fn find_wait(context: DeliveryContext<'_>, policy: StagePolicy, key: &str, id: &str) -> Result<Option<Wait>> {
    let node = context.node;
    if policy.training == Some(TrainingStep::First)
        && let Some(request) = previous_request(context, key).await?
        && let Some(stage) = find_unfinished_stage(context, &request).await?
    {
        return Ok(Some(Wait::Training { request, stage }));
    }
    if !policy.counts_against_budget {
        return Ok(None);
    }
    let Ok(model) = serde_json::from_value::<Model>(node.config["model"].clone()) else {
        return Ok(None);
    };
    let limit = model.retrain.daily_budget;
    let until = context
        .budget
        .reserve(context.store, &model.name, id, limit, Timestamp::now())
        .await?;
    Ok(until.map(|until| Wait::Budget { until }))
}

/// The key of the request before this one.
async fn previous_request(context: DeliveryContext<'_>, key: &str) -> Result<Option<String>> {
    let folder = key.rfind('/').map_or("", |end| &key[..=end]);
    let listed = context.store.list(folder, None, usize::MAX).await?;
    let requests = listed.into_iter().map(|meta| meta.key);
    let requests = requests.filter(|other| matches!(Key::parse(other), Some(Key::Request { .. })));
    Ok(requests.filter(|other| other.as_str() < key).max())
}

/// The first stage of the training for `request` that has neither an outcome nor a dead letter, if more is to come of the request.
async fn find_unfinished_stage(context: DeliveryContext<'_>, request: &str) -> Result<Option<&'static str>> {
    let (store, model) = (context.store, &context.node.resource);
    let mut key = request.to_owned();
    for stage in StageKind::TRAINING.map(StageKind::name) {
        let id = trigger_id(stage, model, &key, &store.digest(&key).await?.digest);
        match context.ledger.find(stage, model, &id).await? {
            Some(record) if record.decision == Decision::Done => key = layout::outcome(stage, model, &id),
            Some(_) => return Ok(None),
            None if store.head(&layout::dead_letter(stage, model, &id)).await?.is_some() => return Ok(None),
            None => return Ok(Some(stage)),
        }
    }
    Ok(None)
}

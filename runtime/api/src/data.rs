//! `POST /data/<dataset>`. The answer is sent when the rows are an object in the store: from then on nothing loses them.

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use http::{HeaderMap, StatusCode, header};
use serde_json::json;
use tidemill_control::{Principal, PutData};
use tidemill_core::ingest;

use crate::{
    error::{ApiError, json_response},
    router::ApiState,
};

pub(crate) async fn upload(
    State(state): State<ApiState>,
    Path(dataset): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let flow = state.flow()?;
    let datasets = || state.pipeline.datasets.keys().map(String::as_str);
    ingest::check_dataset(&dataset, datasets())?;
    let text = |name: header::HeaderName| {
        let value = headers.get(name).map(header::HeaderValue::as_bytes).unwrap_or_default();
        String::from_utf8_lossy(value)
    };
    ingest::check_encoding(&text(header::CONTENT_ENCODING))?;
    let extension = ingest::extension(&text(header::CONTENT_TYPE))?;
    let name = ingest::upload_name(extension, &body)?;
    // A server without access control acts for the user that runs it.
    let request = PutData {
        dataset,
        name,
        bytes: body,
    };
    let stored = state.control.put_data(&Principal::local(), request).await?;
    flow.notify_key(&stored.key).await?;
    let answer = json!({ "key": stored.key, "bytes": stored.size, "new": stored.new });
    Ok(json_response(StatusCode::ACCEPTED, &answer))
}

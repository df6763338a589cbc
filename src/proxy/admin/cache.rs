//! `/v1/cache`: purging a URL everywhere.

use super::problem::{Problem, Reply, json};
use super::{Admin, query};
use crate::proxy::hot::RUNS_OUT;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

impl Admin {
    /// 200: every node has done it. 202: those under `missed` have not; each of them is asked to validate whatever it
    /// holds before it is sent another request, so nothing purged is answered from there either. Where there are other
    /// fronts it waits until their own copies have run out.
    pub async fn purge(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let key = query::key(query)?;
        let purged = self.cluster.purge(&key).await;
        if let Some(hot) = &self.hot {
            hot.forget(&key);
        }
        if self.cluster.has_other_fronts() {
            sleep(RUNS_OUT).await;
        }
        let mut body = json!({"key": key.as_str(), "done": purged.done});
        if purged.missed.is_empty() {
            return Ok(json(StatusCode::OK, &body));
        }
        let missed = purged.missed.iter().map(|(id, why)| json!({"id": id, "why": why}));
        body["missed"] = Value::Array(missed.collect());
        body["detail"] = json!("those who missed it validate all that they hold before they reuse it");
        Ok(json(StatusCode::ACCEPTED, &body))
    }
}

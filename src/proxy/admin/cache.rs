//! `/v1/cache`: purging a URL everywhere.

use super::problem::{AdminReply, Problem, json};
use super::{Admin, query};
use crate::proxy::hot::RUNS_OUT;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

impl Admin {
    /// 200: every node and every front has done it. 202: those under `missed` have not, or it is not known who else there
    /// is (`unsure`); a node that missed it is asked for nothing that it holds before it has promised to validate, so
    /// nothing purged is answered from there either. Where a front was not told it waits until its copies have run out.
    pub async fn purge(&self, query: Option<&str>) -> Result<AdminReply, Problem> {
        let key = query::key_to_purge(query)?;
        let purged = self.cluster.purge(&key).await;
        if let Some(hot) = &self.hot {
            hot.forget(&key);
        }
        if purged.waits {
            sleep(RUNS_OUT).await;
        }
        let mut body = json!({"key": key.as_str(), "held": purged.held, "done": purged.done});
        if !purged.fronts.is_empty() {
            body["fronts"] = purged.fronts.into();
        }
        if purged.missed.is_empty() && purged.unsure.is_none() {
            return Ok(json(StatusCode::OK, &body));
        }
        let missed = purged.missed.iter().map(|(id, why)| json!({"id": id, "why": why}));
        body["missed"] = Value::Array(missed.collect());
        if let Some(why) = purged.unsure {
            body["unsure"] = why.into();
        }
        let mut detail = "nodes that missed it validate all that they hold before they reuse it".to_owned();
        if purged.forgets {
            detail.push_str(
                "; that cannot be written down (the log says why), so a restart of this front forgets it: purge again then",
            );
        }
        body["detail"] = detail.into();
        Ok(json(StatusCode::ACCEPTED, &body))
    }
}

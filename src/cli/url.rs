//! `ringhold explain` and `ringhold purge`

use super::Failure;
use super::api::{Api, encoded};
use super::args::Field;
use super::explained::sentences;
use super::show::outline;
use http::Method;
use serde_json::Value;

/// The request's fields travel in the query, as `header=name:value`, so that they cannot be taken for our own.
pub async fn explain(api: &Api, url: &str, fields: &[Field]) -> Result<(), Failure> {
    let mut path = format!("/v1/explain?url={}", encoded(url));
    for Field { name, value } in fields {
        let value = String::from_utf8_lossy(value.as_bytes());
        path.push_str(&format!("&header={}", encoded(&format!("{name}:{value}"))));
    }
    api.show(Method::GET, &path, None, sentences).await
}

pub async fn purge(api: &Api, url: &str) -> Result<(), Failure> {
    api.show(Method::DELETE, &format!("/v1/cache?url={}", encoded(url)), None, |answer| match answer {
        Value::Null => format!("{url} is purged everywhere"),
        other => outline(other),
    })
    .await
}

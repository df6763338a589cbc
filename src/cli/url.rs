//! `ringhold explain` and `ringhold purge`

use super::api::Api;
use super::args::Field;
use super::done::{CommandFailure, Done};
use super::explained::sentences;
use super::show::text;
use crate::wire::percent::encode;
use http::Method;
use serde_json::Value;
use std::time::Duration;

/// The request's fields travel in the query, as `header=name:value`, so that they cannot be taken for our own.
pub async fn explain(api: &Api, url: &str, fields: &[Field]) -> Result<(), CommandFailure> {
    let mut path = format!("/v1/explain?url={}", encode(url));
    for Field { name, value } in fields {
        let value = String::from_utf8_lossy(value.as_bytes());
        path.push_str(&format!("&header={}", encode(&format!("{name}:{value}"))));
    }
    api.show(Method::GET, &path, None, sentences).await
}

pub async fn purge(api: &Api, url: &str, exact: bool) -> Result<Done, CommandFailure> {
    let exact = if exact { "&exact=true" } else { "" };
    let path = format!("/v1/cache?url={}{exact}", encode(url));
    let answer = api.ask(Method::DELETE, &path, None, Duration::ZERO).await?;
    api.print(&answer, purged)?;
    let whole = answer["missed"].is_null() && answer["unsure"].is_null();
    Ok(if whole { Done::Whole } else { Done::Partly })
}

/// What became of a purge, for people.
fn purged(answer: &Value) -> String {
    let names =
        |list: &Value| list.as_array().map_or(&[][..], |all| all).iter().map(text).collect::<Vec<_>>().join(", ");
    let (key, held) = (text(&answer["key"]), names(&answer["held"]));
    let missed = answer["missed"].as_array().map_or(&[][..], |all| all);
    let was = match held.is_empty() {
        false => format!("was stored on {held}"),
        true if missed.is_empty() && answer["unsure"].is_null() => "nothing was stored".to_owned(),
        true => "it is not known whether anything was stored".to_owned(),
    };
    let mut lines = vec![format!("{key}: {was}")];
    let told = [("purged on", "done"), ("fronts that have dropped their copies", "fronts")];
    let told = told.map(|(what, name)| (what, names(&answer[name])));
    lines.extend(told.iter().filter(|(_, who)| !who.is_empty()).map(|(what, who)| format!("{what}: {who}")));
    for missed in missed {
        lines.push(format!("missed by {}: {}", text(&missed["id"]), text(&missed["why"])));
    }
    lines.extend(["unsure", "detail"].iter().filter(|name| !answer[**name].is_null()).map(|name| text(&answer[*name])));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_purge_says_what_was_there_and_who_missed_it() {
        let whole = json!({"key": "http://h/", "held": [], "done": ["n1", "n2"]});
        assert_eq!(purged(&whole), "http://h/: nothing was stored\npurged on: n1, n2");
        let partly = json!({"key": "http://h/", "held": ["n1"], "done": ["n1"], "fronts": ["f2"],
            "missed": [{"id": "n2", "why": "it is down"}], "detail": "n2 validates"});
        let lines = "http://h/: was stored on n1\npurged on: n1\nfronts that have dropped their copies: f2\n\
                     missed by n2: it is down\nn2 validates";
        assert_eq!(purged(&partly), lines);
        for unknown in [
            json!({"done": ["n2"], "missed": [{"id": "n1", "why": "it is down"}]}),
            json!({"missed": [], "unsure": "x"}),
        ] {
            let said = purged(&unknown);
            assert!(said.contains("it is not known whether anything was stored"), "{said}");
            assert_eq!(said.contains("purged on: "), unknown["done"].is_array(), "{said}");
        }
        assert!(purged(&json!({})).contains("nothing was stored"));
    }
}

//! PURE. The query of a request: percent-encoded `name=value` pairs. `+` is itself, since URLs contain it.

use super::problem::Problem;
use crate::wire::percent;
use crate::wire::target::Key;
use http::{HeaderName, HeaderValue};

/// The value of every pair, by name. A name that is not `known` is most likely a part of a URL that was not encoded.
pub fn pairs(query: Option<&str>, known: &[&'static str]) -> Result<Vec<(&'static str, String)>, Problem> {
    let parts = query.unwrap_or("").split('&').filter(|part| !part.is_empty());
    parts.map(|part| pair(part, known)).collect()
}

fn pair(part: &str, known: &[&'static str]) -> Result<(&'static str, String), Problem> {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    let Some(name) = known.iter().find(|k| **k == name) else {
        let hint =
            if known.contains(&"url") { "; percent-encode the URL (curl -G --data-urlencode url=…)" } else { "" };
        return Err(Problem::bad_request(format!("there is no parameter {name:?} here{hint}")));
    };
    let value = percent::decode_strictly(value)
        .ok_or_else(|| Problem::bad_request(format!("{name}: this is not percent-encoded UTF-8")))?;
    Ok((name, value))
}

/// The one value of a name.
pub fn one(pairs: &[(&'static str, String)], name: &str) -> Result<Option<String>, Problem> {
    let mut values = pairs.iter().filter(|(n, _)| *n == name).map(|(_, value)| value);
    let first = values.next().cloned();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Problem::bad_request(format!("{name} is there twice"))),
    }
}

/// The key of `?url=`.
pub fn key(query: Option<&str>) -> Result<Key, Problem> {
    key_of(&pairs(query, &["url"])?)
}

/// The key of `?url=` that is to be purged. With `exact=true` a `*` in it is a `*`.
pub fn key_to_purge(query: Option<&str>) -> Result<Key, Problem> {
    let pairs = pairs(query, &["url", "exact"])?;
    let key = key_of(&pairs)?;
    let exact = match one(&pairs, "exact")?.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Problem::bad_request("exact is true or false")),
    };
    if key.as_str().contains('*') && !exact {
        let cure = "there is no purge by a pattern: purge each URL by itself; for a URL with a `*` of its own say so: --exact, \
                    or &exact=true";
        return Err(Problem::bad_request(cure));
    }
    Ok(key)
}

/// The key of `?url=`, and every `header=name:value`.
pub fn key_and_fields(query: Option<&str>) -> Result<(Key, Vec<String>), Problem> {
    let pairs = pairs(query, &["url", "header"])?;
    let key = key_of(&pairs)?;
    let fields: Vec<String> = pairs.into_iter().filter(|(name, _)| *name == "header").map(|(_, field)| field).collect();
    match fields.iter().find(|field| !is_field(field)) {
        Some(bad) => Err(Problem::bad_request(format!("header: {bad:?} is not name:value"))),
        None => Ok((key, fields)),
    }
}

fn key_of(pairs: &[(&'static str, String)]) -> Result<Key, Problem> {
    let url = one(pairs, "url")?.filter(|url| !url.is_empty());
    let url = url.ok_or_else(|| Problem::bad_request("say which URL: ?url=http%3A%2F%2F…"))?;
    Ok(Key::parse(&url)?)
}

fn is_field(text: &str) -> bool {
    let Some((name, value)) = text.split_once(':') else { return false };
    HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value.trim()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_decoded_once() {
        let cases = [
            ("url=http%3A%2F%2Fh%2Fa%3Fb%3Dc%26d", Ok("http://h/a?b=c&d")),
            ("url=http://h/a", Ok("http://h/a")),
            ("url=http://h/a%2520b", Ok("http://h/a%20b")),
            ("url=http://h/a+b", Ok("http://h/a+b")),
            ("url=http%3a%2f%2fH:80", Ok("http://h/")),
            ("header=a%3Ab&url=http://h/", Ok("http://h/")),
            ("url=http://h/?a=b&c=d", Err("percent-encode the URL")),
            ("url=http://h/%2", Err("not percent-encoded")),
            ("url=http://h/%zz", Err("not percent-encoded")),
            ("url=%ff", Err("not percent-encoded")),
            ("url=http://h/&url=http://g/", Err("twice")),
            ("header=a&url=http://h/", Err("not name:value")),
            ("header=a%20b%3Ac&url=http://h/", Err("not name:value")),
            ("url=", Err("say which URL")),
            ("", Err("say which URL")),
        ];
        for (query, expected) in cases {
            match (key_and_fields(Some(query)), expected) {
                (Ok((key, _)), Ok(expected)) => assert_eq!(key.as_str(), expected, "{query}"),
                (Err(problem), Err(expected)) => assert!(problem.detail.contains(expected), "{query}: {problem:?}"),
                (found, _) => panic!("{query}: {found:?}"),
            }
        }
        assert!(key(None).is_err() && key(Some("header=a%3Ab&url=http://h/")).is_err());
    }
}

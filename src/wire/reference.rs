//! References to other URLs (RFC 3986 sections 4 and 5), as `Location` and `Content-Location` have them.

use super::target::Key;

impl Key {
    /// Resolves a reference (`Location`, `Content-Location`) against this key (RFC 3986 section 5); `None` if invalid.
    pub fn join(&self, reference: &str) -> Option<Key> {
        Key::parse(&resolve(self, reference)).ok()
    }
}

/// The text of the target URL; what it names may still be no key.
fn resolve(base: &Key, reference: &str) -> String {
    let reference = reference.split('#').next().unwrap_or_default();
    if let Some(scheme) = scheme(reference) {
        let (scheme, rest) = reference.split_at(scheme + 1);
        return with_authority(scheme, rest);
    }
    if reference.starts_with("//") {
        return with_authority(&[base.scheme(), ":"].concat(), reference);
    }
    let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let (base_path, base_query) = split_query(base.path_and_query());
    let (path, query) = match path {
        "" if query.is_empty() => (base_path.to_owned(), base_query),
        "" => (base_path.to_owned(), query),
        _ if path.starts_with('/') => (without_dots(path), query),
        _ => (without_dots(&[&base_path[..=base_path.rfind('/').unwrap_or(0)], path].concat()), query),
    };
    [base.scheme(), "://", base.authority(), &path, query].concat()
}

/// `rest` begins with `//` or names nothing that we fetch.
fn with_authority(scheme: &str, rest: &str) -> String {
    let Some(after) = rest.strip_prefix("//") else { return [scheme, rest].concat() };
    let (authority, path_and_query) = after.split_at(after.find(['/', '?']).unwrap_or(after.len()));
    let (path, query) = split_query(path_and_query);
    [scheme, "//", authority, &without_dots(path), query].concat()
}

/// Where the colon after the scheme is.
fn scheme(reference: &str) -> Option<usize> {
    let colon = reference.find(':')?;
    let mut bytes = reference[..colon].bytes();
    let first = bytes.next()?.is_ascii_alphabetic();
    (first && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))).then_some(colon)
}

fn split_query(text: &str) -> (&str, &str) {
    text.split_at(text.find('?').unwrap_or(text.len()))
}

/// RFC 3986 section 5.2.4, for a path that begins with a slash; the empty path becomes one.
fn without_dots(path: &str) -> String {
    let mut out = String::with_capacity(path.len().max(1));
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => out.truncate(out.rfind('/').unwrap_or(0)),
            _ => {
                out.push('/');
                out.push_str(segment);
                continue;
            }
        }
        if segments.peek().is_none() {
            out.push('/');
        }
    }
    out
}

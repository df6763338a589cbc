//! PURE. URLs of content-addressed stores: the path names what it is of by its SHA-256 digest, and the query has one client's
//! signature. That signature opens the store to whoever shows it, so it is no part of what is stored, and is asked with each time.

use crate::wire::percent;
use sha2::{Digest as _, Sha256};

/// SHA-256 in hex.
const LENGTH: usize = 64;

/// What the content of a URL has to come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; LENGTH / 2]);

impl Digest {
    /// As a path (without its query) names it in its last segment, or before a last one that is `data`: `…/sha256/ab/abcd…/data`,
    /// `…/sha256:abcd…`, `…/abcd…`. In lower case, as all of these stores write it.
    pub fn named(path: &str) -> Option<Digest> {
        let (before, last) = path.strip_suffix("/data").unwrap_or(path).rsplit_once('/')?;
        let hex = last.strip_prefix("sha256:").unwrap_or(last).as_bytes();
        // What stands before it in the folders of a registry is its begin.
        let is_filed = || match before.rsplit_once("/sha256/") {
            Some((_, folder)) => last.starts_with(folder),
            None => true,
        };
        (hex.len() == LENGTH && is_filed()).then(|| read(hex)).flatten().map(Digest)
    }

    pub fn check(self) -> DigestCheck {
        DigestCheck { named: self, read: Sha256::new() }
    }
}

fn read(hex: &[u8]) -> Option<[u8; LENGTH / 2]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; LENGTH / 2];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// Whether a body is what its URL names, from its first byte to its last.
#[derive(Clone, Debug)]
pub struct DigestCheck {
    named: Digest,
    read: Sha256,
}

impl DigestCheck {
    pub fn read(&mut self, piece: &[u8]) {
        self.read.update(piece);
    }

    /// With all of the body read.
    pub fn holds(self) -> bool {
        self.read.finalize()[..] == self.named.0
    }
}

/// What of a query is no signature: it asks for another answer than the content as it is, so it stays with the key. S3 and those
/// like it take the fields of the answer from `response-…`, Azure from `rsc…`; both give a part, a version or something beside the
/// content where they are asked to. What has no value names such a thing (`?acl`).
pub fn shape(query: &str) -> String {
    let shapes = |pair: &&str| match pair.split_once('=') {
        None => !pair.is_empty(),
        Some((name, _)) => {
            let name = percent::decode(name).to_ascii_lowercase();
            name.starts_with("response-") || SHAPING.contains(&&*name)
        }
    };
    query.split('&').filter(shapes).collect::<Vec<_>>().join("&")
}

const SHAPING: [&str; 12] = [
    "rscc",
    "rscd",
    "rsce",
    "rscl",
    "rsct", // Azure: Cache-Control, Content-Disposition, -Encoding, -Language, -Type
    "comp",
    "restype",
    "snapshot",
    "versionid",
    "generation",
    "partnumber",
    "uploadid",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `hello`, by `sha256sum`.
    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn a_path_names_its_content_where_the_last_thing_in_it_is_a_digest() {
        for (path, named) in [
            ("/registry-v2/docker/registry/v2/blobs/sha256/2c/D/data", true),
            ("/registry-v2/docker/registry/v2/blobs/sha256/2d/D/data", false),
            ("/ghcr1/blobs/sha256:D", true),
            ("/quayio-production-s3/sha256/2c/D", true),
            ("/repos/aa/bb/0000000000000000000000000000000000000000000000000000000000000000/D", true),
            ("/xet-bridge-us/621ffdc036468d709f174338/D", true),
            ("/D", true),
            ("D", false),
            ("/D/", false),
            ("/D/data/", false),
            ("/D/config", false),
            ("/D0", false),
            ("/xD", false),
            ("/sha512:D", false),
            ("/sha256:D.sig", false),
            ("/SHA256:D", false),
            ("/data", false),
            ("/", false),
            ("", false),
            // GitHub's releases, which name theirs by numbers alone.
            ("/github-production-release-asset/123456/6f3c1d2e-0000-4000-8000-000000000000", false),
        ] {
            assert_eq!(Digest::named(&path.replace('D', HELLO)).is_some(), named, "{path}");
        }
        assert_eq!(Digest::named(&format!("/{}", HELLO.to_uppercase())), None);
        assert_eq!(Digest::named(&format!("/{}", HELLO.replace('f', "g"))), None);
    }

    #[test]
    fn a_body_is_what_its_url_names_where_all_of_it_comes_to_the_digest() {
        for (pieces, holds) in [
            (vec!["hello"], true),
            (vec!["he", "", "llo"], true),
            (vec!["hell"], false),
            (vec!["hello", "!"], false),
            (vec![], false),
        ] {
            let mut check = Digest::named(&format!("/{HELLO}")).unwrap().check();
            pieces.iter().for_each(|piece| check.read(piece.as_bytes()));
            assert_eq!(check.holds(), holds, "{pieces:?}");
        }
    }

    #[test]
    fn a_signature_is_left_out_and_what_shapes_the_answer_stays() {
        for (query, kept) in [
            ("", ""),
            ("verify=1700000000-abc%3D", ""),
            ("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600&X-Amz-Signature=ab&x-id=GetObject", ""),
            ("se=2026-11-30T00%3A00%3A00Z&sig=a%2Bb&sp=r&spr=https&sr=b&sv=2019-12-12&hmac=ab", ""),
            (
                "response-content-disposition=attachment%3B&Expires=1&Policy=e30_&Signature=x&Key-Pair-Id=K",
                "response-content-disposition=attachment%3B",
            ),
            ("sig=a&rscd=file&rsct=binary", "rscd=file&rsct=binary"),
            ("Signature=a&partNumber=2", "partNumber=2"),
            ("X-Amz-Signature=a&acl", "acl"),
            ("torrent", "torrent"),
            ("sig=a&response%2Dcontent-type=text/html&%72scd=x", "response%2Dcontent-type=text/html&%72scd=x"),
            ("a=1&&b=2", ""),
        ] {
            assert_eq!(shape(query), kept, "{query}");
        }
    }
}

//! PURE. Records carry the proof that who wrote them knows the cluster's secret, where there is one: who can write to
//! ZooKeeper (or to the file of a saved ring) is not believed for that.

use crate::config::ClusterConfig;
use crate::wire::proof::{self, Tag};
use std::sync::Arc;

/// A record has a proof for each secret of its writer; more than these are not looked at.
const MOST: usize = 4;

/// Closes and opens the records of one cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seal {
    cluster: Arc<ClusterConfig>,
    path: Arc<str>,
}

impl Seal {
    /// `path`: where the cluster's records are.
    pub fn new(cluster: &ClusterConfig, path: &str) -> Seal {
        Seal { cluster: Arc::new(cluster.clone()), path: path.into() }
    }

    /// A record for this place below the path: the content and, for each secret that is set, a line with the proof of
    /// content and place. By the secret of before too: who has not got the new one yet believes that.
    pub fn close(&self, place: &str, content: &[u8]) -> Vec<u8> {
        let label = self.label(place);
        let mut record = content.to_vec();
        for secret in self.cluster.secrets() {
            record.extend_from_slice(format!("\n{}", proof::seal(secret, &label, content)).as_bytes());
        }
        record
    }

    /// The content of the record at this place. `None`: a secret is set, and who wrote this knew none of ours; an empty
    /// record says nothing, whoever wrote it.
    pub fn open<'a>(&self, place: &str, record: &'a [u8]) -> Option<&'a [u8]> {
        let (content, tags) = parted(record);
        if content.is_empty() || self.cluster.secrets().next().is_none() {
            return Some(content);
        }
        let label = self.label(place);
        let is_proof = |tag: &Tag| self.cluster.secrets().any(|secret| proof::is_sealed(tag, secret, &label, content));
        // A label is one line.
        (!label.contains('\n') && tags.iter().any(is_proof)).then_some(content)
    }

    /// Whether somebody has closed it, with whatever secret.
    pub fn is_sealed(record: &[u8]) -> bool {
        let (content, tags) = parted(record);
        !content.is_empty() && !tags.is_empty()
    }

    /// Two secrets are in use: this is to go on with one of them.
    pub fn is_rotated(&self) -> bool {
        self.cluster.secrets().count() > 1
    }

    /// Whether it is believed by who knows the newest secret alone.
    pub fn is_current(&self, place: &str, record: &[u8]) -> bool {
        let newest = ClusterConfig { previous_secret: None, ..(*self.cluster).clone() };
        Seal { cluster: Arc::new(newest), path: self.path.clone() }.open(place, record).is_some()
    }

    fn label(&self, place: &str) -> String {
        format!("ringhold record {}/{place}", self.path)
    }
}

/// Content and proofs.
fn parted(record: &[u8]) -> (&[u8], Vec<Tag>) {
    let (mut content, mut tags) = (record, Vec::new());
    while tags.len() < MOST
        && let Some(at) = content.iter().rposition(|byte| *byte == b'\n')
        && let Some(tag) = std::str::from_utf8(&content[at + 1..]).ok().and_then(Tag::parse)
    {
        tags.push(tag);
        content = &content[..at];
    }
    (content, tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn seal(secret: &str, previous: &str) -> Seal {
        let some = |text: &str| (!text.is_empty()).then(|| Secret(text.to_owned()));
        Seal::new(&ClusterConfig { secret: some(secret), previous_secret: some(previous) }, "/ringhold")
    }

    #[test]
    fn only_what_was_closed_with_one_of_the_secrets_for_this_very_place_is_opened() {
        let (old, new, rotating, none) = (seal("old", ""), seal("new", ""), seal("new", "old"), seal("", ""));
        let record = b"{\"address\":\"h:1\"}";
        for (writer, reader, believed) in [
            (&old, &old, true),
            (&old, &new, false),
            (&old, &rotating, true),
            (&rotating, &old, true),
            (&rotating, &new, true),
            (&none, &old, false),
            (&old, &none, true),
            (&none, &none, true),
        ] {
            let closed = writer.close("nodes/a", record);
            assert_eq!(reader.open("nodes/a", &closed), believed.then_some(&record[..]), "{writer:?} {reader:?}");
            assert_eq!(Seal::is_sealed(&closed), writer.cluster.secret.is_some(), "{writer:?}");
        }
        let closed = old.close("nodes/a", record);
        assert!(!rotating.is_current("nodes/a", &closed) && old.is_current("nodes/a", &closed));
        assert!(rotating.is_current("nodes/a", &rotating.close("nodes/a", record)));
        assert_eq!([&old, &rotating, &none].map(Seal::is_rotated), [false, true, false]);
        assert_eq!(old.open("nodes/b", &closed), None, "another id");
        assert_eq!(old.open("members/a", &closed), None, "another kind");
        let other = Seal { path: "/other".into(), ..old.clone() };
        assert_eq!(other.open("nodes/a", &closed), None, "another cluster");
        let forged = String::from_utf8(closed.clone()).unwrap().replace("h:1", "h:2");
        assert_eq!(old.open("nodes/a", forged.as_bytes()), None);
        assert_eq!(old.open("nodes/a", b""), Some(&b""[..]));
        assert_eq!(old.open("nodes/a\nb", &closed), None);
        for odd in [&closed[..closed.len() - 1], b"\n", b"\n\n", &closed[record.len()..]] {
            let opened = old.open("nodes/a", odd);
            assert!(opened.is_none_or(<[u8]>::is_empty), "{odd:?}");
        }
    }
}

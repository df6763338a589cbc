//! The seals of records, and what becomes of those that no session ends: they stay, with the secrets of whoever wrote them last.

use super::{LARGEST, RING, RecordKind, Session};
use crate::cluster::membership::zk::seal::Seal;
use crate::cluster::membership::zk::trouble::ZkError;

/// The kinds that outlive who has written them. All else is written anew by who starts with another secret.
const LASTING: [RecordKind; 2] = [RecordKind::Members, RecordKind::Doubts];

impl Session {
    /// The places of nodes and fronts that belong to who knows none of our secrets: a machine on which the secret was not rotated
    /// yet, or no more. They answer clients of their own.
    pub fn of_others(&self) -> Vec<String> {
        self.others.of([RecordKind::Nodes, RecordKind::Fronts])
    }

    pub(super) fn close_record(&self, kind: RecordKind, id: &str, data: &[u8]) -> Vec<u8> {
        self.seal.close(&format!("{}/{id}", kind.name()), data)
    }

    /// `None`, and a word in the log: it says nothing that anybody here is to believe.
    pub(super) fn open_record(&self, place: &str, data: &[u8]) -> Option<Vec<u8>> {
        if data.len() > LARGEST && place != RING {
            self.named.left_out(&self.path_of(place), "it is larger than any record of ringhold");
            return None;
        }
        let opened = self.seal.open(place, data).map(<[u8]>::to_vec);
        let is_of_others = opened.is_none() && Seal::is_sealed(data);
        self.others.note(place, is_of_others);
        if is_of_others {
            self.named.left_out(&self.path_of(place), "it is sealed with another secret than this cluster's");
        } else if opened.is_none() {
            self.named.left_out(&self.path_of(place), "it is not sealed with this cluster's secret");
        }
        opened
    }

    /// While the secret is rotated: what is sealed with the one before alone is sealed with both, so that it is believed when that
    /// one is taken away. Another front may do the same, or write something else meanwhile: then that stands.
    pub async fn seal_anew(&self) -> Result<(), ZkError> {
        if !self.seal.is_rotated() {
            return Ok(());
        }
        for kind in LASTING {
            for id in self.ids(kind).await? {
                match self.seal_one_anew(kind, &id).await {
                    Ok(()) | Err(ZkError::Conflict) => {}
                    Err(trouble) => self.leave_out(trouble)?,
                }
            }
        }
        Ok(())
    }

    async fn seal_one_anew(&self, kind: RecordKind, id: &str) -> Result<(), ZkError> {
        let (place, path) = (format!("{}/{id}", kind.name()), self.record_path(kind, id));
        let Some((record, version)) = self.raw(&place).await? else { return Ok(()) };
        if self.seal.is_current(&place, &record) {
            return Ok(());
        }
        let Some(content) = self.open_record(&place, &record).filter(|content| !content.is_empty()) else {
            return Ok(());
        };
        let record = self.seal.close(&place, &content);
        self.limit(&path, self.client.set_data(&path, &record, Some(version))).await.map(|_| ())
    }
}

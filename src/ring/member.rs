//! Who may be in a ring, and in which order.

use serde::{Deserialize, Serialize};

/// Largest weight; more is taken as this.
pub const MAX_WEIGHT: u32 = 1_000;

/// Largest number of members; those whose ids sort behind are left out.
pub const MAX_MEMBERS: usize = 1 << 16;

/// One member of a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub id: String,
    /// At least 1.
    pub weight: u32,
}

pub(super) fn in_order(members: impl IntoIterator<Item = Member>) -> Vec<Member> {
    let mut members: Vec<Member> = members.into_iter().collect();
    members.sort_by(|a, b| a.id.cmp(&b.id).then(b.weight.cmp(&a.weight)));
    members.dedup_by(|later, kept| later.id == kept.id);
    members.truncate(MAX_MEMBERS);
    for member in &mut members {
        member.weight = member.weight.clamp(1, MAX_WEIGHT);
    }
    members
}

//! What once broke it, by kind: each test is the smallest input that was seen to do harm, or another of its kind.
#![allow(clippy::disallowed_methods)]

mod support;

#[path = "faults/attribution.rs"]
mod attribution;
#[path = "faults/contended.rs"]
mod contended;
#[path = "faults/framing.rs"]
mod framing;
#[path = "faults/membership.rs"]
mod membership;
#[path = "faults/memory.rs"]
mod memory;
#[path = "faults/memory_disk.rs"]
mod memory_disk;
#[path = "faults/people.rs"]
mod people;
#[path = "faults/shares.rs"]
mod shares;
#[path = "faults/strangers.rs"]
mod strangers;
#[path = "faults/surroundings.rs"]
mod surroundings;
#[path = "faults/time.rs"]
mod time;
#[path = "faults/tls.rs"]
mod tls;
#[path = "faults/trust.rs"]
mod trust;

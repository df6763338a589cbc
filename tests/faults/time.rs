//! Time: what was purged stays purged, quiet streams live, and no page goes back to an older version.

#[path = "time/beside.rs"]
mod beside;
#[path = "time/half.rs"]
mod half;
#[path = "time/kept.rs"]
mod kept;
#[path = "time/order.rs"]
mod order;
#[path = "time/owners.rs"]
mod owners;
#[path = "time/quiet.rs"]
mod quiet;

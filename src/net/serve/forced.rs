//! In test builds requests can be kept from what is decided or relayed by their bytes ([`super::Service::begin`]), so that
//! `tests/equivalence.rs` can hold that against the long way. A release build has no such switch.

/// Whether a request may take the short way.
#[cfg(not(any(debug_assertions, feature = "forced-route")))]
pub const fn allows_short() -> bool {
    true
}

/// The same, unless `RINGHOLD_ROUTE=long` was set when the process began.
#[cfg(any(debug_assertions, feature = "forced-route"))]
pub fn allows_short() -> bool {
    static FORCED: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
        let forced = std::env::var_os("RINGHOLD_ROUTE").is_some_and(|route| route == "long");
        if forced {
            tracing::warn!("RINGHOLD_ROUTE: every request takes the long way");
        }
        forced
    });
    !*FORCED
}

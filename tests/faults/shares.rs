//! Shares: no client, origin or name takes what all others need.

//! A worker between a client and fake nodes.

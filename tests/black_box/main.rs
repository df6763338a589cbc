//! The program as its users see it: real processes, real sockets. One binary, so that all of it is compiled and linked once:
//! `cargo test --test black_box purge::` runs the tests of `purge.rs`. In binaries of their own, which run one after the other,
//! are those that measure time, or need the machine for themselves.
#![allow(clippy::disallowed_methods)]

mod admin;
mod bigbody;
mod browser;
mod ca;
mod ca_command;
mod cache_tests;
mod caching;
mod clients;
mod config;
mod expect;
mod explain;
mod fill;
mod forwarding;
mod groups;
mod hotcopy;
mod hotkeys;
mod http2;
mod https;
mod https_names;
mod https_tools;
mod intercept;
mod interim;
mod large;
mod links;
mod netns;
mod own_pages;
mod partition;
mod parts;
mod peers;
mod privilege;
mod purge;
mod safety;
mod secret;
mod stale;
mod supervision;
#[path = "../support/mod.rs"]
mod support;
mod told;
mod tools;
mod tunnels;
mod uncacheable;
mod validating;
mod withdrawn;

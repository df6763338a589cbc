//! What the user typed ([`args`]), what it resolves to ([`Job`]), and the clients of the admin API.

mod api;
pub mod args;
mod explained;
mod get;
mod nodes;
mod resolve;
mod ring;
mod show;
mod url;

pub use resolve::{Errand, Job};

use std::fmt;

/// What became of a client command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Whole,
    /// Not everyone has done it; what was printed names them.
    Partly,
}

/// Why a client command failed: one line.
#[derive(Debug)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Whoever reads our output may stop reading: that is no failure.
impl From<std::io::Error> for Failure {
    fn from(cause: std::io::Error) -> Failure {
        match cause.kind() {
            std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            _ => Failure(format!("cannot write the output: {cause}")),
        }
    }
}

impl Errand {
    /// Runs a client command to its end.
    pub fn run(self) -> Result<Done, Failure> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|cause| Failure(format!("cannot start: {cause}")))?
            .block_on(self.done())
    }

    async fn done(self) -> Result<Done, Failure> {
        match self {
            Errand::Purge(api, url, exact) => return url::purge(&api, &url, exact).await,
            Errand::Reset(api, state) => nodes::reset(api, state.as_deref()).await,
            Errand::Nodes(api, what) => nodes::run(&api, what).await,
            Errand::Ring(api, what) => ring::run(&api, what).await,
            Errand::Explain(api, url, fields) => url::explain(&api, &url, &fields).await,
            Errand::Get(get) => get.run().await,
        }?;
        Ok(Done::Whole)
    }
}

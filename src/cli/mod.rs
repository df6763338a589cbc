//! What the user typed ([`args`]), what it resolves to ([`Job`]), and the clients of the admin API.

mod address;
mod api;
pub mod args;
mod ca;
mod done;
mod explained;
mod get;
mod nodes;
mod resolve;
mod ring;
mod show;
mod url;

pub use done::{Done, Failure};
pub use resolve::{Errand, Job};

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
            Errand::Ca(config, what) => return ca::run(&config, &what).await,
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

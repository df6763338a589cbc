//! What the user typed ([`args`]), what it resolves to ([`Job`]), and the clients of the admin API.

mod address;
mod api;
pub mod args;
mod ca;
mod disk;
mod done;
mod explained;
mod get;
mod nodes;
mod resolve;
mod ring;
mod show;
mod url;

pub use done::{CommandFailure, Done};
pub use resolve::{ClientCommand, Job};

impl ClientCommand {
    /// Runs a client command to its end.
    pub fn run(self) -> Result<Done, CommandFailure> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|cause| CommandFailure(format!("cannot start: {cause}")))?
            .block_on(self.done())
    }

    async fn done(self) -> Result<Done, CommandFailure> {
        match self {
            ClientCommand::Disk(config, what) => disk::run(&config, &what),
            ClientCommand::Ca(config, what) => return ca::run(&config, &what).await,
            ClientCommand::Purge(api, url, exact) => return url::purge(&api, &url, exact).await,
            ClientCommand::Reset(api, state) => nodes::reset(api, state.as_deref()).await,
            ClientCommand::Nodes(api, what) => nodes::run(&api, what).await,
            ClientCommand::Ring(api, what) => ring::run(&api, what).await,
            ClientCommand::Explain(api, url, fields) => url::explain(&api, &url, &fields).await,
            ClientCommand::Get(get) => get.run().await,
        }?;
        Ok(Done::Whole)
    }
}

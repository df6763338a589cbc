//! The server: one connection of HTTP/1 (of HTTP/2: [`http2`]) from its first byte to its last, with time limits, and an answer to whatever comes.

mod answer;
mod body;
mod conn;
mod connections;
mod demands;
mod end;
mod forced;
mod head;
mod held;
mod http2;
mod interim;
mod io;
mod left;
mod limits;
mod manners;
mod out;
mod outlive;
mod payload;
mod says;
mod service;
mod state;
mod streamed;
mod sweep;
#[cfg(test)]
mod tests;
mod words;
mod written;

pub use body::{AnswerBody, ClientBody, Passing, ToldFault};
pub use connections::Connections;
pub use end::BoxError;
pub use forced::allows_short;
pub use head::RequestHead;
#[cfg(any(test, fuzzing))]
pub use head::look_at;
#[cfg(test)]
pub use head::with_head;
pub use held::by_kind as held;
pub use interim::Interim;
pub use io::Upgrade;
pub use limits::ServerLimits;
pub use out::room_for_message;
pub use outlive::outlive;
pub use payload::Payload;
pub use says::Noted;
pub use service::{ByRequest, Finished, Service, ServiceRequest, ServiceStep};
pub use sweep::{Sweeper, Waited};
pub use words::{speak as refuse, text as text_of_refusal};

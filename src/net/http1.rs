//! The HTTP/1.1 client: a connection and one exchange on it ([`Conn`]), the body of the answer ([`ResponseBody`]), and pools that keep
//! connections for the next one ([`Pool`]); for what is brief, one request and its whole answer ([`brief`]).
//!
//! The head of a request is one write; an answer is read into a buffer that the whole thread shares, and its head is parsed
//! once. No task, no channel, no timer a request. All of it works on whatever reads and writes.

mod body;
pub mod brief;
mod conn;
mod exchange;
mod pins;
mod places;
mod pool;
#[cfg(test)]
mod tests;
mod upload;

pub use body::ResponseBody;
pub use conn::{ByteStream, ClientLimits, Conn, ExchangeError, Message, NextRead, Owes, Question, READ, room_for};
pub use exchange::{Answer, ConnWant, Exchanged, ask, head};
pub use pins::Pins;
pub use pool::{Pool, Pools, Room};
pub use upload::Upload;
#[cfg(test)]
pub use upload::UploadSource;

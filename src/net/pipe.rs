//! What goes into a socket without a copy, through a pipe of the thread's: the kernel hands on the pages that it lies in.

use bytes::Bytes;
use rustix::pipe::{IoSliceRaw, PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice, vmsplice};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;

/// As much is handed over at once: more than a socket takes (see [`super::listen`]) would be for nothing.
pub(super) const AT_ONCE: usize = 128 * 1024;
/// Room for the pages of that, wherever it begins; pipes have a power of two.
const ROOM: usize = 2 * AT_ONCE;

thread_local! {
    /// Empty.
    static PIPE: Cell<Option<Pipe>> = const { Cell::new(None) };
}

struct Pipe {
    from: File,
    to: File,
    /// Where goes what nobody wants.
    nowhere: File,
}

/// What came of bytes that were to pass from one socket to another.
#[derive(Debug, PartialEq)]
pub struct PassedOn {
    /// The other has taken so many. With none that are left: there are no more to come.
    pub sent: usize,
    /// And not these.
    pub left: Bytes,
    /// The system cannot do that with these two.
    pub is_unable: bool,
}

/// What failed.
#[derive(Debug)]
pub enum PassError {
    /// Nothing was moved: what is on the first cannot be read so, or there is nothing to read.
    Unread,
    To(io::Error),
    /// What was read is lost.
    Lost(io::Error),
}

/// Hands over what `socket` takes of `bytes` now.
///
/// # Safety
/// The pages of `bytes` are never written to, nor used for something else, before they have arrived.
pub(super) unsafe fn send(bytes: &[u8], socket: impl AsFd) -> io::Result<usize> {
    let now = &bytes[..bytes.len().min(AT_ONCE)];
    with_pipe(|pipe| {
        // SAFETY: the caller's promise.
        let inside = unsafe { vmsplice(&pipe.to, &[IoSliceRaw::from_slice(now)], SpliceFlags::NONBLOCK) };
        let inside = inside.map_err(|error| copied_instead(error.into()))?;
        let sent = pipe.empty_into(socket, inside, inside < bytes.len());
        let left = inside - *sent.as_ref().unwrap_or(&0);
        Ok((sent, pipe.drops(left)))
    })
}

/// Moves up to `most` bytes that have come on one connection to another; `more` follow them, at once, or else who
/// calls has them pushed.
pub(super) fn pass(from: impl AsFd, to: impl AsFd, most: usize, more: bool) -> io::Result<Result<PassedOn, PassError>> {
    with_pipe(|pipe| {
        let inside = splice(from, None, &pipe.to, None, most.min(AT_ONCE), SpliceFlags::NONBLOCK)?;
        let sent = pipe.empty_into(to, inside, more || inside < most);
        let is_unable = sent.as_ref().is_err_and(is_unable);
        let sent = match sent {
            Err(e) if e.kind() != ErrorKind::WouldBlock && !is_unable => return Ok((Ok(Err(PassError::To(e))), false)),
            sent => sent.unwrap_or(0),
        };
        let left = pipe.take(inside - sent);
        let is_empty = left.is_ok();
        Ok((Ok(left.map(|left| PassedOn { sent, left, is_unable }).map_err(PassError::Lost)), is_empty))
    })
}

/// `what` says with its result whether the pipe is empty again.
fn with_pipe<T>(what: impl FnOnce(&Pipe) -> io::Result<(io::Result<T>, bool)>) -> io::Result<T> {
    PIPE.with(|kept| {
        let pipe = kept.take().map_or_else(Pipe::new, Ok).map_err(copied_instead)?;
        let done = what(&pipe);
        if !matches!(done, Ok((_, false))) {
            kept.set(Some(pipe));
        }
        done?.0
    })
}

/// Not everywhere may, or can, a process hand over pages: then the bytes are copied.
pub(super) fn is_unable(error: &io::Error) -> bool {
    use ErrorKind::{InvalidInput, NotFound, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | NotFound | PermissionDenied | Unsupported)
}

/// Where descriptors, pipes or pages for it are short, the bytes can still be copied.
fn copied_instead(error: io::Error) -> io::Error {
    io::Error::new(ErrorKind::Unsupported, error)
}

impl Pipe {
    fn new() -> io::Result<Pipe> {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        fcntl_setpipe_size(&to, ROOM)?;
        Ok(Pipe { from: from.into(), to: to.into(), nowhere: File::options().write(true).open("/dev/null")? })
    }

    /// What the socket takes of the `inside` bytes that are in it.
    fn empty_into(&self, socket: impl AsFd, inside: usize, more: bool) -> io::Result<usize> {
        let more = if more { SpliceFlags::MORE } else { SpliceFlags::empty() };
        Ok(splice(&self.from, None, socket, None, inside, more | SpliceFlags::NONBLOCK)?)
    }

    /// The `inside` bytes that are in it.
    fn take(&self, inside: usize) -> io::Result<Bytes> {
        let mut taken = Vec::with_capacity(inside);
        let read = (&self.from).take(inside as u64).read_to_end(&mut taken)?;
        if read == inside { Ok(taken.into()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// Whether it is empty again when `left` bytes were dropped.
    fn drops(&self, left: usize) -> bool {
        left == 0 || splice(&self.from, None, &self.nowhere, None, left, SpliceFlags::NONBLOCK) == Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;
    use crate::net::listen::{Listener, Stream};
    use std::future::poll_fn;
    use std::io::Write;
    use std::os::unix::net::UnixStream as StdUnix;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpStream, UnixStream};

    /// Who sends, the two connections between which it passes, and who gets it.
    async fn between() -> (StdUnix, Stream, Stream, TcpStream) {
        let (sender, from) = StdUnix::pair().unwrap();
        sender.set_nonblocking(true).unwrap();
        from.set_nonblocking(true).unwrap();
        let listener = Listener::bind(&Address::Tcp("127.0.0.1:0".into())).unwrap();
        let client = TcpStream::connect(listener.address().to_string()).await.unwrap();
        let (to, _) = listener.accept().await;
        (sender, Stream::Unix(UnixStream::from_std(from).unwrap()), to, client)
    }

    async fn passed(from: &Stream, to: &Stream, most: usize) -> Result<PassedOn, PassError> {
        poll_fn(|cx| from.poll_pass(cx, to, most, false)).await
    }

    #[tokio::test]
    async fn what_passes_arrives_and_what_is_not_taken_is_left() {
        let (mut sender, from, to, mut client) = between().await;
        let (mut sent, mut came, mut next) = (Vec::new(), Vec::new(), 0_u8);
        // Until the client's connection takes no more, which nobody reads.
        let left = loop {
            let bytes: Vec<u8> = (0..50_000).map(|n| next.wrapping_add((n % 251) as u8)).collect();
            next = next.wrapping_add(1);
            sender.write_all(&bytes).unwrap();
            sent.extend_from_slice(&bytes);
            let mut all = 0;
            let left = loop {
                let PassedOn { sent, left, .. } = passed(&from, &to, 50_000 - all).await.unwrap();
                all += sent + left.len();
                if !left.is_empty() || all == 50_000 {
                    break left;
                }
            };
            if !left.is_empty() {
                break left;
            }
        };
        drop(to);
        client.read_to_end(&mut came).await.unwrap();
        came.extend_from_slice(&left);
        let rest = sent.split_off(came.len());
        assert!(came == sent && rest.len() < 50_000, "{} of {} bytes", came.len(), sent.len());
        drop((sender, from));
        // Nothing of it is in the pipe for the next.
        let (mut sender, from, to, mut client) = between().await;
        sender.write_all(b"another").unwrap();
        assert_eq!(passed(&from, &to, 3).await.unwrap(), PassedOn { sent: 3, left: Bytes::new(), is_unable: false });
        let mut three = [0; 3];
        client.read_exact(&mut three).await.unwrap();
        assert_eq!(&three, b"ano", "and no more than was asked for");
    }

    #[tokio::test]
    async fn an_end_is_told_from_what_failed() {
        let (mut sender, from, to, _client) = between().await;
        sender.write_all(b"last").unwrap();
        drop(sender);
        assert_eq!(passed(&from, &to, 100).await.unwrap(), PassedOn { sent: 4, left: Bytes::new(), is_unable: false });
        assert_eq!(passed(&from, &to, 100).await.unwrap(), PassedOn { sent: 0, left: Bytes::new(), is_unable: false });
        let (mut sender, from, to, client) = between().await;
        socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(client);
        sender.write_all(b"for nobody").unwrap();
        assert!(matches!(passed(&from, &to, 100).await, Err(PassError::To(_))));
        // Its pipe is gone with what was in it.
        let (mut sender, from, to, mut client) = between().await;
        sender.write_all(b"for somebody").unwrap();
        passed(&from, &to, 100).await.unwrap();
        drop(to);
        let mut came = String::new();
        client.read_to_string(&mut came).await.unwrap();
        assert_eq!(came, "for somebody");
    }
}

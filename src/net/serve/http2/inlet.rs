//! PURE. What a client has sent, on its way to the library, which drops pseudo-header fields in a request's trailers unseen; they are
//! malformed (RFC 9113 section 8.1). So trailers are handed on with a field in front of theirs: behind one the library
//! refuses every pseudo-header field, however it is written, and resets its stream alone.
//!
//! It loses one all the same in a frame that ends within another field. So trailers go on as one piece, as far as they fit
//! into one frame and came in no more than [`PIECES`].

use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, FramePart, FrameWatch};
use super::frames::{HEADERS, RST_STREAM};
use bytes::BytesMut;
use http::{HeaderMap, HeaderName};
use std::mem;

const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;
/// Bytes of a priority.
const PRIORITY: usize = 5;

/// [`MARK_NAME`] without a value, as the static table has it (RFC 7541 appendix A).
const MARK: u8 = 0x80 | 55;
/// Trailers have no place for it ([`crate::wire::hop::strip_trailers`]).
const MARK_NAME: HeaderName = http::header::SET_COOKIE;

/// As long as a frame may be (RFC 9113 section 6.5.2): we say nothing of others.
const FRAME: usize = 16_384;
/// The library counts pieces of fields, and ends connections for too many: those waiting here it has not seen.
const PIECES: usize = 8;
/// Far more requests than a connection may have at once have content to come.
const OPEN: usize = 1024;

/// Trailers that the library has read without the field in front of them, in their order.
pub(in crate::net::serve) fn unmarked(trailers: HeaderMap) -> HeaderMap {
    if trailers.keys().next() != Some(&MARK_NAME) {
        return trailers;
    }
    let mut own = HeaderMap::new();
    // All of that name are first.
    own.extend(trailers.into_iter().skip(1).skip_while(|(name, _)| name.is_none()));
    own
}

/// See the module.
pub(super) struct Inlet {
    frames: FrameWatch,
    /// The newest stream.
    newest: u32,
    /// Those that have content or trailers to come, in order. A client need not end who was answered early, so the first
    /// gives way.
    open: Vec<u32>,
    trailers: Option<Box<Trailers>>,
    /// What comes before all that is read from now on.
    waits: BytesMut,
}

/// Those of a request, as far as they came.
struct Trailers {
    /// Of their first frame.
    head: FrameHead,
    /// Of that frame.
    priority: [u8; PRIORITY],
    block: Vec<u8>,
    pieces: usize,
    /// Of the last piece.
    is_last: bool,
}

impl Inlet {
    pub(super) fn new() -> Inlet {
        Inlet { frames: FrameWatch::new(), newest: 0, open: Vec::new(), trailers: None, waits: BytesMut::new() }
    }

    /// Looks at what was read. So many bytes of it go on to the library as they are, and what [`Inlet::waiting`] has behind them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> usize {
        let (mut left, mut passed) = (bytes, 0);
        let mut is_as_read = self.waits.is_empty() && self.frames.half_head().is_empty() && self.trailers.is_none();
        while !left.is_empty() {
            let head;
            let part = match self.frames.part(&mut left) {
                FramePart::HalfHead => break,
                FramePart::Content(content) => content,
                FramePart::Head(begun) => {
                    self.begins(begun);
                    head = begun.bytes();
                    if self.trailers.is_some() { &[][..] } else { &head[..] }
                }
            };
            is_as_read &= self.trailers.is_none();
            match &mut self.trailers {
                Some(trailers) => {
                    trailers.block.extend_from_slice(part);
                    if self.frames.is_at_end_of_frame() {
                        self.piece_ends();
                    }
                }
                None if is_as_read => passed += part.len(),
                None => self.waits.extend_from_slice(part),
            }
        }
        passed
    }

    /// A frame does.
    fn begins(&mut self, head: FrameHead) {
        if let Some(trailers) = &mut self.trailers {
            if trailers.takes(head) {
                return;
            }
            self.hand_on();
        }
        match head.kind {
            HEADERS if head.stream > self.newest => {
                self.newest = head.stream;
                if !head.has(END_STREAM) {
                    self.opens(head.stream);
                }
            }
            // What is too long the library refuses by its head.
            HEADERS if self.is_open(head) && head.length <= FRAME => self.trailers = Some(Trailers::new(head)),
            DATA if head.has(END_STREAM) => _ = self.is_open(head),
            RST_STREAM => _ = self.is_open(head),
            _ => {}
        }
    }

    fn opens(&mut self, stream: u32) {
        if self.open.len() == OPEN {
            self.open.remove(0);
        }
        self.open.push(stream);
    }

    /// Whether its stream had something to come before it. It may be the last.
    fn is_open(&mut self, head: FrameHead) -> bool {
        let Ok(at) = self.open.binary_search(&head.stream) else { return false };
        if head.kind == RST_STREAM || head.has(END_STREAM) {
            self.open.remove(at);
        }
        true
    }

    /// Of trailers.
    fn piece_ends(&mut self) {
        let Some(trailers) = &mut self.trailers else { return };
        if trailers.pieces == 1 && !trailers.unpad() {
            // The library ends the connection.
            self.waits.extend_from_slice(&trailers.head.bytes());
            self.waits.extend_from_slice(&trailers.block);
            self.trailers = None;
        } else if trailers.is_last {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        let Some(trailers) = self.trailers.take() else { return };
        let Trailers { head, priority, block, is_last, .. } = *trailers;
        let priority = if head.has(WITH_PRIORITY) { &priority[..] } else { &[] };
        let flags = head.flags & (END_STREAM | WITH_PRIORITY);
        let first = FrameHead { length: priority.len() + 1, flags, ..head };
        // On its own, so that what has to be first among their fields is: a new size of the table (RFC 7541 section 4.2).
        let flags = if is_last { END_HEADERS } else { 0 };
        let rest = FrameHead { length: block.len(), kind: CONTINUATION, flags, ..head };
        for part in [&first.bytes()[..], priority, &[MARK], &rest.bytes(), &block] {
            self.waits.extend_from_slice(part);
        }
    }

    /// So much of what goes on before all that is read from now on.
    pub(super) fn waiting(&mut self, most: usize) -> BytesMut {
        // The room for it goes with it.
        if self.waits.len() <= most { mem::take(&mut self.waits) } else { self.waits.split_to(most) }
    }

    /// Nothing more is read. What has begun goes on, so that the library sees that it has no end.
    pub(super) fn ends(&mut self) {
        if let Some(trailers) = self.trailers.take() {
            self.waits.extend_from_slice(&trailers.head.bytes());
        }
        self.waits.extend_from_slice(mem::replace(&mut self.frames, FrameWatch::new()).half_head());
    }

    /// What a client has sent ends within fields.
    pub(super) fn is_in_fields(&self) -> bool {
        self.frames.is_in_fields()
    }
}

impl Trailers {
    fn new(head: FrameHead) -> Box<Trailers> {
        let block = Vec::with_capacity(head.length);
        Box::new(Trailers { head, priority: [0; PRIORITY], block, pieces: 1, is_last: head.has(END_HEADERS) })
    }

    /// Whether the frame of this head is the next piece, and there is room for it.
    fn takes(&mut self, head: FrameHead) -> bool {
        let is_next = head.kind == CONTINUATION && head.stream == self.head.stream;
        let takes = is_next && self.pieces < PIECES && self.block.len() + head.length <= FRAME;
        if takes {
            self.pieces += 1;
            self.is_last = head.has(END_HEADERS);
        }
        takes
    }

    /// Leaves the fields alone. `false`: the frame is too short for what it says.
    fn unpad(&mut self) -> bool {
        let (mut rest, mut padding) = (&self.block[..], 0);
        if self.head.has(PADDED) {
            let Some((said, behind)) = rest.split_first() else { return false };
            (padding, rest) = (usize::from(*said), behind);
        }
        if self.head.has(WITH_PRIORITY) {
            let Some((priority, behind)) = rest.split_first_chunk() else { return false };
            (self.priority, rest) = (*priority, behind);
        }
        let Some(length) = rest.len().checked_sub(padding) else { return false };
        let at = self.block.len() - rest.len();
        self.block.truncate(at + length);
        self.block.drain(..at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
        [&FrameHead { length: content.len(), kind, flags, stream }.bytes()[..], content].concat()
    }

    /// What goes on of these frames, read in pieces of so many bytes.
    fn goes_on(inlet: &mut Inlet, frames: &[Vec<u8>], piece: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for read in [PREFACE, &frames.concat()].concat().chunks(piece) {
            let passed = inlet.read(read);
            out.extend_from_slice(&read[..passed]);
            while !inlet.waits.is_empty() {
                out.extend_from_slice(&inlet.waiting(7));
            }
        }
        out
    }

    #[track_caller]
    fn check(sent: &[Vec<u8>], expected: &[Vec<u8>]) {
        for piece in [1, 2, 8, 9, 10, 31, 100_000] {
            let out = goes_on(&mut Inlet::new(), sent, piece);
            assert!(out == [PREFACE, &expected.concat()].concat(), "{piece}: {:?}", &out[PREFACE.len()..]);
        }
    }

    fn get(stream: u32) -> Vec<u8> {
        frame(HEADERS, END_HEADERS | END_STREAM, stream, b"head")
    }

    fn post(stream: u32) -> Vec<u8> {
        frame(HEADERS, END_HEADERS, stream, b"head")
    }

    fn data(stream: u32, flags: u8) -> Vec<u8> {
        frame(DATA, flags, stream, b"content")
    }

    #[test]
    fn all_but_trailers_goes_on_as_it_is() {
        let fields = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, b"fields");
        let long = frame(HEADERS, END_HEADERS | END_STREAM, 1, &vec![0; FRAME + 1]);
        for frames in [
            vec![frame(4, 0, 0, b""), get(1), get(3), frame(6, 0, 0, b"whatever"), get(5)],
            vec![post(1), data(1, 0), get(3), data(1, END_STREAM)],
            vec![frame(HEADERS, END_STREAM, 1, b"he"), frame(CONTINUATION, END_HEADERS, 1, b"ad"), get(3)],
            // Not open: the library says of each what is wrong.
            vec![get(1), fields(1)],
            vec![post(1), data(1, END_STREAM), fields(1)],
            vec![post(1), frame(RST_STREAM, 0, 1, &[0; 4]), fields(1)],
            vec![post(5), fields(3)],
            vec![frame(HEADERS, END_HEADERS, 0, b"")],
            // Shorter than they say, and longer than they may be.
            vec![post(1), frame(HEADERS, PADDED | END_HEADERS, 1, b"\x05abcd")],
            vec![post(1), frame(HEADERS, PADDED, 1, b"")],
            vec![post(1), frame(HEADERS, WITH_PRIORITY, 1, b"abcd")],
            vec![post(1), long],
        ] {
            check(&frames, &frames);
        }
    }

    #[test]
    fn trailers_have_a_field_in_front_of_them_and_are_one_piece() {
        let marked = |block: &[u8]| {
            [frame(HEADERS, END_STREAM, 1, &[MARK]), frame(CONTINUATION, END_HEADERS, 1, block)].concat()
        };
        let last = END_STREAM | END_HEADERS;
        for (trailers, expected) in [
            (vec![frame(HEADERS, last, 1, b"fields")], marked(b"fields")),
            (vec![frame(HEADERS, last, 1, b"")], marked(b"")),
            (vec![frame(HEADERS, last | PADDED, 1, b"\x03fieldsxxx")], marked(b"fields")),
            (vec![frame(HEADERS, END_STREAM, 1, b"fi"), frame(CONTINUATION, 4, 1, b"elds")], marked(b"fields")),
            (
                vec![
                    frame(HEADERS, END_STREAM, 1, b""),
                    frame(CONTINUATION, 0, 1, b"f"),
                    frame(CONTINUATION, 4, 1, b""),
                ],
                marked(b"f"),
            ),
            (
                vec![frame(HEADERS, last | PADDED | WITH_PRIORITY, 1, b"\x03PRIORfieldsxxx")],
                [
                    frame(HEADERS, END_STREAM | WITH_PRIORITY, 1, &[&b"PRIOR"[..], &[MARK]].concat()),
                    frame(CONTINUATION, END_HEADERS, 1, b"fields"),
                ]
                .concat(),
            ),
        ] {
            let around = |trailers: Vec<u8>| [post(1), post(3), data(1, 0), trailers, data(3, END_STREAM), get(5)];
            check(&around(trailers.concat()), &around(expected));
        }
    }

    #[test]
    fn the_end_of_a_stream_is_the_end_of_its_trailers() {
        let fields = frame(HEADERS, END_STREAM | END_HEADERS, 1, b"fields");
        let mut inlet = Inlet::new();
        goes_on(&mut inlet, &[post(1), post(3), fields.clone(), data(3, END_STREAM)], 100);
        assert!(inlet.open.is_empty());
        // Those that have none do not add up.
        let many: Vec<_> = (0..2 * OPEN as u32).map(|n| post(2 * n + 5)).collect();
        let mut inlet = Inlet::new();
        goes_on(&mut inlet, &many, 100_000);
        assert_eq!((inlet.open.len(), inlet.open[0]), (OPEN, 2 * OPEN as u32 + 5));
    }

    #[test]
    fn trailers_that_are_too_long_go_on_as_they_come() {
        let first = frame(HEADERS, END_STREAM, 1, &vec![1; FRAME - 10]);
        let (second, third) = (frame(CONTINUATION, 0, 1, &[2; 11]), frame(CONTINUATION, END_HEADERS, 1, &[3; 5]));
        let mark = frame(HEADERS, END_STREAM, 1, &[MARK]);
        check(
            &[post(1), first, second.clone(), third.clone(), get(3)],
            &[post(1), mark.clone(), frame(CONTINUATION, 0, 1, &vec![1; FRAME - 10]), second, third, get(3)],
        );
        let empty = frame(CONTINUATION, 0, 1, b"");
        check(
            &[vec![post(1), frame(HEADERS, END_STREAM, 1, b"")], vec![empty.clone(); 20]].concat(),
            &[vec![post(1), mark.clone()], vec![empty; 20 - PIECES + 2]].concat(),
        );
        // What comes between them is for the library to refuse.
        check(
            &[post(1), frame(HEADERS, END_STREAM, 1, b"x"), get(3)],
            &[post(1), mark, frame(CONTINUATION, 0, 1, b"x"), get(3)],
        );
    }

    #[test]
    fn trailers_are_rid_of_it_in_their_order() {
        let names = ["x-a", "x-b", "set-cookie", "x-c", "x-a"];
        let own: Vec<_> = names.map(|name| (HeaderName::from_static(name), "v".parse().unwrap())).into();
        let unmarked_of = |fields: &[(HeaderName, http::HeaderValue)]| {
            let mut trailers = HeaderMap::new();
            fields.iter().for_each(|(name, value)| _ = trailers.append(name, value.clone()));
            unmarked(trailers).iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        };
        let marked = [&[(MARK_NAME, http::HeaderValue::from_static(""))], &own[..]].concat();
        assert_eq!(unmarked_of(&marked), ["x-a", "x-a", "x-b", "x-c"]);
        assert_eq!(unmarked_of(&own), ["x-a", "x-a", "x-b", "set-cookie", "x-c"]);
        assert!(unmarked_of(&marked[..1]).is_empty() && unmarked_of(&[]).is_empty());
    }

    #[test]
    fn what_is_cut_off_goes_on_cut_off() {
        let whole = [post(1), frame(HEADERS, END_STREAM | END_HEADERS, 1, b"fields")].concat();
        for (cut, left) in [(post(1).len() + 3, 3), (post(1).len() + 9, 9), (whole.len() - 1, 9), (post(1).len(), 0)] {
            let mut inlet = Inlet::new();
            goes_on(&mut inlet, &[whole[..cut].to_vec()], 100);
            inlet.ends();
            assert_eq!(inlet.waiting(100), whole[post(1).len()..][..left], "{cut}");
        }
    }
}

//! PURE. What a client has sent, on its way to the library, which drops two things of a request's trailers unseen:
//! - Pseudo-header fields, which are malformed (RFC 9113 section 8.1). So trailers are handed on with a field in front of
//!   theirs: behind one the library refuses every pseudo-header field, however it is written, and resets its stream alone. It
//!   loses one all the same in a frame that ends within another field. So pieces of trailers go on as one, as far as they fit
//!   into one frame, and are no more than [`PIECES`].
//! - What is too long. So there is a field behind them as well: trailers without it have been cut.

use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameHead, FramePart, FrameWatch};
use super::frames::{HEADERS, RST_STREAM};
use bytes::BytesMut;
use http::{HeaderMap, HeaderName};
use std::mem;

const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;
/// Bytes of a priority.
const PRIORITY: usize = 5;

/// [`FIRST_NAME`] without a value, as the static table has it (RFC 7541 appendix A).
const FIRST: &[u8] = &[0x80 | 55];
/// Trailers have no place for it ([`crate::wire::hop::strip_trailers`]).
const FIRST_NAME: HeaderName = http::header::SET_COOKIE;
/// [`LAST_NAME`], which is 38 in that table, without a value. Fields that end too early are not made whole by it: its first byte is
/// that of no value, and where one takes it in the Huffman code the field is not behind them.
const LAST: &[u8] = &[0x1f, 38 - 15, 0];
const LAST_NAME: HeaderName = http::header::HOST;

/// As long as a frame may be (RFC 9113 section 6.5.2): we say nothing of others.
const FRAME: usize = 16_384;
/// The library counts pieces of fields, and ends connections for too many: those that wait here it has not seen.
const PIECES: usize = 8;
/// So many requests may have content to come, for each that may run.
const OPEN: usize = 4;

/// Trailers that the library has read without the fields around them, in their order. `None`: they were too long.
pub(in crate::net::serve) fn unmarked(trailers: HeaderMap) -> Option<HeaderMap> {
    if trailers.keys().next() != Some(&FIRST_NAME) {
        return Some(trailers);
    }
    trailers.get_all(LAST_NAME).iter().next_back().filter(|value| value.is_empty())?;
    let mut own = HeaderMap::new();
    // All of the first name are first.
    own.extend(trailers.into_iter().skip(1).skip_while(|(name, _)| name.is_none()));
    own.remove(LAST_NAME);
    Some(own)
}

/// See the module.
pub(super) struct Inlet {
    frames: FrameWatch,
    /// The newest stream.
    newest: u32,
    /// Those that have content or trailers to come, in order. A client need not end who was answered early, so the first
    /// gives way.
    open: Vec<u32>,
    /// So many.
    most: usize,
    trailers: Option<Box<Trailers>>,
    /// What comes before all that is read from now on.
    waits: BytesMut,
}

/// Those of a request, as far as they came.
struct Trailers {
    /// Of their first frame.
    head: FrameHead,
    /// That frame is not complete, or waits.
    is_first: bool,
    /// What waits.
    block: Vec<u8>,
    /// Of which that is.
    pieces: usize,
    /// The last piece is one of them.
    is_last: bool,
}

impl Inlet {
    /// `streams`: that may be at once.
    pub(super) fn new(streams: usize) -> Inlet {
        Inlet {
            frames: FrameWatch::new(),
            newest: 0,
            open: Vec::new(),
            most: OPEN.saturating_mul(streams.max(1)),
            trailers: None,
            waits: BytesMut::new(),
        }
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
            if trailers.goes_on(head) {
                if !trailers.has_room(head) {
                    trailers.hand_on(&mut self.waits);
                }
                trailers.takes(head);
                return;
            }
            // The library ends the connection.
            trailers.hand_on(&mut self.waits);
            self.trailers = None;
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
        if self.open.len() == self.most {
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
        if trailers.is_first && trailers.pieces == 1 && !trailers.unpad() {
            // The library ends the connection.
            self.waits.extend_from_slice(&trailers.head.bytes());
            self.waits.extend_from_slice(&trailers.block);
            self.trailers = None;
        } else if trailers.is_last {
            trailers.hand_on(&mut self.waits);
            self.trailers = None;
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
        // Room is made for what comes alone, whatever it says.
        Box::new(Trailers { head, is_first: true, block: Vec::new(), pieces: 1, is_last: head.has(END_HEADERS) })
    }

    /// Whether the frame of this head is the next piece.
    fn goes_on(&self, head: FrameHead) -> bool {
        head.kind == CONTINUATION && head.stream == self.head.stream && head.length <= FRAME
    }

    fn has_room(&self, head: FrameHead) -> bool {
        self.pieces < PIECES && self.block.len() + head.length <= FRAME
    }

    fn takes(&mut self, head: FrameHead) {
        self.pieces += 1;
        self.is_last = head.has(END_HEADERS);
    }

    /// What waits does.
    fn hand_on(&mut self, out: &mut BytesMut) {
        // On its own, so that what has to be first among fields is: a new size of the table (RFC 7541 section 4.2).
        if mem::take(&mut self.is_first) {
            self.frame(HEADERS, self.head.flags & END_STREAM, FIRST, out);
        }
        // For what is malformed in another than the last piece the library ends the connection.
        if self.is_last && self.block.len() + LAST.len() > FRAME {
            self.frame(CONTINUATION, 0, &self.block, out);
            self.block.clear();
        }
        if self.is_last {
            self.block.extend_from_slice(LAST);
        }
        self.frame(CONTINUATION, if self.is_last { END_HEADERS } else { 0 }, &self.block, out);
        self.block.clear();
        self.pieces = 0;
    }

    fn frame(&self, kind: u8, flags: u8, content: &[u8], out: &mut BytesMut) {
        let head = FrameHead { length: content.len(), kind, flags, stream: self.head.stream };
        out.extend_from_slice(&head.bytes());
        out.extend_from_slice(content);
    }

    /// Leaves the fields alone. `false`: the frame is too short for what it says.
    fn unpad(&mut self) -> bool {
        let (mut rest, mut padding) = (&self.block[..], 0);
        if self.head.has(PADDED) {
            let Some((said, behind)) = rest.split_first() else { return false };
            (padding, rest) = (usize::from(*said), behind);
        }
        if self.head.has(WITH_PRIORITY) {
            // It says nothing any more (RFC 9113 section 5.3.2).
            let Some((_, behind)) = rest.split_at_checked(PRIORITY) else { return false };
            rest = behind;
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
            let out = goes_on(&mut Inlet::new(100), sent, piece);
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

    /// Trailers as they go on, in these pieces.
    fn marked(pieces: &[&[u8]]) -> Vec<u8> {
        let (last, others) = pieces.split_last().unwrap();
        let others: Vec<_> = others.iter().map(|piece| frame(CONTINUATION, 0, 1, piece)).collect();
        let last = frame(CONTINUATION, END_HEADERS, 1, &[last, LAST].concat());
        [frame(HEADERS, END_STREAM, 1, FIRST), others.concat(), last].concat()
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
    fn trailers_are_one_piece_between_two_fields() {
        let marked = |block: &[u8]| marked(&[block]);
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
            (vec![frame(HEADERS, last | PADDED | WITH_PRIORITY, 1, b"\x03PRIORfieldsxxx")], marked(b"fields")),
        ] {
            let around = |trailers: Vec<u8>| [post(1), post(3), data(1, 0), trailers, data(3, END_STREAM), get(5)];
            check(&around(trailers.concat()), &around(expected));
        }
    }

    #[test]
    fn the_end_of_a_stream_is_the_end_of_its_trailers() {
        let fields = frame(HEADERS, END_STREAM | END_HEADERS, 1, b"fields");
        let mut inlet = Inlet::new(100);
        goes_on(&mut inlet, &[post(1), post(3), fields.clone(), data(3, END_STREAM)], 100);
        assert!(inlet.open.is_empty());
        // Those that have none do not add up.
        let many: Vec<_> = (0..1000).map(|n| post(2 * n + 1)).collect();
        let mut inlet = Inlet::new(100);
        goes_on(&mut inlet, &many, 100_000);
        assert_eq!((inlet.open.len(), inlet.open[0]), (400, 1201));
    }

    #[test]
    fn long_trailers_are_as_few_pieces_as_may_be() {
        let (long, more) = (vec![1; FRAME - 10], [2; 11]);
        let first = || [post(1), frame(HEADERS, END_STREAM, 1, &long)];
        let [a, b] = [(CONTINUATION, 0), (CONTINUATION, END_HEADERS)].map(|(kind, flags)| frame(kind, flags, 1, &more));
        check(&[&first()[..], &[a, b, get(3)]].concat(), &[post(1), marked(&[&long, &[more, more].concat()]), get(3)]);
        let empty = |flags| frame(CONTINUATION, flags, 1, b"");
        let many = [vec![empty(0); 2 * PIECES], vec![empty(END_HEADERS), get(3)]].concat();
        let expected = [long.as_slice(), b"", b""];
        check(&[&first()[..], &many].concat(), &[post(1), marked(&expected), get(3)]);
        // The field behind them has no room.
        let full = vec![1; FRAME - LAST.len() + 1];
        let trailers = frame(HEADERS, END_STREAM | END_HEADERS, 1, &full);
        check(&[post(1), trailers, get(3)], &[post(1), marked(&[&full, b""]), get(3)]);
        // What does not go on within them is for the library to refuse.
        let [_, begun] = first();
        let unfinished = [frame(HEADERS, END_STREAM, 1, FIRST), frame(CONTINUATION, 0, 1, &long)].concat();
        for next in [get(3), frame(CONTINUATION, 4, 3, b"x"), frame(CONTINUATION, 4, 1, &vec![0; FRAME + 1])] {
            check(&[post(1), begun.clone(), next.clone()], &[post(1), unfinished.clone(), next]);
        }
    }

    #[test]
    fn trailers_are_rid_of_the_fields_around_them() {
        let read = |fields: &[(&'static str, &str)]| {
            let mut trailers = HeaderMap::new();
            for (name, value) in fields {
                trailers.append(HeaderName::from_static(name), value.parse().unwrap());
            }
            unmarked(trailers).map(|fields| fields.keys().map(HeaderName::to_string).collect::<Vec<_>>())
        };
        let (first, last) = (("set-cookie", ""), ("host", ""));
        let own = [("x-a", "1"), ("x-b", "2"), ("set-cookie", "a=b"), ("x-c", "3"), ("x-a", "4")];
        let names = || ["x-a", "x-b", "x-c"].map(str::to_owned).to_vec();
        assert_eq!(read(&[&[first], &own[..], &[last]].concat()), Some(names()));
        assert_eq!(read(&[first, last]), Some(Vec::new()));
        // Cut, the second although it has that name.
        assert_eq!(read(&[&[first], &own[..]].concat()), None);
        assert_eq!(read(&[first, ("x-a", "1"), ("host", "a.example")]), None);
        // Not marked.
        assert_eq!(read(&own[..2]), Some(names()[..2].to_vec()));
    }

    #[test]
    fn what_is_cut_off_goes_on_cut_off() {
        let whole = [post(1), frame(HEADERS, END_STREAM | END_HEADERS, 1, b"fields")].concat();
        for (cut, left) in [(post(1).len() + 3, 3), (post(1).len() + 9, 9), (whole.len() - 1, 9), (post(1).len(), 0)] {
            let mut inlet = Inlet::new(100);
            goes_on(&mut inlet, &[whole[..cut].to_vec()], 100);
            inlet.ends();
            assert_eq!(inlet.waiting(100), whole[post(1).len()..][..left], "{cut}");
        }
    }
}

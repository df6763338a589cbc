//! PURE. The bytes of a connection, frame by frame (RFC 9113 section 4.1), and whether what a client has sent ends within the fields
//! of a request (section 4.3).

const PREFACE: usize = 24;
pub(super) const HEAD: usize = 9;
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    /// Of the content.
    pub(super) length: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    fn read([a, b, c, kind, flags, stream @ ..]: [u8; HEAD]) -> FrameHead {
        // The first bit says nothing.
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        FrameHead { length: u32::from_be_bytes([0, a, b, c]) as usize, kind, flags, stream }
    }

    pub(super) fn bytes(&self) -> [u8; HEAD] {
        let [_, a, b, c] = (self.length as u32).to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Of what was read.
pub(super) enum FramePart<'a> {
    Head(FrameHead),
    /// Of the frame of that head; or of the preface.
    Content(&'a [u8]),
    /// The rest of a head is to come.
    HalfHead,
}

/// Follows the bytes of a connection.
pub(super) struct FrameWatch {
    head: [u8; HEAD],
    /// So many bytes of it are there.
    had: usize,
    /// Of the frame's content (at first, of the preface) so many are to come.
    left: usize,
    /// The fields go on in the next frame, or in the rest of this one.
    goes_on: bool,
    is_last: bool,
}

impl FrameWatch {
    pub(super) fn new() -> FrameWatch {
        FrameWatch { head: [0; HEAD], had: 0, left: PREFACE, goes_on: true, is_last: true }
    }

    /// Takes the first part of these bytes, which are some.
    pub(super) fn part<'a>(&mut self, bytes: &mut &'a [u8]) -> FramePart<'a> {
        let wanted = if self.left > 0 { self.left } else { HEAD - self.had };
        let (taken, behind) = bytes.split_at(wanted.min(bytes.len()));
        *bytes = behind;
        let part = if self.left > 0 {
            self.left -= taken.len();
            FramePart::Content(taken)
        } else {
            self.head[self.had..self.had + taken.len()].copy_from_slice(taken);
            self.had += taken.len();
            if self.had < HEAD {
                return FramePart::HalfHead;
            }
            FramePart::Head(self.begins())
        };
        if self.left == 0 && self.is_last {
            self.goes_on = false;
        }
        part
    }

    /// A frame's head is there.
    fn begins(&mut self) -> FrameHead {
        let head = FrameHead::read(self.head);
        (self.had, self.left) = (0, head.length);
        let has_fields = matches!(head.kind, HEADERS | CONTINUATION);
        self.goes_on |= has_fields;
        self.is_last = has_fields && head.has(END_HEADERS);
        head
    }

    pub(super) fn is_in_fields(&self) -> bool {
        self.goes_on
    }

    /// Nothing more of the frame is to come.
    pub(super) fn is_at_end_of_frame(&self) -> bool {
        self.left == 0
    }

    /// What is there of a head.
    pub(super) fn half_head(&self) -> &[u8] {
        &self.head[..self.had]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl FrameWatch {
        fn read(&mut self, mut bytes: &[u8]) {
            while !bytes.is_empty() {
                self.part(&mut bytes);
            }
        }
    }

    fn frame(kind: u8, flags: u8, content: usize) -> Vec<u8> {
        let length = (content as u32).to_be_bytes();
        let head = [length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        [&head[..], &vec![0; content]].concat()
    }

    #[test]
    fn fields_go_on_until_the_last_byte_of_their_last_frame() {
        let mut watch = FrameWatch::new();
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        watch.read(&preface[..23]);
        assert!(watch.is_in_fields());
        watch.read(&preface[23..]);
        assert!(!watch.is_in_fields());
        for piece in [1, 5, 9, 1000] {
            for (kind, flags, content, expected) in [
                (4, 0, 12, false),
                (6, 0, 8, false),
                (HEADERS, 0, 20, true),
                (CONTINUATION, 0, 0, true),
                (CONTINUATION, END_HEADERS, 7, false),
                (0, 0, 300, false),
                (HEADERS, END_HEADERS, 0, false),
                (HEADERS, END_HEADERS | 1, 30, false),
            ] {
                let bytes = frame(kind, flags, content);
                let (all, last) = bytes.split_at(bytes.len() - 1);
                all.chunks(piece).for_each(|piece| watch.read(piece));
                if matches!(kind, HEADERS | CONTINUATION) && content > 0 {
                    assert!(watch.is_in_fields(), "{kind} {flags} {content}");
                }
                watch.read(last);
                assert_eq!(watch.is_in_fields(), expected, "{kind} {flags} {content}");
            }
        }
    }
}

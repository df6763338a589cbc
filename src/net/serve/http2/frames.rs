//! PURE. Whether what a client has sent ends within the fields of a request (RFC 9113 sections 4.1 and 4.3).

const PREFACE: usize = 24;
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

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

    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(bytes.len());
                (self.left, bytes) = (self.left - taken, &bytes[taken..]);
            } else {
                let taken = (HEAD - self.had).min(bytes.len());
                self.head[self.had..self.had + taken].copy_from_slice(&bytes[..taken]);
                (self.had, bytes) = (self.had + taken, &bytes[taken..]);
                if self.had < HEAD {
                    return;
                }
                self.begins();
            }
            if self.left == 0 && self.is_last {
                self.goes_on = false;
            }
        }
    }

    /// A frame's head is there.
    fn begins(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.had = 0;
        self.left = u32::from_be_bytes([0, a, b, c]) as usize;
        let has_fields = matches!(kind, HEADERS | CONTINUATION);
        self.goes_on |= has_fields;
        self.is_last = has_fields && flags & END_HEADERS != 0;
    }

    pub(super) fn is_in_fields(&self) -> bool {
        self.goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

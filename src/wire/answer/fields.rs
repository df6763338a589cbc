//! PURE. The field lines of an answer, kept as they were sent: most answers go on to the client line by line, and only
//! who has to look at a field by name needs a map of them.

use crate::wire::field::{FieldId, Traits};
use crate::wire::status;
use crate::wire::written::{field, status_line};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use std::ops::Range;

/// So many runs of lines that do not go on are known by place.
const LEFT_OUT: usize = 4;

/// Where something is in a head. Heads are far shorter than 4 GiB, and moved some ten times in a request.
#[derive(Clone, Copy, Debug, Default)]
struct HeadSpan {
    start: u32,
    end: u32,
}

impl HeadSpan {
    fn of(range: Range<usize>) -> HeadSpan {
        let at = |at| u32::try_from(at).unwrap_or(u32::MAX);
        HeadSpan { start: at(range.start), end: at(range.end) }
    }
    /// What is there; nothing where it is beyond `head`.
    fn in_head(self, head: &[u8]) -> &[u8] {
        head.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Fields<B = Bytes> {
    head: B,
    /// Where the lines are in `head`, the empty one after them not included.
    lines: HeadSpan,
    count: usize,
    /// Lines that are not for the client: of this hop, or of the link.
    left_out: [HeadSpan; LEFT_OUT],
    /// How many of them there are; more than fit: the lines can't go on as they are.
    leaves_out: usize,
    /// See [`Fields::verdict`].
    verdict: Option<HeadSpan>,
    /// Value of the last `Cache-Control` line, and how many there are.
    cache_control: HeadSpan,
    cache_controls: usize,
    dated: bool,
    /// It names another service for the same (RFC 7838 section 3).
    alternative: bool,
    length: Length,
    /// They can't go on as they are: `Connection` names some of them, or their lines have odd ends.
    reworded: bool,
    /// The reason phrase.
    reason: HeadSpan,
}

/// What becomes of `Content-Length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    AsSent,
    /// Beside a transfer coding it means nothing (RFC 9112 section 6.3).
    LeftOut,
    /// In place of several lines or members of the same number.
    Once(u64),
}

impl<B: AsRef<[u8]>> Fields<B> {
    /// `count` lines of `head` at `lines`.
    pub fn new(head: B, lines: Range<usize>, count: usize) -> Fields<B> {
        Fields {
            head,
            lines: HeadSpan::of(lines),
            count,
            left_out: Default::default(),
            leaves_out: 0,
            verdict: None,
            cache_control: HeadSpan::default(),
            cache_controls: 0,
            dated: false,
            alternative: false,
            length: Length::AsSent,
            reworded: false,
            reason: HeadSpan::default(),
        }
    }

    pub fn set_reason(&mut self, reason: Range<usize>) {
        self.reason = HeadSpan::of(reason);
    }
    /// The reason phrase, as it came.
    pub fn reason(&self) -> &[u8] {
        self.reason.in_head(self.head.as_ref())
    }

    pub fn set_length(&mut self, length: Length) {
        self.length = length;
    }
    pub fn set_reworded(&mut self) {
        self.reworded = true;
    }

    /// Takes note of one line, which ends where the next begins.
    pub fn note(&mut self, id: FieldId, value: Range<usize>, line: Range<usize>) {
        match id {
            _ if id.is(Traits::HOP.and(Traits::LINK)) => self.leave_out(line),
            FieldId::CacheStatus => self.note_verdict(value),
            FieldId::CacheControl => {
                self.cache_control = HeadSpan::of(value);
                self.cache_controls += 1;
            }
            FieldId::Date => self.dated = true,
            FieldId::AltSvc => self.alternative = true,
            _ => {}
        }
    }

    fn leave_out(&mut self, line: Range<usize>) {
        if let Some(place) = self.left_out.get_mut(self.leaves_out) {
            *place = HeadSpan::of(line);
        }
        self.leaves_out += 1;
    }

    /// It is asked for several times.
    fn note_verdict(&mut self, value: Range<usize>) {
        let line = &self.head.as_ref()[value.clone()];
        self.verdict = status::last_member_of(line).map(|member| {
            let start = value.start + (member.as_ptr() as usize - line.as_ptr() as usize);
            HeadSpan::of(start..start + member.len())
        });
    }

    /// Whether it has `Alt-Svc`.
    pub fn names_alternative(&self) -> bool {
        self.alternative
    }

    /// The last member of `Cache-Status`, which is the node's, without its name.
    pub fn verdict(&self) -> Option<&[u8]> {
        Some(self.verdict?.in_head(self.head.as_ref()))
    }

    /// The value of `Cache-Control`, where there is just one line of it.
    pub fn cache_control(&self) -> Option<&[u8]> {
        (self.cache_controls == 1).then(|| self.cache_control.in_head(self.head.as_ref()))
    }

    /// Appends the lines that are for the client to `out`; `false`, and nothing, when they can't go on as they are.
    pub fn write(&self, out: &mut Vec<u8>) -> bool {
        if self.leaves_out > LEFT_OUT || !self.dated || self.reworded || self.length != Length::AsSent {
            return false;
        }
        let (head, mut at) = (self.head.as_ref(), self.lines.start);
        for gap in &self.left_out[..self.leaves_out] {
            out.extend_from_slice(HeadSpan { start: at, end: gap.start }.in_head(head));
            at = gap.end;
        }
        out.extend_from_slice(HeadSpan { start: at, end: self.lines.end }.in_head(head));
        true
    }

    /// How long they are together.
    pub fn len(&self) -> usize {
        (self.lines.end - self.lines.start) as usize
    }

    /// With their text in `head`, which is the same.
    pub fn kept<C>(self, head: C) -> Fields<C> {
        let Fields { lines, count, left_out, leaves_out, verdict, cache_control, .. } = self;
        let Fields { cache_controls, dated, alternative, length, reworded, reason, .. } = self;
        Fields {
            head,
            lines,
            count,
            left_out,
            leaves_out,
            verdict,
            cache_control,
            cache_controls,
            dated,
            alternative,
            length,
            reworded,
            reason,
        }
    }
}

impl Fields {
    /// By name, without those of the link. The values share the head's memory.
    pub fn map(&self) -> HeaderMap {
        self.map_but(Traits::LINK)
    }

    /// With those of the link, for who has to read them.
    pub fn map_of_link(&self) -> HeaderMap {
        self.map_but(Traits::NONE)
    }

    fn map_but(&self, left_out: Traits) -> HeaderMap {
        // Two more: Via and Date.
        let mut headers = HeaderMap::with_capacity(self.count + 2);
        let mut slots = vec![httparse::EMPTY_HEADER; self.count];
        // With the empty line that ends it. It was parsed before: it does not fail.
        let Ok(httparse::Status::Complete((_, parsed))) =
            httparse::parse_headers(&self.head[self.lines.start as usize..], &mut slots)
        else {
            return headers;
        };
        for field in parsed.iter().filter(|field| !FieldId::has(field.name.as_bytes(), left_out)) {
            let start = field.value.as_ptr() as usize - self.head.as_ptr() as usize;
            let value = HeaderValue::from_maybe_shared(self.head.slice(start..start + field.value.len()));
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.name.as_bytes()), value) {
                headers.append(name, value);
            }
        }
        match self.length {
            Length::AsSent => {}
            Length::LeftOut => drop(headers.remove(CONTENT_LENGTH)),
            Length::Once(length) => drop(headers.insert(CONTENT_LENGTH, length.into())),
        }
        headers
    }
}

/// The first line of an answer and the lines of `fields`, for a client, and room for so many bytes behind them. `None` when
/// they can't go on as they are.
pub fn verbatim(status: StatusCode, fields: &Fields, via: &HeaderValue, room: usize) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(64 + fields.len() + via.len() + room);
    begin(status, fields, &mut head)?;
    field(&mut head, b"via", via.as_bytes());
    head.extend_from_slice(b"\r\n");
    Some(head)
}

/// Appends the same without an end.
pub fn begin<B: AsRef<[u8]>>(status: StatusCode, fields: &Fields<B>, out: &mut Vec<u8>) -> Option<()> {
    status_line(out, status, Some(fields.reason()));
    fields.write(out).then_some(())
}

#[cfg(test)]
mod tests {
    use super::super::decode::{Bounds, Head, head};
    use super::*;

    fn read(lines: &str) -> Head {
        let text = Bytes::from(format!("HTTP/1.1 200 Fine\r\n{lines}\r\n"));
        head(&text, Bounds { bytes: 4096, fields: 100 }, false).unwrap().unwrap().0
    }

    fn written(lines: &str) -> Option<String> {
        let head = read(lines);
        let text = verbatim(head.status, &head.fields, &HeaderValue::from_static("1.1 us"), 0)?;
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn lines_go_on_as_they_are_but_for_those_of_the_hop_and_the_link() {
        for (lines, expected) in [
            ("Date: d\r\nA: b\r\n", "Date: d\r\nA: b\r\n"),
            ("A:  b \r\nConnection: close\r\ndate:d\r\n", "A:  b \r\ndate:d\r\n"),
            ("Keep-Alive: 5\r\nRinghold-Reach: local\r\nDate: d\r\nConnection: Keep-Alive\r\n", "Date: d\r\n"),
            ("Date: d\r\nProxy-Authenticate: x\r\nContent-Length: 5\r\n", "Date: d\r\nContent-Length: 5\r\n"),
        ] {
            assert_eq!(written(lines), Some(format!("HTTP/1.1 200 Fine\r\n{expected}via: 1.1 us\r\n\r\n")), "{lines}");
        }
    }

    #[test]
    fn what_has_to_be_changed_goes_through_the_map() {
        for lines in [
            "A: b\r\n",
            "Date: d\r\nConnection: x\r\nX: y\r\n",
            "Date: d\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
            "Date: d\r\nContent-Length: 5, 5\r\n",
            "Date: d\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Date: d\r\nTE: a\r\nTE: b\r\nKeep-Alive: c\r\nConnection: close\r\nRinghold-Reach: x\r\n",
        ] {
            assert_eq!(written(lines), None, "{lines}");
        }
    }

    #[test]
    fn the_map_has_every_line_but_those_of_the_link_and_one_length() {
        let headers = read("A: b\r\nA: c\r\nContent-Length: 5\r\nContent-Length: 5\r\nRinghold-X: y\r\n").fields.map();
        assert_eq!(headers.get_all("a").iter().collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(headers.get_all("content-length").iter().collect::<Vec<_>>(), ["5"]);
        assert_eq!(headers.len(), 3);
        assert_eq!(read("A: b\r\nRinghold-X: y\r\n").fields.map_of_link().len(), 2);
        let chunked = read("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n").fields.map();
        assert!(!chunked.contains_key("content-length") && chunked.contains_key("transfer-encoding"));
    }

    #[test]
    fn the_verdict_is_the_last_member_of_the_last_line() {
        let head = read("Cache-Status: a; hit\r\nCache-Status: b;fwd=miss, n1; hit; ttl=3\r\n");
        assert_eq!(head.fields.verdict(), Some(&b"hit; ttl=3"[..]));
        assert_eq!(read("A: b\r\n").fields.verdict(), None);
    }

    #[test]
    fn several_lines_of_cache_control_are_for_who_reads_them_all() {
        for (lines, expected) in [
            ("A: b\r\n", None),
            ("cache-Control: no-store\r\n", Some("no-store")),
            ("Cache-Control: no-store\r\nCache-Control: public\r\n", None),
        ] {
            assert_eq!(read(lines).fields.cache_control(), expected.map(str::as_bytes), "{lines}");
        }
    }
}

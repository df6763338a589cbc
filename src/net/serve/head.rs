//! The head of a request, read in one pass, and how the head of an answer is written (RFC 9112).

use super::limits::ServerLimits;
use crate::wire::field::{FieldId, Traits};
use crate::wire::length::BodyLength;
use crate::wire::view::{FieldView, RequestView};
use crate::wire::{authority, list, target};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version, request, response};
use http_body::SizeHint;
use hyper::ext::ReasonPhrase;
use std::borrow::Cow;
use std::mem::MaybeUninit;

/// Heads with more fields than this are read with an allocation.
pub(super) const FIELDS: usize = 64;

/// Room for the fields of a head, and for what is known of their names.
pub(super) type Slots<'a, const N: usize = FIELDS> = ([MaybeUninit<httparse::Header<'a>>; N], [FieldId; N]);

/// So many need no allocation.
pub(super) fn slots<'a>() -> Slots<'a> {
    ([const { MaybeUninit::uninit() }; FIELDS], [FieldId::Other; FIELDS])
}

/// The head of a request, as it was read.
#[derive(Debug)]
pub struct RequestHead<'a> {
    method: Method,
    target: &'a [u8],
    fields: &'a [httparse::Header<'a>],
    ids: &'a [FieldId],
    /// What all of its fields are for.
    traits: Traits,
    bytes: &'a [u8],
    pub(super) says: Says,
}

/// What a head says of its connection and its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Says {
    pub(super) old: bool,
    pub(super) connect: bool,
    pub(super) head: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    /// The connection is to speak another protocol.
    pub(super) upgrade: bool,
    /// `Expect: 100-continue`
    pub(super) expects: bool,
    /// `Connection` names fields that are for this hop.
    pub(super) nominates: bool,
    /// `TE: trailers`
    pub(super) trailers: bool,
    pub(super) content: BodyLength,
    pub(super) noted: Noted,
}

/// What a [`Request`] does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// `OPTIONS http://host`, without a path.
    pub pathless: bool,
    /// Both a length and a transfer coding (RFC 9112 section 6.3).
    pub two_ends: bool,
    /// Transfer codings besides `chunked`, or that more than once.
    pub other_codings: bool,
    pub hosts: HostLines,
}

/// What its `Host` lines are (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostLines {
    /// One that is an authority, or none where the version allows that.
    #[default]
    Fine,
    None,
    Several,
    Malformed,
}

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRefusal {
    Malformed(&'static str),
    TargetTooLong,
    TooLong,
    TooManyFields,
    /// It is fine, but too much is held already.
    NoRoom,
}

/// What the input begins with.
pub(super) enum Read<'a> {
    Head(RequestHead<'a>),
    Partial,
    /// More fields than there are slots.
    TooFewSlots,
    Refused(HeadRefusal),
}

/// Reads the head that `input` begins with.
pub(super) fn read<'a>(
    input: &'a [u8],
    limits: &ServerLimits,
    slots: &'a mut [MaybeUninit<httparse::Header<'a>>],
    ids: &'a mut [FieldId],
) -> Read<'a> {
    let many = slots.len();
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(input, slots) {
        Ok(httparse::Status::Complete(length)) if length <= limits.head => length,
        Ok(httparse::Status::Partial) if input.len() < limits.head => return Read::Partial,
        Ok(_) => return Read::Refused(HeadRefusal::TooLong),
        Err(httparse::Error::TooManyHeaders) if many < limits.fields => return Read::TooFewSlots,
        Err(httparse::Error::TooManyHeaders) => return Read::Refused(HeadRefusal::TooManyFields),
        Err(why) => return Read::Refused(HeadRefusal::Malformed(reason(why))),
    };
    if request.headers.len() > limits.fields {
        return Read::Refused(HeadRefusal::TooManyFields);
    }
    let Ok(method) = Method::from_bytes(request.method.unwrap_or_default().as_bytes()) else {
        return Read::Refused(HeadRefusal::Malformed(NO_LINE));
    };
    let target = request.path.unwrap_or_default().as_bytes();
    let fields: &[httparse::Header<'_>] = request.headers;
    let old = request.version == Some(0);
    let mut says = Says { old, connect: method == Method::CONNECT, head: method == Method::HEAD, ..Says::default() };
    let (ids, mut traits, mut seen) = (&mut ids[..fields.len()], Traits::NONE, Seen::default());
    for (id, field) in ids.iter_mut().zip(fields) {
        *id = FieldId::of(field.name.as_bytes());
        traits = traits.and(id.traits());
        if (id.is(Traits::CONNECTION) || *id == FieldId::Host)
            && let Err(why) = seen.field(*id, field.value, &mut says)
        {
            return Read::Refused(HeadRefusal::Malformed(why));
        }
    }
    match seen.settle(&mut says) {
        Ok(()) => {
            says.noted.pathless = is_pathless(&method, target);
            Read::Head(RequestHead { method, target, fields, ids, traits, bytes: &input[..length], says })
        }
        Err(why) => Read::Refused(HeadRefusal::Malformed(why)),
    }
}

const NO_LINE: &str = "the request line is none";

fn reason(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::HeaderName => "a field has no name, or a name that is none",
        httparse::Error::HeaderValue => "a field has a value with a character that none may have",
        httparse::Error::NewLine => "a line does not end as it has to",
        httparse::Error::Version => "the request line does not end in a version of HTTP",
        _ => NO_LINE,
    }
}

/// Of them it is known what they mean, and `TE` is of the hop whether it is named or not.
const OPTIONS: [&[u8]; 4] = [b"close", b"keep-alive", b"upgrade", b"te"];

fn connection(value: &[u8], says: &mut Says) {
    for option in list::split(value) {
        says.close |= option.eq_ignore_ascii_case(b"close");
        says.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        says.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        says.nominates |= !OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(option));
    }
}

/// What was said on the way.
#[derive(Default)]
struct Seen {
    length: Option<u64>,
    hosts: usize,
    host_is_malformed: bool,
    is_coded: bool,
    codings: usize,
    chunked: bool,
    upgrade: bool,
}

impl Seen {
    /// One that is about the connection or the content.
    fn field(&mut self, id: FieldId, value: &[u8], says: &mut Says) -> Result<(), &'static str> {
        match id {
            FieldId::ContentLength => self.length(value)?,
            FieldId::Connection => connection(value, says),
            FieldId::Expect => says.expects |= !says.old && value.eq_ignore_ascii_case(b"100-continue"),
            FieldId::Te => {
                says.trailers |= list::split(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
            }
            FieldId::TransferEncoding => self.coding(value),
            FieldId::Upgrade => self.upgrade = true,
            FieldId::Host => {
                self.hosts += 1;
                self.host_is_malformed |= !authority::is_host_field(value);
            }
            _ => {}
        }
        Ok(())
    }

    /// What follows from all of them.
    fn settle(self, says: &mut Says) -> Result<(), &'static str> {
        says.upgrade &= self.upgrade;
        (says.content, says.noted.two_ends) = self.framing(says.old)?;
        says.noted.other_codings = self.codings > 1;
        says.noted.hosts = match self.hosts {
            0 if says.old => HostLines::Fine,
            0 => HostLines::None,
            1 if self.host_is_malformed => HostLines::Malformed,
            1 => HostLines::Fine,
            _ => HostLines::Several,
        };
        // RFC 9112 section 6.1: the connection ends with the answer.
        says.close |= says.noted.two_ends;
        Ok(())
    }

    /// RFC 9110 section 8.6: digits only; the same once more is the same.
    fn length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        let number = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|text| text.parse().ok()).ok_or("its Content-Length is no number")?;
        if self.length.is_some_and(|known| known != number) {
            return Err("it has two lengths");
        }
        self.length = Some(number);
        Ok(())
    }

    /// What counts is the last one (RFC 9112 section 6.1).
    fn coding(&mut self, value: &[u8]) {
        self.is_coded = true;
        for coding in list::split(value) {
            (self.codings, self.chunked) = (self.codings + 1, coding.eq_ignore_ascii_case(b"chunked"));
        }
    }

    /// The flag: there are two ways to tell the end, which whoever answers is to refuse.
    fn framing(&self, old: bool) -> Result<(BodyLength, bool), &'static str> {
        match (self.is_coded, self.length) {
            (true, _) if old => Err("a transfer coding is not for HTTP/1.0 (RFC 9112 section 6.1)"),
            (true, _) if !self.chunked => Err("its last transfer coding is not chunked (RFC 9112 section 6.3)"),
            (true, length) => Ok((BodyLength::Chunked, length.is_some())),
            (false, Some(0) | None) => Ok((BodyLength::None, false)),
            (false, Some(length)) => Ok((BodyLength::Sized(length), false)),
        }
    }
}

fn is_pathless(method: &Method, target: &[u8]) -> bool {
    const SCHEMES: [&[u8]; 2] = [b"http://", b"https://"];
    *method == Method::OPTIONS
        && SCHEMES.iter().any(|known| {
            let scheme = target.get(..known.len()).filter(|_| target.len() > known.len());
            scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(known))
                && !target[known.len()..].iter().any(|byte| matches!(byte, b'/' | b'?'))
        })
}

impl<'a> RequestHead<'a> {
    pub fn method(&self) -> &Method {
        &self.method
    }
    /// As it came.
    pub fn target(&self) -> &'a [u8] {
        self.target
    }
    /// The same with another target.
    pub(super) fn aimed<'b>(&self, target: &'b [u8]) -> RequestHead<'b>
    where
        'a: 'b,
    {
        let RequestHead { fields, ids, traits, bytes, mut says, .. } = *self;
        says.noted.pathless = is_pathless(&self.method, target);
        RequestHead { method: self.method.clone(), target, fields, ids, traits, bytes, says }
    }
    pub fn version(&self) -> Version {
        if self.says.old { Version::HTTP_10 } else { Version::HTTP_11 }
    }
    /// All of it.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
    /// Whether any of its fields has one of these traits.
    pub fn has(&self, traits: Traits) -> bool {
        self.traits.any(traits)
    }
    /// Whether it has no content, leaves its connection as it is, and names no fields that are for this hop: what there is to
    /// know of it is in its lines.
    pub fn is_alone(&self) -> bool {
        let Says { content, connect, upgrade, nominates, noted, .. } = self.says;
        content == BodyLength::None && !connect && !upgrade && !nominates && noted.hosts == HostLines::Fine
    }
    /// What is not to be seen of a [`Request`] that is made of it.
    pub fn noted(&self) -> Noted {
        self.says.noted
    }
    /// Whether its client takes trailers.
    pub fn takes_trailers(&self) -> bool {
        self.says.trailers
    }
    /// Its fields, in order.
    pub fn lines(&self) -> impl Iterator<Item = (FieldId, &'a str, &'a [u8])> {
        self.ids.iter().zip(self.fields).map(|(id, field)| (*id, field.name, field.value))
    }

    /// The same as parts that live on. They share one copy of the head.
    pub(super) fn request(&self) -> Result<Request<()>, HeadRefusal> {
        let malformed = HeadRefusal::Malformed(NO_LINE);
        let head = Bytes::copy_from_slice(self.bytes);
        let part = |part: &[u8]| {
            let start = (part.as_ptr() as usize).wrapping_sub(self.bytes.as_ptr() as usize);
            match start.checked_add(part.len()) {
                Some(end) if end <= head.len() => head.slice(start..end),
                // The target is another than came.
                _ => Bytes::copy_from_slice(part),
            }
        };
        let mut request = Request::new(());
        *request.method_mut() = self.method.clone();
        *request.version_mut() = self.version();
        let target = match target::escaped(self.target) {
            Cow::Borrowed(target) => part(target),
            Cow::Owned(target) => target.into(),
        };
        if target.len() >= usize::from(u16::MAX) {
            return Err(HeadRefusal::TargetTooLong);
        }
        *request.uri_mut() =
            Uri::from_maybe_shared(target).map_err(|_| HeadRefusal::Malformed("its target is no URI"))?;
        let mut headers = HeaderMap::with_capacity(self.fields.len() + 2);
        for field in self.fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| malformed)?;
            headers.append(name, HeaderValue::from_maybe_shared(part(field.value)).map_err(|_| malformed)?);
        }
        *request.headers_mut() = headers;
        if self.says.noted != Noted::default() {
            request.extensions_mut().insert(self.says.noted);
        }
        Ok(request)
    }

    /// The same of a head that was read once; `None` where its target is none.
    pub fn parts(bytes: &[u8]) -> Option<request::Parts> {
        // One more line at least than fields.
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        if lines <= FIELDS {
            let (mut slots, ids) = slots();
            return RequestHead::parts_in(bytes, &mut slots, &ids);
        }
        let mut slots = Vec::new();
        slots.resize_with(lines, MaybeUninit::uninit);
        RequestHead::parts_in(bytes, &mut slots, &vec![FieldId::Other; lines])
    }

    fn parts_in<'b>(
        bytes: &'b [u8],
        slots: &'b mut [MaybeUninit<httparse::Header<'b>>],
        ids: &'b [FieldId],
    ) -> Option<request::Parts> {
        let mut request = httparse::Request::new(&mut []);
        let Ok(httparse::Status::Complete(_)) = request.parse_with_uninit_headers(bytes, slots) else {
            return None;
        };
        let (method, target) = (Method::from_bytes(request.method?.as_bytes()).ok()?, request.path?.as_bytes());
        let (fields, says) = (&*request.headers, Says::default());
        let head = RequestHead { method, target, fields, ids: &ids[..fields.len()], traits: Traits::NONE, bytes, says };
        Some(head.request().ok()?.into_parts().0)
    }
}

impl RequestView for RequestHead<'_> {
    type Fields = Self;

    fn method(&self) -> &Method {
        &self.method
    }
    fn fields(&self) -> &Self {
        self
    }
    fn uri(&self) -> Option<Uri> {
        Uri::try_from(&*target::escaped(self.target)).ok()
    }
}

impl FieldView for RequestHead<'_> {
    fn all(&self, id: FieldId) -> impl Iterator<Item = &[u8]> {
        self.lines().filter(move |(of, ..)| *of == id).map(|(.., value)| value)
    }
    fn named<'n>(&'n self, name: &'n HeaderName) -> impl Iterator<Item = &'n [u8]> {
        self.lines().filter(|(_, of, _)| of.eq_ignore_ascii_case(name.as_str())).map(|(.., value)| value)
    }
    fn ids(&self) -> impl Iterator<Item = FieldId> {
        self.ids.iter().copied()
    }
    fn has_any(&self, traits: Traits) -> bool {
        self.traits.any(traits)
    }
}

/// Of an answer. What the service said in `Content-Length` counts, then what its body knows of itself.
pub(super) fn body_length(answer: &response::Parts, body: &SizeHint, asked: &Says) -> BodyLength {
    let said = answer.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    match (answer.status, said.or(body.exact())) {
        (StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS, _) => BodyLength::None,
        _ if asked.head || (asked.connect && answer.status.is_success()) => BodyLength::None,
        (_, Some(length)) => BodyLength::Sized(length),
        // HTTP/1.0 knows no chunks.
        (_, None) if asked.old => BodyLength::UntilClose,
        (_, None) => BodyLength::Chunked,
    }
}

/// Whether the answer is the last on its connection.
pub(super) fn says_close(headers: &HeaderMap) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

/// How an answer is written.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) framing: BodyLength,
    /// Its connection ends with it.
    pub(super) close: bool,
    /// HTTP/1.0 is told that it does not.
    pub(super) keep: bool,
    /// Its connection is another's from then on, so nothing is said of its content.
    pub(super) hands_over: bool,
}

/// Appends the head of an answer. `date`: added where the service set none.
pub(super) fn write_head(answer: &response::Parts, shape: Shape, date: Option<&[u8]>, out: &mut Vec<u8>) {
    let Shape { framing, close, keep, hands_over } = shape;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(answer.status.as_str().as_bytes());
    out.push(b' ');
    let said = answer.extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes);
    out.extend_from_slice(said.or(answer.status.canonical_reason().map(str::as_bytes)).unwrap_or_default());
    out.extend_from_slice(b"\r\n");
    let sized = matches!(framing, BodyLength::None | BodyLength::Sized(_))
        && answer.status != StatusCode::NO_CONTENT
        && !hands_over;
    let (mut length, mut dated, mut closes) = (false, date.is_none(), !close);
    for (name, value) in &answer.headers {
        match *name {
            CONTENT_LENGTH if !sized || std::mem::replace(&mut length, true) => continue,
            TRANSFER_ENCODING => continue,
            DATE => dated = true,
            CONNECTION => closes = closes || says_close(&answer.headers),
            _ => {}
        }
        field(out, name.as_str(), value.as_bytes());
    }
    match framing {
        BodyLength::Sized(n) if !length => field(out, "content-length", itoa::Buffer::new().format(n).as_bytes()),
        BodyLength::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        _ => {}
    }
    if !closes {
        out.extend_from_slice(b"connection: close\r\n");
    } else if keep {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    if let Some(date) = date.filter(|_| !dated) {
        field(out, "date", date);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line.
pub(super) fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The first line of a chunk (RFC 9112 section 7.1).
pub(super) fn chunk(length: usize, out: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to memory does not fail.
    let _ = write!(out, "{length:x}\r\n");
}

/// Has a head looked at; `None`: it is not there yet.
#[cfg(any(test, fuzzing))]
pub fn look_at<T>(input: &[u8], look: impl FnOnce(&RequestHead<'_>) -> T) -> Result<Option<T>, HeadRefusal> {
    let (mut slots, mut ids) = slots();
    let limits = ServerLimits { fields: FIELDS, ..ServerLimits::of(&crate::config::Config::default()) };
    match read(input, &limits, &mut slots, &mut ids) {
        Read::Head(head) => Ok(Some(look(&head))),
        Read::Partial => Ok(None),
        Read::TooFewSlots => Err(HeadRefusal::TooManyFields),
        Read::Refused(why) => Err(why),
    }
}

/// The same of a whole one.
#[cfg(test)]
pub fn with_head<T>(text: &str, look: impl FnOnce(&RequestHead<'_>) -> T) -> T {
    look_at(text.as_bytes(), look).ok().flatten().unwrap_or_else(|| panic!("{text:?} is no head"))
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;

//! The head of a request, read in one pass (RFC 9112).

use super::limits::ServerLimits;
use super::says::{HostLines, Noted, Says, Seen};
use crate::wire::field::{FieldId, Traits};
use crate::wire::length::BodyLength;
use crate::wire::target;
use crate::wire::view::{FieldView, RequestView};
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri, Version, request};
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
        let its = id.traits();
        traits = traits.and(its);
        if its.any(Traits::CONNECTION)
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
        match self.says {
            Says { two: true, .. } => Version::HTTP_2,
            Says { old: true, .. } => Version::HTTP_10,
            _ => Version::HTTP_11,
        }
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

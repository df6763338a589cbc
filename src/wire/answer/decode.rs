//! PURE. The head of an answer, parsed once (RFC 9112 sections 4 to 6).

use super::fields::{Fields, Length};
use super::tidy;
use crate::wire::connection_auth;
use crate::wire::fault::Blame;
use crate::wire::field::FieldId;
use crate::wire::length::BodyLength;
use crate::wire::link::{self, OwnerWord};
use bytes::Bytes;
use http::{StatusCode, Version};
use std::mem::MaybeUninit;

/// Why an answer cannot be read whose head is beyond [`Bounds`].
pub use super::tidy::TOO_LONG;
/// The same, for its fields.
pub const TOO_MANY: &str = "too many fields";
/// Why an answer cannot be read whose body is in another transfer coding.
pub const OTHER_CODING: &str = "a transfer coding other than chunked";

/// Why an answer cannot be read whose lines are none.
const NOT_HTTP: &str = "not HTTP/1.1";

/// The head of an answer; where it lies is `B`'s matter.
#[derive(Debug)]
pub struct Head<B = Bytes> {
    pub status: StatusCode,
    pub version: Version,
    pub fields: Fields<B>,
    pub ends: BodyLength,
    /// The connection may serve another request after this one.
    pub keep: bool,
    /// `Ringhold-Reach: local`: only for clients on this machine.
    pub local: bool,
    /// It asks for a login that holds for the whole connection ([`connection_auth`]).
    pub challenges: bool,
    /// `Ringhold-Length`: of the content, where that comes in chunks.
    pub told_length: Option<u64>,
    /// `Ringhold-Fault`: whose fault it is, where the node knows already.
    pub blame: Option<Blame>,
    /// `Ringhold-Owner`: whether the owner is to be asked, or other nodes may have what this takes the place of.
    pub owner: Option<OwnerWord>,
}

/// Heads with more fields than this are parsed with an allocation.
const SLOTS: usize = 64;

/// Limits of a head.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub bytes: usize,
    pub fields: usize,
}

/// So much may lie behind a head that keeps the buffer of both: it lives for as long as the answer is under way.
const BEHIND: usize = 4096;

/// Parses the head at the start of `buf`: it and its length; `None` when it is not complete yet. It shares `buf`'s memory, unless
/// much lies behind it, or it had to be made tidy first. `bodiless`: the request was HEAD.
pub fn head(buf: &Bytes, bounds: Bounds, bodiless: bool) -> Result<Option<(Head, usize)>, &'static str> {
    let why = match seen(buf, bounds, bodiless) {
        Ok(seen) => return Ok(seen.map(|(head, length)| (head.kept(text_of(buf, length)), length))),
        Err(why) => why,
    };
    let Some((text, length)) = tidied(buf, bounds, why)? else { return Ok(None) };
    let text = Bytes::from(text);
    let seen = seen(&text, Bounds { bytes: usize::MAX, ..bounds }, bodiless)?;
    Ok(seen.map(|(head, read)| (head.kept(text.slice(..read)), length)))
}

fn text_of(buf: &Bytes, length: usize) -> Bytes {
    if buf.len() - length > BEHIND { Bytes::copy_from_slice(&buf[..length]) } else { buf.slice(..length) }
}

/// A head that cannot be read (`why`) as [`tidy`] makes it.
fn tidied(buf: &[u8], bounds: Bounds, why: &'static str) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    match why {
        NOT_HTTP => tidy::head(buf, bounds.bytes),
        _ => Err(why),
    }
}

/// The same of what is not kept, and is as it should be.
pub fn seen(buf: &[u8], bounds: Bounds, bodiless: bool) -> Result<Option<(Head<&[u8]>, usize)>, &'static str> {
    let mut slots = [const { MaybeUninit::uninit() }; SLOTS];
    match parse(buf, bounds, bodiless, &mut slots) {
        Err(Parse::TooMany) if bounds.fields > SLOTS => {
            let mut slots = vec![MaybeUninit::uninit(); bounds.fields];
            parse(buf, bounds, bodiless, &mut slots)
        }
        other => other,
    }
    .map_err(|e| match e {
        Parse::TooMany => TOO_MANY,
        Parse::Bad(why) => why,
    })
}

impl<B> Head<B> {
    /// Another follows it, to the same request (RFC 9110 section 15.2): not where the connection switches to another protocol.
    pub fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

impl Head<&[u8]> {
    /// With its text in `head`, which is the same.
    pub fn kept(self, head: Bytes) -> Head {
        let Head { status, version, fields, ends, keep, local, challenges, told_length, blame, owner } = self;
        let fields = fields.kept(head);
        Head { status, version, fields, ends, keep, local, challenges, told_length, blame, owner }
    }
}

enum Parse {
    TooMany,
    Bad(&'static str),
}

fn parse<'b>(
    buf: &'b [u8],
    bounds: Bounds,
    bodiless: bool,
    slots: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<Option<(Head<&'b [u8]>, usize)>, Parse> {
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut response, buf, slots) {
        Ok(httparse::Status::Complete(length)) if length <= bounds.bytes => length,
        Ok(httparse::Status::Partial) if buf.len() < bounds.bytes => return Ok(None),
        Ok(_) => return Err(Parse::Bad(TOO_LONG)),
        Err(httparse::Error::TooManyHeaders) => return Err(Parse::TooMany),
        Err(_) => return Err(Parse::Bad(NOT_HTTP)),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Parse::Bad("no status"))?;
    let version = if response.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let place = |part: &[u8]| {
        let start = part.as_ptr() as usize - buf.as_ptr() as usize;
        start..start + part.len()
    };
    let starts = |n: usize| response.headers.get(n).map_or(length - 2, |field| place(field.name.as_bytes()).start);
    let mut fields = Fields::new(&buf[..length], starts(0)..length - 2, response.headers.len());
    // Of a reason that it leaves out httparse says an empty text that is not of `buf`.
    if let Some(reason) = response.reason.filter(|reason| !reason.is_empty()) {
        fields.set_reason(place(reason.as_bytes()));
    }
    let mut framing = Framing {
        fields,
        length: None,
        lengths: 0,
        codings: 0,
        coding: Coding::Absent,
        closes: false,
        persists: version == Version::HTTP_11,
        local: false,
        challenges: false,
        told_length: None,
        blame: None,
        owner: None,
    };
    let mut end = starts(0);
    for (n, field) in response.headers.iter().enumerate() {
        let id = FieldId::of(field.name.as_bytes());
        framing.add(id, field.value).map_err(Parse::Bad)?;
        let start = std::mem::replace(&mut end, starts(n + 1));
        // Not all whom it may reach take a bare LF for the end of a line (RFC 9112 section 2.2).
        if !buf[..end].ends_with(b"\r\n") {
            framing.fields.set_reworded();
        }
        framing.fields.note(id, place(field.value), start..end);
    }
    if !buf[..length].ends_with(b"\r\n\r\n") {
        framing.fields.set_reworded();
    }
    let noise = framing.codings > 0 && framing.coding == Coding::Noise;
    let head = framing.finish(status, version, bodiless).map_err(Parse::Bad)?;
    if noise && head.ends == BodyLength::UntilClose {
        match looks_chunked(&buf[length..]) {
            Some(false) => {}
            // A coding by another name: nobody is to get its framing for content.
            Some(true) => return Err(Parse::Bad(OTHER_CODING)),
            None => return Ok(None),
        }
    }
    Ok(Some((head, length)))
}

/// Whether content begins as a chunk does; `None`: more is needed to know.
fn looks_chunked(content: &[u8]) -> Option<bool> {
    let digits = content.iter().take(17).take_while(|byte| byte.is_ascii_hexdigit()).count();
    match content.get(digits) {
        _ if digits > 16 => Some(false),
        Some(b'\r' | b'\n' | b';') => Some(digits > 0),
        Some(_) => Some(false),
        None => None,
    }
}

/// What the fields that frame the message said.
struct Framing<'b> {
    fields: Fields<&'b [u8]>,
    length: Option<u64>,
    /// How many numbers said so.
    lengths: usize,
    /// How many lines name transfer codings.
    codings: usize,
    coding: Coding,
    closes: bool,
    persists: bool,
    local: bool,
    challenges: bool,
    told_length: Option<u64>,
    blame: Option<Blame>,
    owner: Option<OwnerWord>,
}

#[derive(Clone, Copy, PartialEq)]
enum Coding {
    Absent,
    Chunked,
    /// Something that we cannot undo, or `chunked` not last.
    Other,
    /// Names that are no codings: nothing was done to the body, which ends with the connection (RFC 9112 section 6.3).
    Noise,
}

/// Whether a transfer coding is a registered one (RFC 9112 section 7), whatever its parameters.
fn is_coding(coding: &[u8]) -> bool {
    const CODINGS: [&[u8]; 7] = [b"chunked", b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress", b"identity"];
    let name = coding.split(|byte| *byte == b';').next().map_or(coding, <[u8]>::trim_ascii);
    CODINGS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Misspelt, it is more likely that than noise.
fn resembles_chunked(coding: &[u8]) -> bool {
    coding.windows(5).any(|part| part.eq_ignore_ascii_case(b"chunk"))
}

impl<'b> Framing<'b> {
    fn add(&mut self, id: FieldId, value: &[u8]) -> Result<(), &'static str> {
        match id {
            FieldId::ContentLength => self.content_length(value)?,
            FieldId::Connection => self.connection(value),
            FieldId::TransferEncoding => self.transfer_encoding(value),
            FieldId::WwwAuthenticate => self.challenges |= connection_auth::challenges(value),
            FieldId::LinkReach => self.local |= link::is_reach_local(value),
            FieldId::LinkLength => self.told_length = decimal(value),
            FieldId::LinkFault => self.blame = Blame::read(value),
            FieldId::LinkOwner => self.owner = self.owner.or(OwnerWord::read(value)),
            _ => {}
        }
        Ok(())
    }

    /// RFC 9110 section 8.6: a list of the same number is that number; anything else cannot be framed.
    fn content_length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        for member in value.split(|b| *b == b',') {
            let number = decimal(member.trim_ascii()).ok_or("malformed Content-Length")?;
            if self.length.is_some_and(|known| known != number) {
                return Err("two different lengths");
            }
            self.length = Some(number);
            self.lengths += 1;
        }
        Ok(())
    }

    /// Empty members count for nothing (RFC 9110 section 5.6.1.2), on a line of their own or not.
    fn transfer_encoding(&mut self, value: &[u8]) {
        self.codings += 1;
        for coding in value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|c| !c.is_empty()) {
            self.coding = match self.coding {
                Coding::Absent if coding.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
                Coding::Absent | Coding::Noise if !is_coding(coding) && !resembles_chunked(coding) => Coding::Noise,
                _ => Coding::Other,
            };
        }
    }

    /// HTTP/1.0 says that it goes on, HTTP/1.1 that it does not (RFC 9112 section 9.3).
    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.closes = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.persists = true;
            } else {
                self.fields.set_reworded();
            }
        }
    }

    /// RFC 9112 section 6.3, the length of a message body.
    fn finish(mut self, status: StatusCode, version: Version, bodiless: bool) -> Result<Head<&'b [u8]>, &'static str> {
        let lengthless = status.is_informational() || status == StatusCode::NO_CONTENT;
        if self.codings > 0 && self.coding == Coding::Absent {
            self.coding = Coding::Noise;
        }
        let ends = if lengthless {
            // RFC 9110 section 8.6.
            if self.lengths > 0 {
                self.fields.set_length(Length::LeftOut);
            }
            BodyLength::None
        } else if bodiless || status == StatusCode::NOT_MODIFIED {
            if matches!((self.coding, self.length), (Coding::Other, _) | (Coding::Noise, Some(_))) {
                return Err(OTHER_CODING);
            }
            match self.length {
                Some(_) if self.coding == Coding::Chunked => self.fields.set_length(Length::LeftOut),
                Some(length) if self.lengths > 1 => self.fields.set_length(Length::Once(length)),
                _ => {}
            }
            BodyLength::None
        } else {
            self.ends(version)?
        };
        let Framing { fields, closes, persists, local, challenges, told_length, blame, owner, .. } = self;
        let keep = persists && !closes;
        Ok(Head { status, version, fields, ends, keep, local, challenges, told_length, blame, owner })
    }

    fn ends(&mut self, version: Version) -> Result<BodyLength, &'static str> {
        if self.codings > 0 && version == Version::HTTP_10 {
            // RFC 9112 section 6.1: its framing is faulty.
            return Err("a transfer coding in HTTP/1.0");
        }
        Ok(match (self.coding, self.length) {
            (Coding::Other, _) | (Coding::Noise, Some(_)) => return Err(OTHER_CODING),
            (Coding::Chunked, length) => {
                // Both may be an attempt at smuggling: the coding wins, the length goes, and so does the connection.
                if length.is_some() {
                    self.closes = true;
                }
                self.fields.set_length(Length::LeftOut);
                BodyLength::Chunked
            }
            (Coding::Absent, Some(length)) => {
                // One line of it is enough.
                if self.lengths > 1 {
                    self.fields.set_length(Length::Once(length));
                }
                BodyLength::Sized(length)
            }
            (Coding::Absent | Coding::Noise, None) => {
                self.closes = true;
                BodyLength::UntilClose
            }
        })
    }
}

/// Digits only: `+1`, `1_0` and the empty text are no lengths, nor is what no file system and no reader can count to.
fn decimal(text: &[u8]) -> Option<u64> {
    let digit = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    text.iter().try_fold(0, digit).filter(|number| !text.is_empty() && *number <= i64::MAX as u64)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

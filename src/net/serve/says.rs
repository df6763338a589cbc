//! PURE. What the head of a request says of its connection and its content (RFC 9112 sections 3.2, 6 and 9).

use crate::wire::field::FieldId;
use crate::wire::length::BodyLength;
use crate::wire::{authority, list};

/// What a head says of its connection and its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Says {
    pub(super) old: bool,
    /// It came as HTTP/2.
    pub(super) two: bool,
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

/// What a [`http::Request`] does not tell.
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

/// Of them it is known what they mean, and `TE` is of the hop whether it is named or not.
const OPTIONS: [&[u8]; 4] = [b"close", b"keep-alive", b"upgrade", b"te"];

fn connection(value: &[u8], says: &mut Says) {
    // All that a browser says of it, letter by letter.
    if value == b"keep-alive" {
        says.keep_alive = true;
        return;
    }
    for option in list::split(value) {
        says.close |= option.eq_ignore_ascii_case(b"close");
        says.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        says.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        says.nominates |= !OPTIONS.iter().any(|known| known.eq_ignore_ascii_case(option));
    }
}

/// What was said on the way.
#[derive(Default)]
pub(super) struct Seen {
    length: Option<u64>,
    host: Option<HostLines>,
    is_coded: bool,
    codings: usize,
    chunked: bool,
    upgrade: bool,
}

impl Seen {
    /// One that is about the connection or the content. Never inlined: of a head there are few, and the loop over all of them
    /// is quicker without.
    #[inline(never)]
    pub(super) fn field(&mut self, id: FieldId, value: &[u8], says: &mut Says) -> Result<(), &'static str> {
        match id {
            FieldId::ContentLength => self.length(value)?,
            FieldId::Connection => connection(value, says),
            FieldId::Expect => {
                says.expects |= !says.old && list::split(value).any(|what| what.eq_ignore_ascii_case(b"100-continue"));
            }
            FieldId::Te => {
                says.trailers |= list::split(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
            }
            FieldId::TransferEncoding => self.coding(value),
            FieldId::Upgrade => self.upgrade = true,
            FieldId::Host => {
                self.host = Some(match self.host {
                    None if authority::is_host_field(value) => HostLines::Fine,
                    None => HostLines::Malformed,
                    Some(_) => HostLines::Several,
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// What follows from all of them.
    pub(super) fn settle(self, says: &mut Says) -> Result<(), &'static str> {
        says.upgrade &= self.upgrade;
        (says.content, says.noted.two_ends) = self.framing(says.old)?;
        says.noted.other_codings = self.codings > 1;
        says.noted.hosts = self.host.unwrap_or(if says.old { HostLines::Fine } else { HostLines::None });
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

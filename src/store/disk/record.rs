//! PURE. A stored response as it lies on disk: all that is needed to answer with it, with sums over all of it.
//!
//! ```text
//! header (128 bytes) | of a part: where it begins, and how long the whole is | key | selecting fields | field lines | body | a sum for each 64 KiB of the body
//! ```
//! Lengths and numbers are believed only where the sum of the head is right. A record says what it is, wherever it lies:
//! codes and numbers that may change with the program are not in it.

use super::place::IndexSlot;
use crate::account::Hold;
use crate::policy::{LifetimeSource, Marks, Part, Terms};
use crate::store::entry::{Entry, Mark};
use crate::wire::date::Timestamp;
use crate::wire::field::Traits;
use crate::wire::target::Key;
use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub const HEADER: usize = 128;
/// A sum is kept for so many bytes of a body.
pub const BLOCK: u64 = 64 * 1024;
const MAGIC: &[u8; 4] = b"RHR1";
/// The whole of a representation, its body with it.
const WHOLE: u8 = 1;
/// One whose body lies in a file of its own.
const APART: u8 = 2;
/// With one of these: it is a part of a representation (206). Room for others.
const PART: u8 = 4;
/// Bytes behind the header that say which.
const OF_PART: usize = 16;
/// Of the header: what its sum is not over.
const SUM: Range<usize> = HEADER - 8..HEADER;

/// The variant of the URL that was the newest before: where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    pub segment: u64,
    /// With [`IndexSlot::DOUBTFUL`], where it and all before it are.
    pub slot: IndexSlot,
}

/// A record's head: header, key, selecting fields and field lines.
pub struct RecordHead {
    pub bytes: Vec<u8>,
    /// Bytes of the body that stands behind it.
    pub body: u64,
}

impl RecordHead {
    /// `hash` is the key's; `file`: where the body lies in one.
    pub fn of(
        entry: &Entry,
        hash: u64,
        lineage: u64,
        previous: Option<Previous>,
        file: Option<u64>,
    ) -> Option<RecordHead> {
        if !entry.may_lie_on_disk() {
            return None;
        }
        let (key, selecting, body) = (entry.key(), entry.selecting(), entry.body().len());
        let mut bytes = vec![0; HEADER];
        if let Some(part) = entry.part() {
            bytes.extend_from_slice(&part.at.start.to_le_bytes());
            bytes.extend_from_slice(&part.whole.to_le_bytes());
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(selecting);
        let fields_at = bytes.len();
        entry.write_fields(Traits::NONE, &mut bytes);
        let fields = bytes.len() - fields_at;
        let terms = &entry.terms;
        let Previous { segment, slot } = previous.unwrap_or(Previous { segment: 0, slot: IndexSlot(0) });
        let mut at = 0;
        let mut put = |what: &[u8]| {
            bytes[at..at + what.len()].copy_from_slice(what);
            at += what.len();
        };
        put(MAGIC);
        let kind = file.map_or(WHOLE, |_| APART) | entry.part().map_or(0, |_| PART);
        put(&[kind, terms.source.code()]);
        put(&entry.status.as_u16().to_le_bytes());
        put(&u32::try_from(key.len()).ok()?.to_le_bytes());
        put(&u32::try_from(selecting.len()).ok()?.to_le_bytes());
        put(&u32::try_from(fields).ok()?.to_le_bytes());
        put(&terms.marks.bits().to_le_bytes());
        put(&u16::from(previous.is_some()).to_le_bytes());
        put(&terms.stale_while_revalidate.to_le_bytes());
        put(&terms.stale_if_error.to_le_bytes());
        for word in [body, hash, lineage, terms.born.0, terms.received.0, terms.lifetime, terms.fresh_until.0] {
            put(&word.to_le_bytes());
        }
        put(&segment.to_le_bytes());
        put(&slot.0.to_le_bytes());
        put(&file.unwrap_or(0).to_le_bytes());
        let sum = sum_of_head(&bytes);
        bytes[SUM].copy_from_slice(&sum.to_le_bytes());
        Some(RecordHead { bytes, body: if file.is_some() { 0 } else { body } })
    }

    /// Of the whole record, in bytes.
    pub fn length(&self) -> u64 {
        self.bytes.len() as u64 + self.body + sums(self.body) * 8
    }
}

/// Appends a record's body and its sums; `hash` is that of its key.
pub fn write_body(pieces: &[Bytes], hash: u64, out: &mut Vec<u8>) {
    let start = out.len();
    pieces.iter().for_each(|piece| out.extend_from_slice(piece));
    let sums: Vec<u64> = out[start..].chunks(BLOCK as usize).zip(0..).map(|(block, n)| sum(block, hash, n)).collect();
    sums.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
}

fn sums(body: u64) -> u64 {
    body.div_ceil(BLOCK)
}

pub fn sum(block: &[u8], hash: u64, number: u64) -> u64 {
    xxh3_64_with_seed(block, hash ^ number.rotate_left(40))
}

/// The sum is part of the header, but not of what it is over.
fn sum_of_head(head: &[u8]) -> u64 {
    let fixed = xxh3_64_with_seed(&head[..SUM.start], 0);
    xxh3_64_with_seed(&head[SUM.end..], fixed)
}

/// Why what lies there is not what was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecord {
    /// It is no record, or one that was damaged.
    Damaged,
    /// It is a good record of another URL, or of another time of the folder.
    Other,
}

/// A record that was read: its head is believed, its body is not yet.
#[derive(Debug)]
pub struct DiskRecord<'a> {
    bytes: &'a [u8],
    pub hash: u64,
    key: Range<usize>,
    selecting: Range<usize>,
    fields: Range<usize>,
    body: Range<usize>,
    status: StatusCode,
    terms: Terms,
    pub previous: Option<Previous>,
    /// The number of the file that has its body, and the length of that.
    pub apart: Option<(u64, u64)>,
    part: Option<Part>,
}

impl<'a> DiskRecord<'a> {
    /// Of a folder with this lineage. `bytes` may be longer than the record.
    pub fn read(bytes: &'a [u8], lineage: u64) -> Result<DiskRecord<'a>, BadRecord> {
        let header: &[u8; HEADER] =
            bytes.first_chunk().filter(|header| header.starts_with(MAGIC)).ok_or(BadRecord::Damaged)?;
        let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let mut end = HEADER;
        let mut section = |length: u64| {
            let start = end;
            end = usize::try_from(length)
                .ok()
                .and_then(|length| start.checked_add(length))
                .filter(|end| *end <= bytes.len())?;
            Some(start..end)
        };
        let is_part = header[4] & PART != 0;
        let of_part = section(if is_part { OF_PART as u64 } else { 0 }).ok_or(BadRecord::Damaged)?;
        let mut lengths = || Some([section(word(8).into())?, section(word(12).into())?, section(word(16).into())?]);
        let [key, selecting, fields] = lengths().ok_or(BadRecord::Damaged)?;
        if sum_of_head(&bytes[..fields.end]) != long(SUM.start) {
            return Err(BadRecord::Damaged);
        }
        let apart = (header[4] & !PART == APART).then(|| (long(104), long(32)));
        let part = is_part.then(|| part(&bytes[of_part], long(32)).ok_or(BadRecord::Damaged)).transpose()?;
        let inside = if apart.is_some() { 0 } else { long(32) };
        let body = section(inside).ok_or(BadRecord::Damaged)?;
        section(sums(inside) * 8).ok_or(BadRecord::Damaged)?;
        if long(48) != lineage {
            return Err(BadRecord::Other);
        }
        let terms = Terms {
            born: Timestamp(long(56)),
            received: Timestamp(long(64)),
            waited: 0,
            lifetime: long(72),
            fresh_until: Timestamp(long(80)),
            stale_while_revalidate: word(24),
            stale_if_error: word(28),
            source: LifetimeSource::of_code(header[5]).ok_or(BadRecord::Damaged)?,
            marks: Marks::of_bits(short(20)),
        };
        let status = StatusCode::from_u16(short(6))
            .ok()
            .filter(|_| [WHOLE, APART].contains(&(header[4] & !PART)))
            .ok_or(BadRecord::Damaged)?;
        let previous = (short(22) != 0).then(|| Previous { segment: long(88), slot: IndexSlot(long(96)) });
        Ok(DiskRecord { bytes, hash: long(40), key, selecting, fields, body, status, terms, previous, apart, part })
    }

    pub fn key(&self) -> &'a [u8] {
        &self.bytes[self.key.clone()]
    }

    /// The exact bytes of the record.
    pub fn whole(&self) -> &'a [u8] {
        &self.bytes[..self.body.end + sums(self.body.len() as u64) as usize * 8]
    }

    /// Checks the body, but for one that lies apart, which the entry does not have either. `doubtful`: it is not to be reused
    /// without validation. `held`: the bytes that this was read from, and what counts them; the body stays there then.
    pub fn entry(&self, doubtful: bool, held: Option<(&Bytes, &Arc<Hold>)>) -> Result<Entry, BadRecord> {
        let body = &self.bytes[self.body.clone()];
        let sums =
            self.bytes[self.body.end..].chunks(8).map(|sum| sum.first_chunk().map(|sum| u64::from_le_bytes(*sum)));
        let mut blocks = body.chunks(BLOCK as usize).zip(0..).zip(sums);
        if !blocks.all(|((block, n), expected)| expected == Some(sum(block, self.hash, n))) {
            return Err(BadRecord::Damaged);
        }
        let key =
            std::str::from_utf8(self.key()).ok().and_then(|key| Key::parse(key).ok()).ok_or(BadRecord::Damaged)?;
        let headers = fields(&self.bytes[self.fields.clone()]).ok_or(BadRecord::Damaged)?;
        let terms = if doubtful { self.terms.invalidated() } else { self.terms };
        let selecting = &self.bytes[self.selecting.clone()];
        let entry = |lent: &[u8]| Entry::new(&key, self.status, &headers, selecting, terms, Mark::Anyone, lent);
        let entry = match held {
            Some((bytes, hold)) => entry(&[]).with_body_at(bytes.slice(self.body.clone()), hold.clone()),
            None => entry(body),
        };
        Ok(match &self.part {
            Some(part) => entry.part_of_whole(part.clone()),
            None => entry,
        })
    }
}

/// As it stands behind the header, of a body of so many bytes. Never nothing, and never all.
fn part(said: &[u8], length: u64) -> Option<Part> {
    let (start, whole) = said.split_first_chunk()?;
    let (start, whole) = (u64::from_le_bytes(*start), u64::from_le_bytes(*whole.first_chunk()?));
    let end = start.checked_add(length)?;
    (length > 0 && length < whole && end <= whole).then_some(Part { at: start..end, whole })
}

/// Field lines, as [`Entry::write_fields`] writes them.
fn fields(mut lines: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    while !lines.is_empty() {
        let end = lines.windows(2).position(|two| two == b"\r\n")?;
        let line = &lines[..end];
        let colon = line.windows(2).position(|two| two == b": ")?;
        let (name, value) =
            (HeaderName::from_bytes(&line[..colon]).ok()?, HeaderValue::from_bytes(&line[colon + 2..]).ok()?);
        headers.append(name, value);
        lines = &lines[end + 2..];
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountKind;
    use crate::wire::view::FieldView;
    use proptest::prelude::*;

    const LINEAGE: u64 = 99;

    fn entry(body: usize, vary: bool) -> Entry {
        let key = Key::parse("http://a.example/x?y").unwrap();
        let mut headers = HeaderMap::new();
        headers.append("cache-control", "max-age=60".parse().unwrap());
        headers.append("x-empty", "".parse().unwrap());
        headers.append("x-text", HeaderValue::from_bytes(b"a: b\xff c").unwrap());
        headers.append("set-cookie", "a=1".parse().unwrap());
        headers.append("set-cookie", "b=2".parse().unwrap());
        if vary {
            headers.append("vary", "accept-language".parse().unwrap());
        }
        let terms = Terms {
            born: Timestamp(1),
            received: Timestamp(2),
            waited: 0,
            lifetime: 60_000,
            fresh_until: Timestamp(60_001),
            stale_while_revalidate: 5,
            stale_if_error: 6,
            source: LifetimeSource::MaxAge,
            marks: Marks::VALIDATOR.and(Marks::GROUPED),
        };
        let body = (0..body).map(|n| (n % 251) as u8).collect::<Vec<_>>();
        let selecting: &[u8] = if vary { b"accept-language:de\n" } else { b"" };
        Entry::new(&key, StatusCode::OK, &headers, selecting, terms, Mark::Anyone, vec![Bytes::from(body)])
    }

    fn written(entry: &Entry) -> Vec<u8> {
        let head = RecordHead::of(entry, 7, LINEAGE, None, None).unwrap();
        let (length, mut bytes) = (head.length(), head.bytes);
        write_body(&entry.body().pieces(), 7, &mut bytes);
        assert_eq!(bytes.len() as u64, length);
        bytes
    }

    fn alike(a: &Entry, b: &Entry) {
        let body = |e: &Entry| e.body().pieces().concat();
        assert_eq!((a.key(), a.vary(), a.selecting(), a.status), (b.key(), b.vary(), b.selecting(), b.status));
        assert_eq!((a.terms, a.headers(0), body(a)), (b.terms, b.headers(0), body(b)));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(body in prop_oneof![0..5000_usize, 65_000..66_000_usize, 1_040_000..1_060_000_usize], vary: bool) {
            let entry = entry(body, vary);
            let bytes = written(&entry);
            let padded = [bytes.clone(), vec![0; 64]].concat();
            let hold = Hold::new(AccountKind::Readers);
            let padded = hold.follow(padded);
            let record = DiskRecord::read(&padded, LINEAGE).unwrap();
            prop_assert_eq!(record.whole(), &bytes[..]);
            alike(&record.entry(false, None).unwrap(), &entry);
            alike(&record.entry(false, Some((&padded, &hold))).unwrap(), &entry);
            let doubtful = record.entry(true, None).unwrap();
            prop_assert!(doubtful.terms.always_validate() && doubtful.first(crate::wire::field::FieldId::CacheControl).is_some());
            prop_assert_eq!(DiskRecord::read(&bytes, LINEAGE + 1).err(), Some(BadRecord::Other));
        }

        #[test]
        fn no_bytes_can_panic_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let with_magic = [MAGIC, &bytes[..]].concat();
            for bytes in [bytes, with_magic] {
                let _ = DiskRecord::read(&bytes, LINEAGE).and_then(|record| record.entry(false, None));
            }
        }
    }

    #[test]
    fn a_record_with_a_flipped_bit_or_cut_short_is_none() {
        let good = written(&entry(300, true));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let read = DiskRecord::read(&bad, LINEAGE).and_then(|record| record.entry(false, None));
            assert!(read.is_err(), "bit {bit}");
        }
        for length in 0..good.len() {
            assert!(DiskRecord::read(&good[..length], LINEAGE).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_only_this_machine_may_have_has_no_record() {
        let mut local = entry(1, false);
        local.mark = Mark::SameMachine;
        assert!(RecordHead::of(&local, 7, LINEAGE, None, None).is_none());
    }

    #[test]
    fn a_part_is_read_as_one_and_never_as_a_whole() {
        let part = entry(300, true).part_of_whole(Part { at: 50..350, whole: 400 });
        let good = written(&part);
        let record = Bytes::from(good.clone());
        let read = DiskRecord::read(&record, LINEAGE).unwrap().entry(false, None).unwrap();
        alike(&read, &part);
        assert_eq!(read.part(), part.part());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let read = DiskRecord::read(&bad, LINEAGE).and_then(|record| record.entry(false, None));
            assert!(read.is_err(), "bit {bit}");
        }
        for (at, whole) in [(0..300, 300), (101..401, 400), (u64::MAX - 9..u64::MAX, u64::MAX)] {
            let odd = written(&entry(300, true).part_of_whole(Part { at, whole }));
            assert!(DiskRecord::read(&odd, LINEAGE).is_err(), "of {whole}");
        }
    }
}

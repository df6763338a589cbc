//! PURE. The journal: what the folder holds, frame by frame, in the order in which it became so. It is the only truth:
//! what no frame names is not there.

use super::bodies::BodyPlace;
use super::index::Id;
use super::place::IndexSlot;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Of the folder; another one is emptied.
pub const FORMAT: u32 = 1;
pub const HEADER: usize = 64;
/// No frame is longer.
pub const LONGEST: usize = HEAD + 40;
/// Frames begin at multiples of so many bytes.
const STEP: usize = 8;
/// Sum (4), kind (1), nothing (1), length of what follows (2).
const HEAD: usize = 8;
const MAGIC: &[u8; 8] = b"ringhold";

/// One thing that happened to the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A URL's newest record.
    Stored(Id, IndexSlot),
    /// A URL has none any more.
    Gone(Id),
    /// Groups became invalid: what was stored by now, and is in any, is doubtful.
    Grouped,
    /// All that was stored by now is doubtful.
    Doubt,
    /// A segment was begun: number, bytes, and when (milliseconds since 1970).
    Segment(u64, u64, u64),
    /// And is no more.
    SegmentGone(u64),
    /// The time, in milliseconds since 1970.
    Time(u64),
    /// The record of a URL that stands in the next frames, or is there, has its body in a file.
    Body(BodyPlace),
}

impl Frame {
    /// Whether it takes something away, and so has to be heeded even where it stands behind what cannot be read.
    fn removes(self) -> bool {
        matches!(self, Frame::Gone(_) | Frame::Grouped | Frame::Doubt | Frame::SegmentGone(_))
    }
}

/// What makes the sums of one journal differ from those of any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SumSeed {
    pub number: u64,
    /// Of the folder: a random number, another one whenever it is emptied.
    pub lineage: u64,
    /// By which rules what it names was judged.
    pub policy: u64,
}

/// The begin of a journal.
pub fn header(seed: SumSeed) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..24].copy_from_slice(&seed.number.to_le_bytes());
    header[24..32].copy_from_slice(&seed.lineage.to_le_bytes());
    header[32..40].copy_from_slice(&seed.policy.to_le_bytes());
    let sum = xxh3_64_with_seed(&header[..56], 0);
    header[56..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// `None`: it is none, or of another format.
pub fn read_header(header: &[u8]) -> Option<SumSeed> {
    let header = header.get(..HEADER)?;
    let known = header.starts_with(MAGIC) && header[8..12] == FORMAT.to_le_bytes();
    let whole = number(&header[56..]) == xxh3_64_with_seed(&header[..56], 0);
    (known && whole).then(|| SumSeed {
        number: number(&header[16..]),
        lineage: number(&header[24..]),
        policy: number(&header[32..]),
    })
}

/// Appends a frame that is to stand at `at` in its journal.
pub fn write(frame: Frame, seed: SumSeed, at: u64, out: &mut Vec<u8>) {
    let (kind, words): (u8, [Option<u64>; 5]) = match frame {
        Frame::Stored(id, slot) => (1, words([id.0, slot.0])),
        Frame::Gone(id) => (2, words([id.0])),
        Frame::Grouped => (3, words([])),
        Frame::Doubt => (4, words([])),
        Frame::Segment(number, length, begun) => (5, words([number, length, begun])),
        Frame::SegmentGone(number) => (6, words([number])),
        Frame::Time(at) => (7, words([at])),
        Frame::Body(BodyPlace { id, number, place, length, begun }) => (8, words([id.0, number, place, length, begun])),
    };
    let length = words.iter().flatten().count() as u16 * 8;
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind, 0]);
    out.extend_from_slice(&length.to_le_bytes());
    words.iter().flatten().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    let sum = sum(&out[start + 4..], seed, at);
    out[start..start + 4].copy_from_slice(&sum);
}

fn words<const N: usize>(of: [u64; N]) -> [Option<u64>; 5] {
    let mut words = [None; 5];
    words.iter_mut().zip(of).for_each(|(place, word)| *place = Some(word));
    words
}

/// Where a frame stands is part of its sum: one that was moved is none.
fn sum(bytes: &[u8], seed: SumSeed, at: u64) -> [u8; 4] {
    let own = seed.lineage ^ seed.number.rotate_left(32) ^ at.rotate_left(48);
    let sum = xxh3_64_with_seed(bytes, own).to_le_bytes();
    [sum[0], sum[1], sum[2], sum[3]]
}

/// The frame at the begin of `bytes`, and its length.
fn read(bytes: &[u8], seed: SumSeed, at: u64) -> Option<(Frame, usize)> {
    let head = bytes.get(..HEAD)?;
    let length = usize::from(u16::from_le_bytes([head[6], head[7]]));
    let whole = bytes.get(..HEAD + length).filter(|_| HEAD + length <= LONGEST)?;
    if sum(&whole[4..], seed, at) != whole[..4] {
        return None;
    }
    let word = |n: usize| whole.get(HEAD + 8 * n..HEAD + 8 * (n + 1)).map(number);
    let frame = match (head[4], length) {
        (1, 16) => Frame::Stored(Id::of(word(0)?), IndexSlot(word(1)?)),
        (2, 8) => Frame::Gone(Id::of(word(0)?)),
        (3, 0) => Frame::Grouped,
        (4, 0) => Frame::Doubt,
        (5, 24) => Frame::Segment(word(0)?, word(1)?, word(2)?),
        (6, 8) => Frame::SegmentGone(word(0)?),
        (7, 8) => Frame::Time(word(0)?),
        (8, 40) => {
            let (id, number, place, length, begun) = (Id::of(word(0)?), word(1)?, word(2)?, word(3)?, word(4)?);
            Frame::Body(BodyPlace { id, number, place, length, begun })
        }
        _ => return None,
    };
    Some((frame, HEAD + length))
}

/// Eight bytes, of which there have to be as many.
fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// Reads a journal from its header on, as it comes.
#[derive(Debug)]
pub struct JournalScan {
    seed: SumSeed,
    at: u64,
    /// Nothing but zeros came since the last frame.
    hole: bool,
    /// Something could not be read. Behind that only what removes is heeded, and all is doubtful: a removal may have stood there.
    pub damaged: bool,
}

impl JournalScan {
    pub fn new(seed: SumSeed) -> JournalScan {
        JournalScan { seed, at: HEADER as u64, hole: false, damaged: false }
    }

    /// How far it has read: the end of the last whole frame, where nothing is damaged.
    pub fn end(&self) -> u64 {
        self.at
    }

    /// Reads what stands in `bytes`, which begin where the last call left off; how much of them it has read. `last`: no more
    /// will come.
    pub fn read(&mut self, bytes: &[u8], last: bool, mut heed: impl FnMut(Frame)) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| rest.len() >= if last { 1 } else { LONGEST }) {
            let length = match read(rest, self.seed, self.at) {
                Some((frame, length)) => {
                    self.damaged |= self.hole;
                    if !self.damaged || frame.removes() {
                        heed(frame);
                    }
                    length
                }
                None => {
                    let step = &rest[..STEP.min(rest.len())];
                    let empty = step.iter().all(|byte| *byte == 0);
                    (self.hole, self.damaged) = (self.hole || empty, self.damaged || !empty);
                    step.len()
                }
            };
            done += length;
            self.at += length as u64;
        }
        // A hole at the end is damage as well: the end would not be where the next frame is written.
        self.damaged |= last && self.hole;
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: SumSeed = SumSeed { number: 3, lineage: 77, policy: 5 };

    fn frame() -> impl Strategy<Value = Frame> {
        let id = any::<u64>().prop_map(Id::of);
        prop_oneof![
            (id.clone(), any::<u64>()).prop_map(|(id, slot)| Frame::Stored(id, IndexSlot(slot))),
            id.prop_map(Frame::Gone),
            Just(Frame::Grouped),
            Just(Frame::Doubt),
            any::<[u64; 3]>().prop_map(|[a, b, c]| Frame::Segment(a, b, c)),
            any::<u64>().prop_map(Frame::SegmentGone),
            any::<u64>().prop_map(Frame::Time),
            any::<[u64; 5]>().prop_map(|[id, number, place, length, begun]| {
                Frame::Body(BodyPlace { id: Id::of(id), number, place, length, begun })
            }),
        ]
    }

    fn written(frames: &[Frame]) -> Vec<u8> {
        let mut out = Vec::new();
        frames.iter().for_each(|frame| write(*frame, SEED, (HEADER + out.len()) as u64, &mut out));
        out
    }

    fn scanned(bytes: &[u8], chunk: usize) -> (Vec<Frame>, JournalScan) {
        let (mut scan, mut found, mut buffer) = (JournalScan::new(SEED), Vec::new(), Vec::new());
        for piece in bytes.chunks(chunk.max(1)) {
            buffer.extend_from_slice(piece);
            let done = scan.read(&buffer, false, |frame| found.push(frame));
            buffer.drain(..done);
        }
        let done = scan.read(&buffer, true, |frame| found.push(frame));
        assert_eq!(done, buffer.len());
        (found, scan)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_however_it_comes(frames in prop::collection::vec(frame(), 0..40), chunk in 1..99_usize) {
            let bytes = written(&frames);
            let (found, scan) = scanned(&bytes, chunk);
            prop_assert_eq!(found, frames);
            prop_assert_eq!((scan.damaged, scan.end()), (false, (HEADER + bytes.len()) as u64));
        }

        #[test]
        fn no_bytes_can_panic_it(bytes in prop::collection::vec(any::<u8>(), 0..300), chunk in 1..99_usize) {
            let _ = (read_header(&bytes), scanned(&bytes, chunk));
        }

        #[test]
        fn what_is_cut_off_or_flipped_is_found_out_and_behind_it_only_removals_count(
            frames in prop::collection::vec(frame(), 1..20), at in any::<prop::sample::Index>(), bit in 0..8_u8,
        ) {
            let mut bytes = written(&frames);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let (found, scan) = scanned(&bytes, 50);
            prop_assert!(scan.damaged);
            let mut rest = frames.iter();
            for frame in &found {
                prop_assert!(rest.any(|f| f == frame), "{frame:?} is none of {frames:?}");
            }
            let mut end = 0;
            let whole = frames.iter().take_while(|f| { end += written(&[**f]).len(); end <= at }).count();
            prop_assert_eq!(&found[..whole], &frames[..whole]);
            prop_assert!(found[whole..].iter().all(|frame| frame.removes()));
            let kept = frames[whole + 1..].iter().filter(|frame| frame.removes());
            prop_assert!(kept.eq(found[whole..].iter()), "a removal was lost");
        }
    }

    #[test]
    fn a_hole_is_damage_wherever_it_is() {
        let frames = [Frame::Gone(Id::of(1)), Frame::Time(2)];
        let (first, second) = (written(&frames[..1]), written(&frames));
        let mut middle = second.clone();
        middle[..first.len()].fill(0);
        for bytes in [middle, [first.clone(), vec![0; 16]].concat(), vec![0; 3]] {
            assert!(scanned(&bytes, 64).1.damaged, "{bytes:?}");
        }
    }

    #[test]
    fn a_header_with_a_flipped_bit_is_none() {
        let good = header(SEED);
        assert_eq!((read_header(&good), read_header(&good[..63])), (Some(SEED), None));
        for bit in 0..HEADER * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_header(&bad), None, "bit {bit}");
        }
    }
}

//! PURE. Where a record lies, in eight bytes: what the index and the journal keep of it.

use xxhash_rust::xxh3::xxh3_64;

/// Records begin at multiples of so many bytes.
pub const UNIT: u64 = 64;
/// A segment is no longer than this: what an offset can say.
pub const LONGEST_SEGMENT: u64 = UNIT << OFFSET_BITS;

const SEGMENT_BITS: u32 = 20;
const OFFSET_BITS: u32 = 22;
const CLASS_BITS: u32 = 12;
const SEGMENTS: u64 = 1 << SEGMENT_BITS;
const OFFSET_AT: u32 = SEGMENT_BITS;
const CLASS_AT: u32 = OFFSET_AT + OFFSET_BITS;
/// The first of them is not used.
const FLAGS_AT: u32 = CLASS_AT + CLASS_BITS;
const VARIANTS_AT: u32 = FLAGS_AT + 3;

/// Of a class: below so many units it is their number, above it keeps so many steps for each power of two.
const STEPS: u64 = 256;

/// A place, and what is noted beside it. The segment's number is cut to 20 bits: far fewer are there at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IndexSlot(pub u64);

impl IndexSlot {
    /// Not reused without validation: something may have been missed since it was stored.
    pub const DOUBTFUL: u64 = 1 << (FLAGS_AT + 1);
    /// It, or a variant before it, names cache groups (RFC 9875).
    pub const GROUPED: u64 = 1 << (FLAGS_AT + 2);
    const PLACE: u64 = (1 << FLAGS_AT) - 1;

    /// The mark of a variant, by its selecting fields: a slot has those of its record and of all before it. Few variants share
    /// one.
    pub fn of_variant(selecting: &[u8]) -> u64 {
        1 << (u64::from(VARIANTS_AT) + xxh3_64(selecting) % u64::from(u64::BITS - VARIANTS_AT))
    }

    /// The marks of its variants.
    pub fn variants(self) -> u64 {
        self.0 & !((1 << VARIANTS_AT) - 1)
    }

    /// `at` in bytes, a multiple of [`UNIT`]; `length` in bytes, rounded up by less than a hundredth.
    pub fn new(segment: u64, at: u64, length: u64) -> IndexSlot {
        let offset = (at / UNIT) & ((1 << OFFSET_BITS) - 1);
        let class = class(length.div_ceil(UNIT));
        IndexSlot((segment % SEGMENTS) | (offset << OFFSET_AT) | (class << CLASS_AT))
    }

    /// The same without what is noted beside it.
    pub fn place(self) -> u64 {
        self.0 & IndexSlot::PLACE
    }

    pub fn has(self, flags: u64) -> bool {
        self.0 & flags != 0
    }

    /// Which of these flags it has.
    pub fn noted(self, flags: u64) -> u64 {
        self.0 & flags
    }

    pub fn with(self, flags: u64) -> IndexSlot {
        IndexSlot(self.0 | flags)
    }

    pub fn without(self, flags: u64) -> IndexSlot {
        IndexSlot(self.0 & !flags)
    }

    /// The segment's number, of those below `next` the highest that it can be.
    pub fn segment(self, next: u64) -> u64 {
        let number = next - next % SEGMENTS + self.0 % SEGMENTS;
        if number < next { number } else { number.saturating_sub(SEGMENTS) }
    }

    /// In bytes from the segment's begin.
    pub fn at(self) -> u64 {
        (self.0 >> OFFSET_AT & ((1 << OFFSET_BITS) - 1)) * UNIT
    }

    /// In bytes; what lies there may be a little shorter.
    pub fn length(self) -> u64 {
        units(self.0 >> CLASS_AT & ((1 << CLASS_BITS) - 1)) * UNIT
    }
}

/// So many bytes lie between this and the next place, for a record of this length.
pub fn room(length: u64) -> u64 {
    units(class(length.div_ceil(UNIT))) * UNIT
}

fn class(units: u64) -> u64 {
    let mut shift = 0;
    while units.div_ceil(1 << shift) >= 2 * STEPS {
        shift += 1;
    }
    let rounded = units.div_ceil(1 << shift);
    if rounded < STEPS { rounded } else { (shift + 1) * STEPS + rounded - STEPS }
}

fn units(class: u64) -> u64 {
    match class / STEPS {
        0 => class,
        power => (STEPS + class % STEPS) << (power - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_place_says_its_segment_its_offset_and_hardly_more_than_its_length(
            segment in 0..1_u64 << 40, ahead in 1..SEGMENTS, offset in 0..1_u64 << OFFSET_BITS, length in 1..LONGEST_SEGMENT,
        ) {
            let slot = IndexSlot::new(segment, offset * UNIT, length).with(IndexSlot::DOUBTFUL | IndexSlot::GROUPED);
            prop_assert_eq!((slot.segment(segment + ahead), slot.at()), (segment, offset * UNIT));
            prop_assert!(slot.length() >= length && slot.length() <= length + length / 128 + UNIT, "{}", slot.length());
            prop_assert_eq!(slot.length(), room(length));
            prop_assert!(slot.has(IndexSlot::DOUBTFUL) && !slot.without(IndexSlot::DOUBTFUL).has(IndexSlot::DOUBTFUL));
            prop_assert_eq!(slot.place(), IndexSlot::new(segment, offset * UNIT, length).0);
            let (de, en) = (IndexSlot::of_variant(b"accept-language:de\n"), IndexSlot::of_variant(b"accept-language:en\n"));
            let both = slot.with(de).with(en);
            prop_assert_eq!((both.variants(), slot.variants(), both.place()), (de | en, 0, slot.place()));
        }
    }
}

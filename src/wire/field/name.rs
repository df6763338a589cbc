//! PURE. How names of fields are found and compared, in any letter case.

/// As many slots as a number of so many bits has values.
pub(super) const SLOT_BITS: u32 = 9;

/// The first and the last eight bytes of a name, which may overlap; of a shorter one what tells it from all others of its
/// length, twice.
#[derive(Clone, Copy)]
pub(super) struct NameEnds {
    first: u64,
    last: u64,
}

impl NameEnds {
    #[inline(always)]
    pub(super) const fn of(name: &[u8]) -> NameEnds {
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            return NameEnds { first: u64::from_le_bytes(*first), last: u64::from_le_bytes(*last) };
        }
        let all = match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => {
                u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << u32::BITS
            }
            _ => u32::from_le_bytes(match name {
                [a, b, c, ..] => [*a, *b, *c, 0],
                [a, b] => [*a, *b, 0, 0],
                [a] => [*a, 0, 0, 0],
                [] => [0; 4],
            }) as u64,
        };
        NameEnds { first: all, last: all }
    }

    /// Of a name that is not empty, in lower case where it is a letter.
    #[inline(always)]
    pub(super) const fn initial(self) -> u8 {
        self.first as u8 | 0x20
    }

    /// Of a name of so many bytes in any letter case, by the four bytes at either end.
    #[inline(always)]
    pub(super) const fn slot(self, length: usize) -> usize {
        const CASE: u32 = 0x2020_2020;
        let (start, end) = (self.first as u32 | CASE, (self.last >> u32::BITS) as u32 | CASE);
        let mixed = start.wrapping_mul(0x0a82_6695).wrapping_add(end.wrapping_mul(0x53c6_17eb));
        (mixed.wrapping_add((length as u32).wrapping_mul(0x2fd2_f793)) >> (u32::BITS - SLOT_BITS)) as usize
    }
}

/// A name that is known, in lower case, as others are compared with it.
pub(super) struct KnownName {
    pub(super) text: &'static str,
    ends: NameEnds,
    /// The bits in which no name that is the same differs from these.
    same: NameEnds,
}

impl KnownName {
    pub(super) const fn new(text: &'static str) -> KnownName {
        /// That alone of letters, digits and hyphens letters have the bit `0x40` tells where a difference is one of case.
        const fn same(bytes: u64) -> u64 {
            !((bytes & 0x4040_4040_4040_4040) >> 1)
        }
        let ends = NameEnds::of(text.as_bytes());
        KnownName { text, ends, same: NameEnds { first: same(ends.first), last: same(ends.last) } }
    }

    /// Whether this is the name with these ends, but for the case of letters.
    #[inline(always)]
    pub(super) fn is(&self, name: &[u8], ends: NameEnds) -> bool {
        let known = self.text.as_bytes();
        let differs =
            || (self.ends.first ^ ends.first) & self.same.first | (self.ends.last ^ ends.last) & self.same.last;
        // What both ends have left out, of the few names that are longer.
        known.len() == name.len()
            && differs() == 0
            && (name.len() <= 16 || known[8..known.len() - 8].eq_ignore_ascii_case(&name[8..name.len() - 8]))
    }
}

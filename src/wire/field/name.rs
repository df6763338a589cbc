//! PURE. How names of fields are found and compared, in any letter case.

/// As many slots as a number of so many bits has values.
pub(super) const SLOT_BITS: u32 = 9;

/// Of a name in any letter case, which is not empty, by its length and the four bytes at either end.
pub(super) const fn slot(name: &[u8]) -> usize {
    let (start, end) = match (name.first_chunk(), name.last_chunk()) {
        (Some(start), Some(end)) => (u32::from_le_bytes(*start), u32::from_le_bytes(*end)),
        _ => (u32::from_le_bytes([name[0], name[name.len() / 2], name[name.len() - 1], 0]), 0),
    };
    const CASE: u32 = 0x2020_2020;
    let mixed = (start | CASE).wrapping_mul(0x0a82_6695).wrapping_add((end | CASE).wrapping_mul(0x53c6_17eb));
    (mixed.wrapping_add((name.len() as u32).wrapping_mul(0x2fd2_f793)) >> (u32::BITS - SLOT_BITS)) as usize
}

/// Whether two names of one length are the same but for the case of letters, eight bytes at a time. `known` is lower case; that
/// alone of its letters, digits and hyphens letters have the bit `0x40` tells where a difference is one of case.
#[inline(always)]
pub(super) fn is_same(known: &[u8], name: &[u8]) -> bool {
    fn differ(known: [u8; 8], name: [u8; 8]) -> bool {
        let (known, name) = (u64::from_ne_bytes(known), u64::from_ne_bytes(name));
        (known ^ name) & !((known & 0x4040_4040_4040_4040) >> 1) != 0
    }
    /// Its first and last bytes, which may overlap.
    fn ends<const N: usize>(text: &[u8]) -> Option<([u8; N], [u8; N])> {
        Some((*text.first_chunk()?, *text.last_chunk()?))
    }
    fn joined(([a, b, c, d], [e, f, g, h]): ([u8; 4], [u8; 4])) -> [u8; 8] {
        [a, b, c, d, e, f, g, h]
    }
    let (Some((known_start, known_end)), Some((start, end))) = (ends(known), ends(name)) else {
        return match (ends(known), ends(name)) {
            (Some(known), Some(name)) => !differ(joined(known), joined(name)),
            _ => known.eq_ignore_ascii_case(name),
        };
    };
    if differ(known_start, start) || differ(known_end, end) {
        return false;
    }
    // What both ends have left out, of the few names that are longer.
    let ((between, _), (of_name, _)) = (known[8..].as_chunks(), name[8..].as_chunks());
    known.len() <= 16 || !between.iter().zip(of_name).any(|(known, name)| differ(*known, *name))
}

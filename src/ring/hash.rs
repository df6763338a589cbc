//! The hashes that place points and keys: 64 bits each, seed 0.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The hash that places points and keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    /// XXH3, 64 bits.
    #[default]
    Xxh3,
    /// MurmurHash3 x64, of whose 128 bits the low 64 are taken (`h1`, the first half of the digest as it is usually
    /// printed).
    Murmur3,
}

impl Hash {
    pub fn of(self, bytes: &[u8]) -> u64 {
        match self {
            Hash::Xxh3 => xxh3_64(bytes),
            Hash::Murmur3 => murmur3_low(bytes),
        }
    }
    /// As it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Hash::Xxh3 => "xxh3",
            Hash::Murmur3 => "murmur3",
        }
    }
}

/// The digest is given as a number whose bytes, as this machine has them, are `h1` and then `h2`.
fn murmur3_low(bytes: &[u8]) -> u64 {
    let [h1 @ .., _, _, _, _, _, _, _, _] = fastmurmur3::murmur3_x64_128(bytes, 0).to_ne_bytes();
    u64::from_ne_bytes(h1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_with_other_implementations() {
        // XXH3: the reference implementation's values. MurmurHash3: the test vectors of Go's spaolacci/murmur3, and
        // mmh3 of Python for lengths about a word and a block.
        let table: &[(Hash, &str, u64)] = &[
            (Hash::Xxh3, "", 0x2d06_8005_38d3_94c2),
            (Hash::Xxh3, "a", 0xe6c6_32b6_1e96_4e1f),
            (Hash::Xxh3, "abc", 0x78af_5f94_892f_3950),
            (Hash::Murmur3, "", 0),
            (Hash::Murmur3, "hello", 0xcbd8_a7b3_41bd_9b02),
            (Hash::Murmur3, "hello, world", 0x342f_ac62_3a5e_bc8e),
            (Hash::Murmur3, "19 Jan 2038 at 3:14:07 AM", 0xb89e_5988_b737_affc),
            (Hash::Murmur3, "The quick brown fox jumps over the lazy dog.", 0xcd99_481f_9ee9_02c9),
            (Hash::Murmur3, "a", 0x8555_5565_f659_7889),
            (Hash::Murmur3, "01234567", 0x8236_039b_7387_354d),
            (Hash::Murmur3, "012345678", 0x4c1e_8751_9fe7_38ba),
            (Hash::Murmur3, "0123456789abcde", 0xa62d_d5f6_c0bf_2351),
            (Hash::Murmur3, "0123456789abcdef", 0x4be0_6d94_cf4a_d1a7),
            (Hash::Murmur3, "0123456789abcdef0", 0xeb24_ae87_85a5_c075),
        ];
        for (hash, text, expected) in table {
            assert_eq!(hash.of(text.as_bytes()), *expected, "{} of {text:?}", hash.name());
        }
    }

    #[test]
    fn a_hash_is_named_as_in_the_configuration() {
        for hash in [Hash::Xxh3, Hash::Murmur3] {
            assert_eq!(serde_json::to_value(hash).unwrap(), hash.name());
        }
    }
}

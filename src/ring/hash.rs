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

fn murmur3_low(mut bytes: &[u8]) -> u64 {
    murmur3::murmur3_x64_128(&mut bytes, 0).expect("reading from a slice cannot fail") as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_agree_with_other_implementations() {
        // XXH3: the reference implementation's values. MurmurHash3: the test vectors of Go's spaolacci/murmur3.
        let table: &[(Hash, &str, u64)] = &[
            (Hash::Xxh3, "", 0x2d06_8005_38d3_94c2),
            (Hash::Xxh3, "a", 0xe6c6_32b6_1e96_4e1f),
            (Hash::Xxh3, "abc", 0x78af_5f94_892f_3950),
            (Hash::Murmur3, "", 0),
            (Hash::Murmur3, "hello", 0xcbd8_a7b3_41bd_9b02),
            (Hash::Murmur3, "hello, world", 0x342f_ac62_3a5e_bc8e),
            (Hash::Murmur3, "19 Jan 2038 at 3:14:07 AM", 0xb89e_5988_b737_affc),
            (Hash::Murmur3, "The quick brown fox jumps over the lazy dog.", 0xcd99_481f_9ee9_02c9),
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

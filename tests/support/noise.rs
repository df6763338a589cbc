//! Bytes that look random, of any length, without keeping them: the same seed gives the same bytes.

use sha2::{Digest, Sha256};

/// A pseudo-random stream.
pub struct Noise {
    state: u64,
    left: u64,
    block: Vec<u8>,
}

impl Noise {
    pub fn new(seed: u64, length: u64) -> Noise {
        Noise { state: seed, left: length, block: vec![0; 64 * 1024] }
    }

    /// The next piece of at most 64 KiB; `None` at the end.
    pub fn next_block(&mut self) -> Option<&[u8]> {
        if self.left == 0 {
            return None;
        }
        for word in self.block.chunks_exact_mut(8) {
            word.copy_from_slice(&split_mix(&mut self.state).to_le_bytes());
        }
        let n = self.left.min(self.block.len() as u64);
        self.left -= n;
        Some(&self.block[..n as usize])
    }

    /// The whole stream, for small lengths.
    pub fn bytes(seed: u64, length: u64) -> Vec<u8> {
        let mut noise = Noise::new(seed, length);
        let mut all = Vec::new();
        while let Some(block) = noise.next_block() {
            all.extend_from_slice(block);
        }
        all
    }
}

/// The SHA-256 of a stream, as hexadecimal digits.
pub fn sha256_of(seed: u64, length: u64) -> String {
    let mut noise = Noise::new(seed, length);
    let mut digest = Digester::default();
    while let Some(block) = noise.next_block() {
        digest.take(block);
    }
    digest.hex()
}

/// SHA-256 and length of what passed.
#[derive(Default)]
pub struct Digester {
    sha: Sha256,
    pub length: u64,
}

impl Digester {
    pub fn take(&mut self, bytes: &[u8]) {
        self.sha.update(bytes);
        self.length += bytes.len() as u64;
    }

    pub fn hex(&self) -> String {
        self.sha.clone().finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

//! A small mutation fuzzer without coverage: enough to catch a careless change within seconds.

use std::hash::{BuildHasher, RandomState};

/// A random number generator that a seed repeats (SplitMix64).
pub struct Random(u64);

impl Random {
    /// The generator of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A seed that nobody chose.
    #[must_use]
    pub fn fresh_seed() -> u64 {
        RandomState::new().hash_one(std::process::id())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which must not be 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below((length - start).min(24) + 1)
    }
}

/// Fragments that the parsers treat specially.
const TOKENS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"\\",
    b"\\u0000",
    b"\\ud83d",
    b"\\u006d",
    b"null",
    b"true",
    b"-0",
    b"1e9",
    b"1.",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\0",
    b"\xff",
    b"\xc5\xbf",
    b"\xf0\x9f\x98\x80",
    b"data:",
    b"id: ",
    b"retry: ",
    b": ",
    b"\xef\xbb\xbf",
    b"=?base64?",
    b"?=",
    b"\"name\":",
    b"\"Name\":",
    b"\"_meta\":",
    b"\"id\":",
    b"\"method\":",
    b"\"params\":",
    b"\"result\":",
    b"\"tools\":",
    b"2.0",
    b"tools/call",
];

/// A variation of one seed, sometimes crossed with another. At most 4 KiB.
pub fn mutated(seeds: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].to_vec();
    for _ in 0..random.below(6) {
        let part = random.range(input.len());
        match random.below(6) {
            0 => drop(input.splice(part, TOKENS[random.below(TOKENS.len())].iter().copied())),
            1 => {
                drop(input.splice(part.start..part.start, TOKENS[random.below(TOKENS.len())].iter().copied()))
            }
            2 => drop(input.drain(part)),
            3 => input[part].iter_mut().for_each(|byte| *byte = random.next() as u8),
            4 => {
                let copy = input[part.clone()].repeat(1 + random.below(3));
                drop(input.splice(part.end..part.end, copy));
            }
            _ => {
                let other = seeds[random.below(seeds.len())];
                let from = random.range(other.len());
                drop(input.splice(part, other[from].iter().copied()));
            }
        }
    }
    input.truncate(4096);
    input
}

//! A block of the index: which values the records of a stretch of a segment have, and where they stand.
//!
//! ```text
//! header    200 bytes: which stretch, its times and numbers, the hash of its last line, lengths and sums of what follows
//! values    for each field: their count, then length and text of each, and which stretch of the postings is its set
//! strides   for each 64 records: where they begin, their times and numbers
//! postings  sets of records
//! ```
//!
//! Every part carries a sum of its bytes (the first of its SHA-256), so that damage is found where it is read. All numbers are
//! little-endian. A text that is long, or one too many, is not kept: its records are in the set of what may match anything.

use lockgate_crypto::digest::sha256;

use super::facets::{Facets, Field};
use super::postings::{self, Bits};
use crate::line::LINE_BYTES_MAX;

/// Records between two places that are remembered: one word of a set.
pub(super) const STRIDE: u32 = 64;

/// Most records in a block: a set of them as bits takes 16 KiB, and a full segment is usually one block.
pub(super) const RECORDS_MAX: u32 = 1 << 17;

/// Most bytes of lines in a block, so that places in it are 32-bit numbers.
pub(super) const LINES_BYTES_MAX: u64 = 1 << 30;

/// Longest text that is kept, in bytes: a SPIFFE id or the name of a tool is shorter.
pub(super) const TEXT_BYTES_MAX: usize = 128;

/// Most values of a field that are kept in a block: with texts of full length they stay below [`PART_BYTES_MAX`].
pub(super) const VALUES_MAX: usize = 1 << 15;

/// Longest part of a block in bytes: far above any of ours, so that a damaged length asks for no memory.
pub(super) const PART_BYTES_MAX: u32 = 64 << 20;

/// Stands for the length of a text where there is none.
pub(super) const NO_TEXT: u16 = u16::MAX;

const MAGIC: [u8; 8] = *b"LGINDEX1";
pub(super) const HEADER_BYTES: usize = 200;
const SUM_BYTES: usize = 16;
pub(super) const STRIDE_BYTES: usize = 28;

pub(super) type Sum = [u8; SUM_BYTES];

pub(super) fn sum(bytes: &[u8]) -> Sum {
    *sha256(bytes).first_chunk().expect("a digest is longer than a sum")
}

/// What a block says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Lines of the segment before it.
    pub(super) first: u64,
    /// Lines in it.
    pub(super) records: u32,
    /// Those of them that are no records.
    pub(super) unreadable: u32,
    /// Where its first line begins in the segment.
    pub(super) offset: u64,
    /// Bytes of its lines.
    pub(super) length: u64,
    /// Of its records: earliest and latest time, smallest and largest number.
    pub(super) span: Span,
    /// SHA-256 of its last line, and the length of that.
    pub(super) last: [u8; 32],
    pub(super) last_bytes: u32,
    /// Lengths of values, strides and postings.
    pub(super) parts: [u32; 3],
    pub(super) sums: [Sum; 2],
}

/// Times in microseconds since 1970 and numbers of some records. Of none, the first of each is the larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) time: (i64, i64),
    pub(super) seq: (u64, u64),
}

impl Span {
    pub(super) const NONE: Self = Self { time: (i64::MAX, i64::MIN), seq: (u64::MAX, 0) };

    pub(super) fn add(&mut self, facets: &Facets<'_>) {
        self.time = (self.time.0.min(facets.time_us), self.time.1.max(facets.time_us));
        self.seq = (self.seq.0.min(facets.seq), self.seq.1.max(facets.seq));
    }
}

impl Header {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.first.to_le_bytes());
        bytes.extend(self.records.to_le_bytes());
        bytes.extend(self.unreadable.to_le_bytes());
        bytes.extend(self.offset.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend([self.span.time.0, self.span.time.1].map(i64::to_le_bytes).concat());
        bytes.extend([self.span.seq.0, self.span.seq.1].map(u64::to_le_bytes).concat());
        bytes.extend(self.last);
        bytes.extend(self.last_bytes.to_le_bytes());
        bytes.extend(self.parts.map(u32::to_le_bytes).concat());
        bytes.extend(self.sums.concat());
        bytes.resize(HEADER_BYTES - SUM_BYTES, 0);
        let of_all = sum(&bytes);
        bytes.extend(of_all);
        bytes
    }

    /// Reads a header; none if it is not one that was written so.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.try_into().ok()?;
        let (content, of_all) = bytes.split_at(HEADER_BYTES - SUM_BYTES);
        (sum(content) == of_all).then_some(())?;
        let mut rest = Rest(content);
        (rest.array()? == MAGIC).then_some(())?;
        let header = Self {
            first: rest.u64()?,
            records: rest.u32()?,
            unreadable: rest.u32()?,
            offset: rest.u64()?,
            length: rest.u64()?,
            span: Span { time: (rest.i64()?, rest.i64()?), seq: (rest.u64()?, rest.u64()?) },
            last: rest.array()?,
            last_bytes: rest.u32()?,
            parts: [rest.u32()?, rest.u32()?, rest.u32()?],
            sums: [rest.array()?, rest.array()?],
        };
        let fits = header.records > 0
            && header.records <= RECORDS_MAX
            && header.unreadable <= header.records
            && header.length <= 2 * LINES_BYTES_MAX
            && u64::from(header.last_bytes) <= header.length
            && header.last_bytes as usize <= LINE_BYTES_MAX
            && header.parts.iter().all(|length| *length <= PART_BYTES_MAX)
            && header.parts[1] as usize == STRIDE_BYTES * header.records.div_ceil(STRIDE) as usize;
        (fits && header.end().is_some() && header.first.checked_add(header.records.into()).is_some())
            .then_some(header)
    }

    /// Where the lines of the block end in the segment.
    pub(super) fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.length)
    }

    /// Length of the whole block in the index, in bytes.
    pub(super) fn block_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + self.parts.iter().map(|length| u64::from(*length)).sum::<u64>()
    }

    /// Where the values are in the block.
    pub(super) fn values(&self) -> std::ops::Range<u64> {
        let begin = HEADER_BYTES as u64;
        begin..begin + u64::from(self.parts[0])
    }

    /// Where the strides are in the block.
    pub(super) fn strides(&self) -> std::ops::Range<u64> {
        let begin = self.values().end;
        begin..begin + u64::from(self.parts[1])
    }

    /// Where a set is in the block; none if it would be outside.
    pub(super) fn set(&self, set: &SetPlace) -> Option<std::ops::Range<u64>> {
        let begin = self.strides().end + u64::from(set.offset);
        let end = begin + u64::from(set.length);
        (end <= self.block_bytes()).then_some(begin..end)
    }
}

/// Where a set of records is among the postings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetPlace {
    offset: u32,
    length: u32,
    sum: [u8; 8],
}

impl SetPlace {
    /// Adds the set to `to`; none if it is damaged.
    pub(super) fn add(&self, bytes: &[u8], records: u32, to: &mut Bits) -> Option<()> {
        (sum(bytes)[..8] == self.sum).then_some(())?;
        postings::add(bytes, records, to)
    }
}

/// The values of a block.
pub(super) struct Values<'a>(Rest<'a>);

impl<'a> Values<'a> {
    /// The values, if these are the bytes that the header speaks of.
    pub(super) fn read(bytes: &'a [u8], header: &Header) -> Option<Self> {
        (sum(bytes) == header.sums[0]).then_some(Self(Rest(bytes)))
    }

    /// Gives each value of each field with its set; without a text, the set of what may match anything.
    pub(super) fn each(self, mut take: impl FnMut(Field, Option<&'a str>, SetPlace)) -> Option<()> {
        let mut rest = self.0;
        for field in Field::ALL {
            for _ in 0..rest.u32()? {
                let text = match rest.u16()? {
                    NO_TEXT => None,
                    length => Some(std::str::from_utf8(rest.take(length.into())?).ok()?),
                };
                let set = SetPlace { offset: rest.u32()?, length: rest.u32()?, sum: rest.array()? };
                take(field, text, set);
            }
        }
        rest.0.is_empty().then_some(())
    }
}

/// Where 64 records stand, and what they span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stride {
    /// From the block's first line, in bytes.
    pub(super) offset: u32,
    pub(super) span: Span,
}

/// Reads the strides of a block; none if they are damaged.
pub(super) fn read_strides(bytes: &[u8], header: &Header) -> Option<Vec<Stride>> {
    (sum(bytes) == header.sums[1]).then_some(())?;
    let mut rest = Rest(bytes);
    let mut strides: Vec<Stride> = Vec::with_capacity(bytes.len() / STRIDE_BYTES);
    while !rest.0.is_empty() {
        let offset = rest.u32()?;
        let time = (rest.i64()?, rest.i64()?);
        let (low, high) = (rest.u32()?, rest.u32()?);
        let seq = match low <= high {
            true => {
                let at = |distance: u32| header.span.seq.0.checked_add(distance.into());
                // The largest distance stands for all that are larger.
                (at(low)?, if high == u32::MAX { u64::MAX } else { at(high)? })
            }
            false => Span::NONE.seq,
        };
        let before = strides.last().map_or(0, |stride| stride.offset);
        (offset >= before && u64::from(offset) <= header.length).then_some(())?;
        strides.push(Stride { offset, span: Span { time, seq } });
    }
    Some(strides)
}

/// Makes the sums of a block fit its bytes again, so that fuzzing gets behind them.
pub(super) fn mend(bytes: &mut [u8]) -> Option<()> {
    const PARTS: usize = 108;
    let mut begin = HEADER_BYTES;
    for part in 0..2 {
        let length = Rest(bytes.get(PARTS + 4 * part..)?).u32()? as usize;
        let of_part = sum(bytes.get(begin..begin.checked_add(length)?)?);
        let at = PARTS + 12 + SUM_BYTES * part;
        bytes[at..at + SUM_BYTES].copy_from_slice(&of_part);
        begin += length;
    }
    let of_all = sum(&bytes[..HEADER_BYTES - SUM_BYTES]);
    bytes[HEADER_BYTES - SUM_BYTES..HEADER_BYTES].copy_from_slice(&of_all);
    Some(())
}

/// What is left to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }
}

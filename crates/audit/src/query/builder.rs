//! Making blocks of the index.

use std::collections::HashMap;

use lockgate_crypto::digest::sha256;

use super::block::{
    Header, LINES_BYTES_MAX, NO_TEXT, RECORDS_MAX, STRIDE, STRIDE_BYTES, Span, Stride, TEXT_BYTES_MAX,
    VALUES_MAX, sum,
};
use super::facets::{FIELDS, Facets};
use super::postings;

/// Makes a block out of lines.
pub(super) struct Builder {
    first: u64,
    offset: u64,
    length: u64,
    records: u32,
    unreadable: u32,
    span: Span,
    strides: Vec<Stride>,
    values: [HashMap<Box<str>, Vec<u32>>; FIELDS],
    /// For each field, the records with a value that is not kept.
    others: [Vec<u32>; FIELDS],
    last: Vec<u8>,
}

impl Builder {
    /// A block that begins behind `first` lines of its segment, at this place.
    pub(super) fn at(first: u64, offset: u64) -> Self {
        Self {
            first,
            offset,
            length: 0,
            records: 0,
            unreadable: 0,
            span: Span::NONE,
            strides: Vec::new(),
            values: Default::default(),
            others: Default::default(),
            last: Vec::new(),
        }
    }

    /// The block that begins behind this one.
    pub(super) fn following(&self) -> Self {
        Self::at(self.first + u64::from(self.records), self.end())
    }

    /// Lines in it.
    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// Where its lines end in the segment.
    pub(super) fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// Whether no further line fits.
    pub(super) fn is_full(&self, records_max: u32) -> bool {
        self.records >= records_max.min(RECORDS_MAX) || self.length >= LINES_BYTES_MAX
    }

    /// Takes in the next line, newline included.
    pub(super) fn push(&mut self, line: &[u8]) {
        let record = self.records;
        if record.is_multiple_of(STRIDE) {
            let offset =
                u32::try_from(self.length).expect("a block has at most 2^30 bytes before its last line");
            self.strides.push(Stride { offset, span: Span::NONE });
        }
        match Facets::read(line) {
            Some(facets) => self.take_in(record, &facets),
            None => self.unreadable += 1,
        }
        self.records += 1;
        self.length += line.len() as u64;
        self.last.clear();
        self.last.extend_from_slice(line);
    }

    fn take_in(&mut self, record: u32, facets: &Facets<'_>) {
        self.span.add(facets);
        if let Some(stride) = self.strides.last_mut() {
            stride.span.add(facets);
        }
        let (values, others) = (&mut self.values, &mut self.others);
        facets.each(|field, text| {
            let values = &mut values[field as usize];
            let is_kept = text.len() <= TEXT_BYTES_MAX && values.len() < VALUES_MAX;
            if is_kept && !values.contains_key(text) {
                values.insert(text.into(), Vec::new());
            }
            let members = values.get_mut(text).unwrap_or(&mut others[field as usize]);
            if members.last() != Some(&record) {
                members.push(record);
            }
        });
    }

    /// The bytes of the block; none of an empty one.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        if self.records == 0 {
            return None;
        }
        let (values, postings) = self.write_values();
        let strides = self.write_strides();
        let length =
            |part: &Vec<u8>| u32::try_from(part.len()).expect("records, values and texts have limits");
        let header = Header {
            first: self.first,
            records: self.records,
            unreadable: self.unreadable,
            offset: self.offset,
            length: self.length,
            span: self.span,
            last: sha256(&self.last),
            last_bytes: u32::try_from(self.last.len()).expect("a line is shorter than 4 GiB"),
            parts: [length(&values), length(&strides), length(&postings)],
            sums: [sum(&values), sum(&strides)],
        };
        Some([header.write(), values, strides, postings].concat())
    }

    fn write_values(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut values, mut postings) = (Vec::new(), Vec::new());
        let mut write_set = |values: &mut Vec<u8>, members: &[u32]| {
            let set = postings::write(members, self.records);
            let length = u32::try_from(postings.len()).unwrap_or(u32::MAX);
            values.extend(length.to_le_bytes());
            values.extend(u32::try_from(set.len()).unwrap_or(u32::MAX).to_le_bytes());
            values.extend(&sum(&set)[..8]);
            postings.extend(set);
        };
        for (kept, others) in self.values.iter().zip(&self.others) {
            let count = kept.len() + usize::from(!others.is_empty());
            values.extend(u32::try_from(count).expect("fewer values than records").to_le_bytes());
            let mut sorted: Vec<_> = kept.iter().collect();
            sorted.sort_unstable();
            for (text, members) in sorted {
                values.extend(u16::try_from(text.len()).expect("a kept text is short").to_le_bytes());
                values.extend(text.as_bytes());
                write_set(&mut values, members);
            }
            if !others.is_empty() {
                values.extend(NO_TEXT.to_le_bytes());
                write_set(&mut values, others);
            }
        }
        (values, postings)
    }

    fn write_strides(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.strides.len() * STRIDE_BYTES);
        for Stride { offset, span } in &self.strides {
            let distance = |seq: u64| u32::try_from(seq.saturating_sub(self.span.seq.0)).unwrap_or(u32::MAX);
            let seq = match span.seq.0 <= span.seq.1 {
                true => [distance(span.seq.0), distance(span.seq.1)],
                false => [1, 0],
            };
            bytes.extend(offset.to_le_bytes());
            bytes.extend([span.time.0, span.time.1].map(i64::to_le_bytes).concat());
            bytes.extend(seq.map(u32::to_le_bytes).concat());
        }
        bytes
    }
}

//! Sets of records within a block, in memory and as they are kept.
//!
//! A set is kept as the shorter of two forms: the distances between its members in LEB128, or one bit for each record.

/// One bit for each record of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn none(records: u32) -> Self {
        Self(vec![0; records.div_ceil(64) as usize])
    }

    pub(super) fn all(records: u32) -> Self {
        let mut bits = Self(vec![u64::MAX; records.div_ceil(64) as usize]);
        let beyond = records % 64;
        if let Some(last) = bits.0.last_mut()
            && beyond > 0
        {
            *last = (1 << beyond) - 1;
        }
        bits
    }

    pub(super) fn set(&mut self, record: u32) {
        self.0[record as usize / 64] |= 1 << (record % 64);
    }

    pub(super) fn has(&self, record: u32) -> bool {
        self.0.get(record as usize / 64).is_some_and(|word| word & (1 << (record % 64)) != 0)
    }

    pub(super) fn keep(&mut self, others: &Self) {
        self.0.iter_mut().zip(&others.0).for_each(|(word, other)| *word &= other);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether any of the 64 records from `64 * stride` on is in the set.
    pub(super) fn any_in(&self, stride: usize) -> bool {
        self.0.get(stride).is_some_and(|word| *word != 0)
    }
}

const DISTANCES: u8 = 0;
const BITMAP: u8 = 1;

/// Writes a set of ascending members of a block of `records`.
pub(super) fn write(members: &[u32], records: u32) -> Vec<u8> {
    let mut distances = vec![DISTANCES];
    let mut next = 0;
    for member in members {
        let mut distance = member - next;
        next = member + 1;
        while distance >= 0x80 {
            distances.push(u8::try_from(distance & 0x7f).expect("seven bits fit") | 0x80);
            distance >>= 7;
        }
        distances.push(u8::try_from(distance).expect("seven bits fit"));
    }
    let bitmap_bytes = records.div_ceil(8) as usize;
    if distances.len() <= bitmap_bytes {
        return distances;
    }
    let mut bitmap = vec![0; 1 + bitmap_bytes];
    bitmap[0] = BITMAP;
    for member in members {
        bitmap[1 + *member as usize / 8] |= 1 << (member % 8);
    }
    bitmap
}

/// Adds a set that was kept; none if it is not one of a block of `records`.
pub(super) fn add(bytes: &[u8], records: u32, to: &mut Bits) -> Option<()> {
    let (form, bytes) = bytes.split_first()?;
    match *form {
        DISTANCES => add_distances(bytes, records, to),
        BITMAP if bytes.len() == records.div_ceil(8) as usize => {
            let beyond = records % 8;
            let is_within = beyond == 0 || bytes.last().is_none_or(|last| last >> beyond == 0);
            is_within.then_some(())?;
            for (word, eight) in to.0.iter_mut().zip(bytes.chunks(8)) {
                let mut whole = [0; 8];
                whole[..eight.len()].copy_from_slice(eight);
                *word |= u64::from_le_bytes(whole);
            }
            Some(())
        }
        _ => None,
    }
}

fn add_distances(bytes: &[u8], records: u32, to: &mut Bits) -> Option<()> {
    let mut next = 0_u32;
    let (mut distance, mut shift) = (0_u32, 0);
    for byte in bytes {
        distance |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 != 0 {
            shift += 7;
            (shift <= 21).then_some(())?;
            continue;
        }
        let member = next.checked_add(distance)?;
        (member < records).then(|| to.set(member))?;
        next = member + 1;
        (distance, shift) = (0, 0);
    }
    (shift == 0).then_some(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_is_read_as_it_was_written(records in 1_u32..5000, members in proptest::collection::btree_set(0_u32..5000, 0..600)) {
            let members: BTreeSet<u32> = members.into_iter().filter(|member| *member < records).collect();
            let list: Vec<u32> = members.iter().copied().collect();
            let kept = write(&list, records);
            prop_assert!(kept.len() <= 1 + records.div_ceil(8) as usize);
            let mut bits = Bits::none(records);
            add(&kept, records, &mut bits).unwrap();
            for record in 0..records {
                prop_assert_eq!(bits.has(record), members.contains(&record));
            }
            prop_assert_eq!(bits.is_empty(), members.is_empty());
        }

        #[test]
        fn no_bytes_reach_beyond_the_block(bytes: Vec<u8>, records in 1_u32..300) {
            let mut bits = Bits::none(records);
            let _ = add(&bytes, records, &mut bits);
            let mut within = bits.clone();
            within.keep(&Bits::all(records));
            prop_assert_eq!(within, bits);
        }
    }
}

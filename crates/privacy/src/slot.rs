//! One key in the file of keys: for whom, which month, which purpose, and the key itself, sealed.
//!
//! ```text
//! byte 0     1 for a key, 0 for a place whose key was destroyed
//!      1     length of the purpose
//!      2     month, little endian
//!      4     32 bytes: which subject, by a keyed tag
//!     36     16 bytes: the pseudonym of the subject in that month
//!     52     32 bytes: the purpose; none for the key of commitments
//!     84     61 bytes: the key, sealed and bound to all of the above and to the generation of the file
//! ```
//! A slot lies within one sector of a disk, so that a power cut leaves all of it or nothing.

use lockgate_crypto::mac::{MAC_BYTES, MacKey};
use lockgate_crypto::seal::{SEAL_OVERHEAD_BYTES, SealKey};
use zeroize::Zeroizing;

use crate::month::Month;

/// Size of a slot, and of the header of the file.
pub(crate) const SLOT_BYTES: usize = 256;

/// Longest name of a purpose, in bytes.
pub const PURPOSE_BYTES_MAX: usize = 32;

const HEAD_BYTES: usize = 84;
const SEALED_BYTES: usize = MAC_BYTES + SEAL_OVERHEAD_BYTES;

/// A pseudonym.
pub(crate) type Pseudonym = [u8; 16];

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The subject, by a tag that only the node can make.
    pub(crate) lookup: [u8; MAC_BYTES],
    /// What records of that month call it.
    pub(crate) pseudonym: Pseudonym,
    /// The month.
    pub month: Month,
    /// The purpose; empty for the key of commitments.
    pub purpose: String,
}

impl Held {
    /// What records of that month call the subject.
    #[must_use]
    pub fn pseudonym(&self) -> String {
        lockgate_crypto::digest::hex(&self.pseudonym)
    }

    /// The subject as a tag.
    #[must_use]
    pub fn subject(&self) -> String {
        lockgate_crypto::digest::hex(&self.lookup)
    }

    fn head(&self) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[0] = 1;
        head[1] = u8::try_from(self.purpose.len()).expect("a purpose is short: it was checked");
        head[2..4].copy_from_slice(&self.month.0.to_le_bytes());
        head[4..36].copy_from_slice(&self.lookup);
        head[36..52].copy_from_slice(&self.pseudonym);
        head[52..52 + self.purpose.len()].copy_from_slice(self.purpose.as_bytes());
        head
    }

    /// Reads whose slot it is; none if its key was destroyed, or it is no slot.
    pub(crate) fn read(slot: &[u8; SLOT_BYTES]) -> Option<Self> {
        let length = usize::from(slot[1]).min(PURPOSE_BYTES_MAX);
        let held = Self {
            lookup: slot[4..36].try_into().expect("32 bytes"),
            pseudonym: slot[36..52].try_into().expect("16 bytes"),
            month: Month(u16::from_le_bytes([slot[2], slot[3]])),
            purpose: std::str::from_utf8(&slot[52..52 + length]).ok()?.to_owned(),
        };
        // Only what would be written so counts.
        (slot[..HEAD_BYTES] == held.head()).then_some(held)
    }

    /// Writes the slot.
    pub(crate) fn write(&self, key: &MacKey, master: &SealKey, generation: u64) -> [u8; SLOT_BYTES] {
        let head = self.head();
        let sealed = master.seal(key.reveal(), &bound_to(&head, generation));
        let mut slot = [0; SLOT_BYTES];
        slot[..HEAD_BYTES].copy_from_slice(&head);
        slot[HEAD_BYTES..HEAD_BYTES + SEALED_BYTES].copy_from_slice(&sealed);
        slot
    }
}

/// Opens the key of a slot.
pub(crate) fn open(slot: &[u8; SLOT_BYTES], master: &SealKey, generation: u64) -> Option<MacKey> {
    let sealed = &slot[HEAD_BYTES..HEAD_BYTES + SEALED_BYTES];
    let opened = master.open(sealed, &bound_to(&slot[..HEAD_BYTES], generation)).ok();
    let opened = Zeroizing::new(opened?);
    Some(MacKey::from_bytes(opened.as_slice().try_into().ok()?))
}

fn bound_to(head: &[u8], generation: u64) -> Vec<u8> {
    [b"lockgate.subject-key/1\0".as_slice(), &generation.to_le_bytes(), head].concat()
}

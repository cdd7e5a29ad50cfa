//! The key over all subject keys, and how it is replaced.
//!
//! Whenever keys are destroyed, all that stay are sealed anew under another master key, and the one before is destroyed too:
//! then what a disk, a snapshot or a copy of the file still has of destroyed keys opens with nothing.

use lockgate_crypto::mac::{MAC_BYTES, MacKey};
use lockgate_crypto::seal::SealKey;
use zeroize::Zeroizing;

use crate::PrivacyError;

const MAGIC: &[u8; 4] = b"LGK1";
const BYTES: usize = 4 + MAC_BYTES + 2 * (8 + MAC_BYTES);

/// Where the master key is kept. What is written must be on the disk when the call returns, whole or not at all.
pub trait MasterKey: Send + Sync {
    /// What was written; none before the first time.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, String>;

    /// Keeps this in place of what there was.
    ///
    /// # Errors
    /// Why it cannot be written.
    fn write(&self, bytes: &[u8]) -> Result<(), String>;
}

/// A master key that ends with the process, for logs that do, too.
#[derive(Clone, Debug, Default)]
pub struct InMemory(std::sync::Arc<parking_lot::Mutex<Option<Vec<u8>>>>);

impl MasterKey for InMemory {
    fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        Ok(self.0.lock().clone().map(Zeroizing::new))
    }

    fn write(&self, bytes: &[u8]) -> Result<(), String> {
        *self.0.lock() = Some(bytes.to_vec());
        Ok(())
    }
}

/// A master key with its number. Number 0 is none.
pub(crate) struct Generation {
    pub(crate) number: u64,
    key: MacKey,
}

impl Generation {
    pub(crate) fn after(number: u64) -> Self {
        Self { number: number + 1, key: MacKey::generate() }
    }

    pub(crate) fn sealing(&self) -> SealKey {
        SealKey::from_bytes(self.key.reveal())
    }
}

/// What is kept.
pub(crate) struct Master {
    /// Makes tags of subjects.
    pub(crate) index: MacKey,
    /// What the file of keys is sealed under.
    pub(crate) current: Generation,
    /// What it is about to be sealed under.
    pub(crate) next: Option<Generation>,
}

impl Master {
    pub(crate) fn new() -> Self {
        Self { index: MacKey::generate(), current: Generation::after(0), next: None }
    }

    pub(crate) fn read(holder: &dyn MasterKey) -> Result<Option<Self>, PrivacyError> {
        let Some(bytes) = holder.read().map_err(PrivacyError::MasterKey)? else { return Ok(None) };
        let damaged = || PrivacyError::MasterKey("what is kept of it is damaged".to_owned());
        Self::decode(&bytes).map(Some).ok_or_else(damaged)
    }

    pub(crate) fn write(&self, holder: &dyn MasterKey) -> Result<(), PrivacyError> {
        holder.write(&self.encode()).map_err(PrivacyError::MasterKey)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(self.index.reveal());
        for generation in [Some(&self.current), self.next.as_ref()] {
            bytes.extend_from_slice(&generation.map_or(0, |one| one.number).to_le_bytes());
            bytes.extend_from_slice(generation.map_or(&[0; MAC_BYTES], |one| one.key.reveal()));
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (index, rest) = rest.split_first_chunk::<MAC_BYTES>()?;
        let generation = |bytes: &[u8]| {
            let (number, key) = bytes.split_first_chunk::<8>()?;
            let number = u64::from_le_bytes(*number);
            Some(Generation { number, key: MacKey::from_bytes(key.try_into().ok()?) })
        };
        let (current, next) = rest.split_at_checked(8 + MAC_BYTES)?;
        let (current, next) = (generation(current)?, generation(next)?);
        if magic != MAGIC || current.number == 0 {
            return None;
        }
        let next = Some(next).filter(|next| next.number > 0);
        Some(Self { index: MacKey::from_bytes(index), current, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else_is() {
        let mut master = Master::new();
        for next in [None, Some(Generation::after(1))] {
            master.next = next;
            let bytes = master.encode();
            let read = Master::decode(&bytes).unwrap();
            assert_eq!(read.encode(), bytes);
            for length in 0..bytes.len() {
                assert!(Master::decode(&bytes[..length]).is_none(), "{length}");
            }
            assert!(Master::decode(&[bytes.as_slice(), b"x"].concat()).is_none());
        }
    }
}

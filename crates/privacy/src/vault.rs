//! The file of subject keys: found, made, destroyed.
//!
//! ```text
//! STATE/subjects/keys      a header with a generation, then slots of 256 bytes
//! ```
//! A key that is made is handed to the operating system before the record is that needs it, and brought to the disk behind
//! it, as records are.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use lockgate_crypto::mac::MacKey;
use parking_lot::{Condvar, Mutex};

use crate::PrivacyError;
use crate::master::{Generation, Master, MasterKey};
use crate::month::Month;
use crate::slot::{self, Held, Pseudonym, SLOT_BYTES};
use crate::subject::Subject;

/// Keys that are kept at once, 256 MB of them: a hundred thousand subjects for most of a year. Beyond, records hold sizes
/// alone: nothing that would have to be erased.
pub const KEYS_MAX: usize = 1_000_000;

const MAGIC: &[u8; 24] = b"lockgate.subject-keys/1\n";

/// A step in which keys are destroyed; tests end there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Their places are written over.
    Overwrite,
    /// The next master key is kept beside the one at hand.
    KeepBoth,
    /// All other keys are sealed under it in a new file.
    Rewrite,
    /// That file has taken the place of the old one.
    Replace,
    /// The master key before is destroyed.
    ForgetOld,
}

/// All steps, in their order.
pub const STEPS: [Step; 5] = [Step::Overwrite, Step::KeepBoth, Step::Rewrite, Step::Replace, Step::ForgetOld];

/// The keys of subjects, open for one process.
pub struct Vault {
    shared: Arc<Shared>,
    holder: Box<dyn MasterKey>,
    path: PathBuf,
    syncer: Option<JoinHandle<()>>,
    /// Held by the one process that writes.
    _lock: Option<File>,
}

struct Shared {
    inner: Mutex<Inner>,
    work: Condvar,
}

struct Inner {
    file: Arc<File>,
    master: Master,
    /// Slots in the file, destroyed ones too.
    slots: u64,
    index: HashMap<[u8; 16], u64>,
    /// The same by pseudonym and purpose, for whoever looks alone and opens many.
    names: Option<HashMap<(Pseudonym, String), u64>>,
    is_unsynced: bool,
    is_closing: bool,
    /// A change ended half way, so that what is in memory may not be what is in the file.
    is_stale: bool,
}

/// A key of a subject for a month and a purpose.
pub(crate) struct SubjectKey {
    pub(crate) pseudonym: Pseudonym,
    pub(crate) key: MacKey,
}

impl Vault {
    /// Opens the keys in `folder`, which is made where it is not there, for this process alone.
    ///
    /// # Errors
    /// [`PrivacyError::OtherKeys`] when the file is not the one that belongs to the master key, as after an old one was put
    /// back; [`PrivacyError::Io`] and [`PrivacyError::MasterKey`].
    pub fn open(folder: &Path, holder: Box<dyn MasterKey>) -> Result<Self, PrivacyError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(PrivacyError::io("create", folder))?;
        let lock_path = folder.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(PrivacyError::io("open", &lock_path))?;
        lock.try_lock().map_err(|error| PrivacyError::io("lock", &lock_path)(error.into()))?;
        let path = folder.join("keys");
        let master = match Master::read(&*holder)? {
            Some(master) => master,
            None if path.exists() => return Err(other(&path, "the key over them is gone")),
            None => {
                let master = Master::new();
                master.write(&*holder)?;
                master
            }
        };
        if !path.exists() {
            if master.next.is_some() || master.current.number > 1 {
                return Err(other(&path, "the file is gone"));
            }
            write_file(&path, master.current.number, |_| Ok(()))?;
        }
        let mut inner = Inner::load(&path, master, true)?;
        inner.settle(&path, &*holder)?;
        let shared = Arc::new(Shared { inner: Mutex::new(inner), work: Condvar::new() });
        let of_syncer = Arc::clone(&shared);
        let syncer = std::thread::Builder::new()
            .name("subject-keys".to_owned())
            .spawn(move || of_syncer.sync_until_closed())
            .map_err(PrivacyError::io("start the thread that syncs", &path))?;
        Ok(Self { shared, holder, path, syncer: Some(syncer), _lock: Some(lock) })
    }

    /// Opens the keys for looking alone, beside whoever writes them; none if there are none.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn look(folder: &Path, holder: Box<dyn MasterKey>) -> Result<Option<Self>, PrivacyError> {
        let path = folder.join("keys");
        let Some(mut master) = Master::read(&*holder)? else { return Ok(None) };
        if !path.exists() {
            return Ok(None);
        }
        let number = generation_of(&path)?;
        if let Some(next) = master.next.take_if(|next| next.number == number) {
            master.current = next;
        }
        let mut inner = Inner::load(&path, master, false)?;
        let mut names = HashMap::new();
        inner.each(&path, &mut |at, _, held| {
            names.insert((held.pseudonym, held.purpose), at);
        })?;
        inner.names = Some(names);
        let shared = Arc::new(Shared { inner: Mutex::new(inner), work: Condvar::new() });
        Ok(Some(Self { shared, holder, path, syncer: None, _lock: None }))
    }

    /// The key of a subject for this month and purpose, made where there is none; with its pseudonym in that month.
    pub(crate) fn key(
        &self,
        subject: &Subject,
        purpose: &str,
        month: Month,
    ) -> Result<SubjectKey, PrivacyError> {
        let mut inner = self.shared.inner.lock();
        let lookup = inner.lookup(subject);
        let base = inner
            .find_or_make(&self.path, Held { lookup, pseudonym: random(), month, purpose: String::new() })?;
        let found = match purpose {
            "" => base,
            _ => {
                let held = Held { lookup, pseudonym: base.pseudonym, month, purpose: purpose.to_owned() };
                inner.find_or_make(&self.path, held)?
            }
        };
        if inner.is_unsynced {
            self.shared.work.notify_one();
        }
        Ok(found)
    }

    /// Whether keys were made that are not on the disk yet.
    pub fn is_unsynced(&self) -> bool {
        self.shared.inner.lock().is_unsynced
    }

    /// Waits until all keys are on the disk. Blocks.
    ///
    /// # Errors
    /// [`PrivacyError::Io`].
    pub fn sync(&self) -> Result<(), PrivacyError> {
        let file = Arc::clone(&self.shared.inner.lock().file);
        file.sync_data().map_err(PrivacyError::io("sync", &self.path))
    }

    /// The subject as a tag, in hexadecimal: the same for ever, and of use to this node alone.
    pub fn tag(&self, subject: &Subject) -> String {
        lockgate_crypto::digest::hex(&self.shared.inner.lock().lookup(subject))
    }

    /// All keys of a subject.
    ///
    /// # Errors
    /// [`PrivacyError::Io`].
    pub fn of(&self, subject: &Subject) -> Result<Vec<Held>, PrivacyError> {
        let inner = self.shared.inner.lock();
        let lookup = inner.lookup(subject);
        let mut found = Vec::new();
        inner.each(&self.path, &mut |_, _, held| found.extend((held.lookup == lookup).then_some(held)))?;
        Ok(found)
    }

    /// Every key.
    ///
    /// # Errors
    /// [`PrivacyError::Io`].
    pub fn all(&self) -> Result<Vec<Held>, PrivacyError> {
        let mut found = Vec::new();
        self.shared.inner.lock().each(&self.path, &mut |_, _, held| found.push(held))?;
        Ok(found)
    }

    /// The keys for a purpose under these pseudonyms, in their order; none if one of them is gone.
    pub(crate) fn keys_of(
        &self,
        names: &[Pseudonym],
        purpose: &str,
    ) -> Result<Option<Vec<MacKey>>, PrivacyError> {
        let inner = self.shared.inner.lock();
        let (sealing, generation) = (inner.master.current.sealing(), inner.master.current.number);
        if let Some(index) = &inner.names {
            let key = |name: &Pseudonym| {
                let at = index.get(&(*name, purpose.to_owned()))?;
                let slot = read_slot(&inner.file, *at).ok()?;
                slot::open(&slot, &sealing, generation)
            };
            return Ok(names.iter().map(key).collect());
        }
        let mut keys: Vec<Option<MacKey>> = names.iter().map(|_| None).collect();
        inner.each(&self.path, &mut |_, slot, held| {
            if held.purpose == purpose
                && let Some(at) = names.iter().position(|name| *name == held.pseudonym)
            {
                keys[at] = slot::open(slot, &sealing, generation);
            }
        })?;
        Ok(keys.into_iter().collect())
    }

    /// Destroys keys, durably; says how many. Whatever it is told, all others are sealed under another master key then.
    ///
    /// Where it is ended half way, calling it again with the same question finishes it.
    ///
    /// # Errors
    /// [`PrivacyError::Io`] and [`PrivacyError::MasterKey`]: then some may be left.
    pub fn destroy(
        &self,
        which: &dyn Fn(&Held) -> bool,
        on_step: &dyn Fn(Step),
    ) -> Result<u64, PrivacyError> {
        let mut inner = self.shared.inner.lock();
        inner.is_usable(&self.path)?;
        // Unless it comes to its end, however that is prevented.
        inner.is_stale = true;
        on_step(Step::Overwrite);
        let mut gone = Vec::new();
        inner.each(&self.path, &mut |at, _, held| gone.extend(which(&held).then_some((at, held))))?;
        for (at, held) in &gone {
            let erased = inner.file.write_all_at(&[0; SLOT_BYTES], place(*at));
            erased.map_err(PrivacyError::io("write", &self.path))?;
            let id = inner.id(held);
            inner.index.remove(&id);
        }
        inner.file.sync_all().map_err(PrivacyError::io("sync", &self.path))?;
        inner.replace_master(&self.path, &*self.holder, on_step)?;
        inner.is_stale = false;
        Ok(gone.len() as u64)
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        self.shared.inner.lock().is_closing = true;
        self.shared.work.notify_one();
        if let Some(syncer) = self.syncer.take() {
            // A panic in it has been printed already.
            let _ = syncer.join();
        }
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Shared {
    fn sync_until_closed(&self) {
        let mut inner = self.inner.lock();
        loop {
            while !inner.is_unsynced && !inner.is_closing {
                self.work.wait(&mut inner);
            }
            if !inner.is_unsynced {
                return;
            }
            inner.is_unsynced = false;
            let file = Arc::clone(&inner.file);
            let synced = parking_lot::MutexGuard::unlocked(&mut inner, || file.sync_data());
            if let Err(error) = synced {
                tracing::error!(%error, "the keys of subjects cannot be brought to the disk; a power cut may lose them");
            }
        }
    }
}

impl Inner {
    fn load(path: &Path, master: Master, is_writable: bool) -> Result<Self, PrivacyError> {
        let file = OpenOptions::new().read(true).write(is_writable).open(path);
        let file = Arc::new(file.map_err(PrivacyError::io("open", path))?);
        let length = file.metadata().map_err(PrivacyError::io("look at", path))?.len();
        let slots = (length / SLOT_BYTES as u64).saturating_sub(1);
        if is_writable && length % SLOT_BYTES as u64 != 0 {
            // A power cut left half a slot, of a key that no record on the disk needs.
            file.set_len(place(slots)).map_err(PrivacyError::io("shorten", path))?;
        }
        let mut inner = Self {
            file,
            master,
            slots,
            index: HashMap::new(),
            names: None,
            is_unsynced: false,
            is_closing: false,
            is_stale: false,
        };
        let mut index = HashMap::new();
        inner.each(path, &mut |at, _, held| {
            index.insert(inner.id(&held), at);
        })?;
        inner.index = index;
        Ok(inner)
    }

    /// Finishes what was ended half way: the file says which of two master keys holds.
    fn settle(&mut self, path: &Path, holder: &dyn MasterKey) -> Result<(), PrivacyError> {
        let number = generation_of(path)?;
        let next = self.master.next.take();
        let is_unsettled = next.is_some();
        if let Some(next) = next.filter(|next| next.number == number) {
            self.master.current = next;
        }
        if self.master.current.number != number {
            let why = format!(
                "they are of generation {number}, and the key of that was destroyed; the keys in use are of generation {}",
                self.master.current.number
            );
            return Err(other(path, &why));
        }
        let left = path.with_extension("new");
        match fs::remove_file(&left) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(PrivacyError::io("remove", &left)(error));
            }
            _ => {}
        }
        if is_unsettled { self.master.write(holder) } else { Ok(()) }
    }

    fn replace_master(
        &mut self,
        path: &Path,
        holder: &dyn MasterKey,
        on_step: &dyn Fn(Step),
    ) -> Result<(), PrivacyError> {
        on_step(Step::KeepBoth);
        self.master.next = Some(Generation::after(self.master.current.number));
        self.master.write(holder)?;
        on_step(Step::Rewrite);
        let next = self.master.next.as_ref().expect("it was just made");
        let (old, new) = (self.master.current.sealing(), next.sealing());
        let (from, to) = (self.master.current.number, next.number);
        let mut index = HashMap::new();
        let temporary = write_file(path, to, |file| {
            let mut moved = 0;
            let mut failed = None;
            self.each(path, &mut |_, slot, held| {
                // One that does not open is of no use to anybody.
                let Some(key) = slot::open(slot, &old, from) else { return };
                if failed.is_none() {
                    failed = file.write_all(&held.write(&key, &new, to)).err();
                    index.insert(self.id(&held), moved);
                    moved += 1;
                }
            })?;
            failed.map_or(Ok(()), |error| Err(PrivacyError::io("write", path)(error)))
        });
        temporary?;
        on_step(Step::Replace);
        let file = OpenOptions::new().read(true).write(true).open(path);
        self.file = Arc::new(file.map_err(PrivacyError::io("open", path))?);
        self.slots = index.len() as u64;
        self.index = index;
        on_step(Step::ForgetOld);
        self.master.current = self.master.next.take().expect("it was just made");
        self.master.write(holder)
    }

    fn is_usable(&self, path: &Path) -> Result<(), PrivacyError> {
        match self.is_stale {
            true => Err(other(path, "a change of them ended half way; the next start finishes it")),
            false => Ok(()),
        }
    }

    fn lookup(&self, subject: &Subject) -> [u8; 32] {
        self.master.index.tag(&[b"lockgate.subject/1", subject.kind().as_bytes(), subject.value().as_bytes()])
    }

    /// What a key is found by.
    fn id(&self, held: &Held) -> [u8; 16] {
        let month = held.month.0.to_le_bytes();
        let tag = self.master.index.tag(&[b"lockgate.slot/1", &held.lookup, held.purpose.as_bytes(), &month]);
        tag[..16].try_into().expect("a tag has 32 bytes")
    }

    fn find_or_make(&mut self, path: &Path, held: Held) -> Result<SubjectKey, PrivacyError> {
        self.is_usable(path)?;
        let id = self.id(&held);
        let (sealing, generation) = (self.master.current.sealing(), self.master.current.number);
        if let Some(at) = self.index.get(&id) {
            let slot = read_slot(&self.file, *at).map_err(PrivacyError::io("read", path))?;
            let read = Held::read(&slot).zip(slot::open(&slot, &sealing, generation));
            let (held, key) = read.ok_or_else(|| other(path, "a key was changed"))?;
            return Ok(SubjectKey { pseudonym: held.pseudonym, key });
        }
        if self.index.len() >= KEYS_MAX {
            return Err(PrivacyError::Full { what: "keys of subjects", max: KEYS_MAX });
        }
        let key = MacKey::generate();
        let slot = held.write(&key, &sealing, generation);
        self.file.write_all_at(&slot, place(self.slots)).map_err(PrivacyError::io("write", path))?;
        self.index.insert(id, self.slots);
        self.slots += 1;
        self.is_unsynced = true;
        Ok(SubjectKey { pseudonym: held.pseudonym, key })
    }

    /// Every slot with a key, with its number.
    fn each(
        &self,
        path: &Path,
        visit: &mut dyn FnMut(u64, &[u8; SLOT_BYTES], Held),
    ) -> Result<(), PrivacyError> {
        let file = File::open(path).map_err(PrivacyError::io("open", path))?;
        let mut reader = BufReader::with_capacity(256 << 10, file);
        let mut slot = [0; SLOT_BYTES];
        reader.read_exact(&mut slot).map_err(PrivacyError::io("read", path))?;
        for at in 0..self.slots {
            reader.read_exact(&mut slot).map_err(PrivacyError::io("read", path))?;
            if let Some(held) = Held::read(&slot) {
                visit(at, &slot, held);
            }
        }
        Ok(())
    }
}

fn random() -> Pseudonym {
    let mut bytes = [0; 16];
    lockgate_crypto::random::fill(&mut bytes);
    bytes
}

fn other(path: &Path, why: &str) -> PrivacyError {
    PrivacyError::OtherKeys { path: path.to_owned(), why: why.to_owned() }
}

fn place(slot: u64) -> u64 {
    (slot + 1) * SLOT_BYTES as u64
}

fn read_slot(file: &File, at: u64) -> std::io::Result<[u8; SLOT_BYTES]> {
    let mut slot = [0; SLOT_BYTES];
    file.read_exact_at(&mut slot, place(at))?;
    Ok(slot)
}

/// The generation in the header of the file.
fn generation_of(path: &Path) -> Result<u64, PrivacyError> {
    let mut header = [0; SLOT_BYTES];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.map_err(PrivacyError::io("read", path))?;
    let (magic, rest) = header.split_first_chunk::<24>().expect("a header is longer");
    let number = rest.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)).expect("a header is longer");
    if magic == MAGIC { Ok(number) } else { Err(other(path, "it is no file of subject keys")) }
}

/// Writes a file of this generation whole, in place of the one before.
fn write_file(
    path: &Path,
    generation: u64,
    slots: impl FnOnce(&mut BufWriter<File>) -> Result<(), PrivacyError>,
) -> Result<(), PrivacyError> {
    let temporary = path.with_extension("new");
    let io = |doing| PrivacyError::io(doing, &temporary);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
    let mut file = BufWriter::with_capacity(256 << 10, file.map_err(io("create"))?);
    let mut header = [0; SLOT_BYTES];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    header[MAGIC.len()..MAGIC.len() + 8].copy_from_slice(&generation.to_le_bytes());
    file.write_all(&header).map_err(io("write"))?;
    slots(&mut file)?;
    let file = file.into_inner().map_err(|error| io("write")(error.into_error()))?;
    file.sync_all().map_err(io("sync"))?;
    fs::rename(&temporary, path).map_err(io("rename"))?;
    let folder = path.parent().expect("a file is in a folder");
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(PrivacyError::io("sync", folder))
}

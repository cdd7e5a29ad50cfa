//! Key exchange groups: those of the library, and hybrids composed of two of them.
//!
//! A composed hybrid (RFC 10024, and the construction of draft-ietf-tls-hybrid-design)
//! concatenates shares and secrets of its components in the order of its catalog row, so
//! a new pair needs a row and no code. The secret goes into the TLS 1.3 key schedule,
//! which mixes both halves with the transcript: an attacker must break both.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use rustls::crypto::aws_lc_rs::kx_group;
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};

use crate::catalog::{self, Algorithm};
use crate::graviola;

/// The implementation of a catalog row by one of its providers, if this build and this
/// machine have it.
///
/// Rustls keeps groups as `&'static`, so a composed group is leaked, once a row.
pub(crate) fn implementation(
    row: &'static Algorithm,
    provider: &str,
) -> Option<&'static dyn SupportedKxGroup> {
    if !row.providers.contains(&provider) {
        return None;
    }
    if provider == catalog::GRAVIOLA {
        return graviola::group(row.id);
    }
    if !row.is_composed() {
        return LIBRARY.iter().copied().find(|group| Some(u16::from(group.name())) == row.code_point);
    }
    static COMPOSED_GROUPS: Mutex<BTreeMap<&'static str, &'static Hybrid>> = Mutex::new(BTreeMap::new());
    let mut groups = COMPOSED_GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(group) = groups.get(row.id) {
        return Some(*group);
    }
    let group: &'static Hybrid = Box::leak(Box::new(Hybrid::compose(row)?));
    groups.insert(row.id, group);
    Some(group)
}

/// Named one by one: the library's own lists change their order with its features.
static LIBRARY: &[&dyn SupportedKxGroup] = &[
    kx_group::X25519MLKEM768,
    kx_group::SECP256R1MLKEM768,
    kx_group::MLKEM768,
    kx_group::MLKEM1024,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

const INVALID_SHARE: Error = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);

/// A component of a hybrid with the sizes of its shares, which are what tells where one
/// half ends.
#[derive(Clone, Copy, Debug)]
struct Part {
    group: &'static dyn SupportedKxGroup,
    client_share_bytes: usize,
    server_share_bytes: usize,
    traditional: bool,
}

impl Part {
    fn of(id: &str) -> Option<Self> {
        let row = catalog::find(id)?;
        // X25519: RFC 7748. NIST curves: uncompressed points. ML-KEM: FIPS 203 table 3,
        // where the client sends an encapsulation key and the server a ciphertext.
        let (client_share_bytes, server_share_bytes) = match id {
            "X25519" => (32, 32),
            "secp256r1" => (65, 65),
            "secp384r1" => (97, 97),
            "MLKEM768" => (1184, 1088),
            "MLKEM1024" => (1568, 1568),
            _ => return None,
        };
        Some(Self {
            group: implementation_of_component(row)?,
            client_share_bytes,
            server_share_bytes,
            traditional: !row.is_quantum_safe(),
        })
    }
}

/// Components are never composed themselves, so this does not take the registry's lock.
fn implementation_of_component(row: &'static Algorithm) -> Option<&'static dyn SupportedKxGroup> {
    (!row.is_composed()).then(|| implementation(row, catalog::AWS_LC))?
}

/// Two groups in one: [`SupportedKxGroup`] for a row whose provider is `composed`.
#[derive(Clone, Copy)]
pub(crate) struct Hybrid {
    id: &'static str,
    name: NamedGroup,
    parts: [Part; 2],
}

impl Hybrid {
    /// Builds the group of `row` from its components, whoever else may provide it.
    pub(crate) fn compose(row: &'static Algorithm) -> Option<Self> {
        let [first, second] = row.components else {
            return None;
        };
        Some(Self {
            id: row.id,
            name: NamedGroup::from(row.code_point?),
            parts: [Part::of(first)?, Part::of(second)?],
        })
    }

    fn traditional_index(&self) -> usize {
        usize::from(!self.parts[0].traditional)
    }
}

impl fmt::Debug for Hybrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl SupportedKxGroup for Hybrid {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let [first, second] = self.parts;
        let halves = [first.group.start()?, second.group.start()?];
        let share = [halves[0].pub_key(), halves[1].pub_key()].concat();
        Ok(Box::new(ActiveHybrid { group: *self, halves, share }))
    }

    fn start_and_complete(&self, client_share: &[u8]) -> Result<CompletedKeyExchange, Error> {
        let [first, second] = self.parts;
        let lengths = [first.client_share_bytes, second.client_share_bytes];
        let [first_share, second_share] = split(client_share, lengths)?;
        let first = first.group.start_and_complete(first_share)?;
        let second = second.group.start_and_complete(second_share)?;
        Ok(CompletedKeyExchange {
            group: self.name,
            pub_key: [first.pub_key, second.pub_key].concat(),
            secret: join(&first.secret, &second.secret),
        })
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        self.name
    }

    /// SP 800-227 allows either order, provided that one of the halves is approved; the
    /// stricter reading of SP 800-56C asks it of the first.
    fn fips(&self) -> bool {
        self.parts[0].group.fips()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

/// A hybrid exchange that the client has begun.
struct ActiveHybrid {
    group: Hybrid,
    halves: [Box<dyn ActiveKeyExchange>; 2],
    share: Vec<u8>,
}

impl ActiveKeyExchange for ActiveHybrid {
    fn complete(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
        let lengths = self.group.parts.map(|part| part.server_share_bytes);
        let [first_share, second_share] = split(server_share, lengths)?;
        let [first, second] = self.halves;
        let first = first.complete(first_share)?;
        let second = second.complete(second_share)?;
        Ok(join(&first, &second))
    }

    /// Lets a client that also offers the traditional half send its share for free.
    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        let half = &self.halves[self.group.traditional_index()];
        Some((half.group(), half.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, server_share: &[u8]) -> Result<SharedSecret, Error> {
        let traditional = self.group.traditional_index();
        let [first, second] = self.halves;
        let half = if traditional == 0 { first } else { second };
        half.complete(server_share)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        self.group.name
    }
}

/// Cuts a share into its halves, which must fill it exactly.
fn split(share: &[u8], lengths: [usize; 2]) -> Result<[&[u8]; 2], Error> {
    let (first, second) = share
        .split_at_checked(lengths[0])
        .filter(|(_, second)| second.len() == lengths[1])
        .ok_or(INVALID_SHARE)?;
    Ok([first, second])
}

/// Concatenates two secrets; `SharedSecret` wipes all three buffers.
fn join(first: &SharedSecret, second: &SharedSecret) -> SharedSecret {
    SharedSecret::from([first.secret_bytes(), second.secret_bytes()].concat())
}

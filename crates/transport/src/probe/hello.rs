//! Raw ClientHellos (RFC 9846 section 4.1.2; RFC 5246 section 7.4.1.2), which ask one question each.
//!
//! No handshake is ever finished by one of these, so that nothing secret is in them. A ClientHello without key
//! shares is a question by itself: a server of TLS 1.3 that has a group in common answers with a HelloRetryRequest
//! that names it (section 4.3.8), and pays for no key exchange.

use lockgate_crypto::random;

/// TLS 1.3.
pub(super) const TLS13: u16 = 0x0304;
/// TLS 1.2.
pub(super) const TLS12: u16 = 0x0303;

/// `TLS_FALLBACK_SCSV` (RFC 7507): "I tried a newer version before".
pub(super) const FALLBACK: u16 = 0x5600;

/// Values that no standard will ever assign (RFC 8701). Each place gets one of its own.
const GREASE: [u16; 6] = [0x0a0a, 0x1a1a, 0x2a2a, 0x3a3a, 0x4a4a, 0x5a5a];

/// A share for a group that no server has: it keeps servers that want at least one share from refusing.
pub(super) fn grease_share() -> (u16, Vec<u8>) {
    (GREASE[0], vec![0])
}

/// What a ClientHello offers. Lists are in order of preference.
#[derive(Debug, Clone, Default)]
pub(super) struct Hello {
    /// Host name for the server_name extension.
    pub(super) name: Option<String>,
    /// Versions for the supported_versions extension; if none is TLS 1.3, the highest goes into the message itself
    /// instead, as an older client has it.
    pub(super) versions: Vec<u16>,
    /// Cipher suites.
    pub(super) ciphers: Vec<u16>,
    /// Named groups.
    pub(super) groups: Vec<u16>,
    /// Signature schemes.
    pub(super) signatures: Vec<u16>,
    /// Key shares by group.
    pub(super) shares: Vec<(u16, Vec<u8>)>,
    /// Where to put values that nobody knows.
    pub(super) grease: Vec<Place>,
}

/// A place in a ClientHello that servers must pass over what they do not know in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Ciphers,
    Extensions,
    Versions,
    Groups,
    Signatures,
    Shares,
}

impl Place {
    pub(super) const ALL: [Self; 6] =
        [Self::Ciphers, Self::Extensions, Self::Versions, Self::Groups, Self::Signatures, Self::Shares];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ciphers => "cipher suites",
            Self::Extensions => "extensions",
            Self::Versions => "versions",
            Self::Groups => "groups",
            Self::Signatures => "signatures",
            Self::Shares => "key shares",
        }
    }
}

impl Hello {
    fn is_tls13(&self) -> bool {
        self.versions.contains(&TLS13)
    }

    /// The message in one record.
    pub(super) fn to_record(&self) -> Vec<u8> {
        let message = self.to_message();
        // RFC 9846 section 5.1: an initial ClientHello may say TLS 1.0 here, for the sake of old middleboxes.
        let mut record = vec![22, 3, 1];
        block(&mut record, |record| record.extend(message));
        record
    }

    fn to_message(&self) -> Vec<u8> {
        let legacy = self.versions.iter().copied().max().unwrap_or(TLS12).min(TLS12);
        let mut random = [0; 64];
        random::fill(&mut random);
        let mut body = legacy.to_be_bytes().to_vec();
        body.extend(&random[..32]);
        // A session id that means nothing, which middleboxes of TLS 1.2 like to see (appendix E.4).
        body.push(32);
        body.extend(&random[32..]);
        block(&mut body, |body| numbers(body, &self.greased(Place::Ciphers, &self.ciphers)));
        body.extend([1, 0]); // no compression
        block(&mut body, |body| self.extensions(body));
        let mut message = vec![1, 0];
        block(&mut message, |message| message.extend(body));
        message
    }

    fn extensions(&self, out: &mut Vec<u8>) {
        if self.grease.contains(&Place::Extensions) {
            extension(out, GREASE[1], |_| {});
        }
        if let Some(name) = &self.name {
            extension(out, 0, |out| {
                block(out, |out| {
                    out.push(0);
                    block(out, |out| out.extend(name.as_bytes()));
                });
            });
        }
        let groups = self.greased(Place::Groups, &self.groups);
        extension(out, 10, |out| block(out, |out| numbers(out, &groups)));
        let signatures = self.greased(Place::Signatures, &self.signatures);
        extension(out, 13, |out| block(out, |out| numbers(out, &signatures)));
        if self.versions.iter().any(|version| *version <= TLS12) {
            extension(out, 11, |out| out.extend([1, 0])); // uncompressed points
            extension(out, 23, |_| {}); // extended master secret
            extension(out, 0xff01, |out| out.push(0)); // first negotiation
        }
        if self.is_tls13() {
            extension(out, 45, |out| out.extend([1, 1])); // psk_dhe_ke
            let versions = self.greased(Place::Versions, &self.versions);
            extension(out, 43, |out| {
                out.push(u8::try_from(versions.len() * 2).unwrap_or(u8::MAX));
                numbers(out, &versions);
            });
            let mut shares = self.shares.clone();
            if self.grease.contains(&Place::Shares) && !shares.contains(&grease_share()) {
                shares.insert(0, grease_share());
            }
            extension(out, 51, |out| {
                block(out, |out| {
                    for (group, share) in &shares {
                        numbers(out, &[*group]);
                        block(out, |out| out.extend(share));
                    }
                });
            });
        }
        if self.grease.contains(&Place::Extensions) {
            extension(out, GREASE[2], |out| out.push(0));
        }
    }

    fn greased(&self, place: Place, list: &[u16]) -> Vec<u16> {
        let value = match place {
            // A group that is shared must be offered too.
            Place::Groups | Place::Shares | Place::Extensions => GREASE[0],
            Place::Ciphers => GREASE[3],
            Place::Versions => GREASE[4],
            Place::Signatures => GREASE[5],
        };
        let shared = place == Place::Groups
            && (self.grease.contains(&Place::Shares) || self.shares.contains(&grease_share()));
        let first = (shared || self.grease.contains(&place)).then_some(value);
        first.into_iter().chain(list.iter().copied()).collect()
    }
}

fn extension(out: &mut Vec<u8>, kind: u16, content: impl FnOnce(&mut Vec<u8>)) {
    out.extend(kind.to_be_bytes());
    block(out, content);
}

fn numbers(out: &mut Vec<u8>, numbers: &[u16]) {
    out.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
}

/// Writes content after its length in two bytes.
fn block(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend([0, 0]);
    content(out);
    let length = u16::try_from(out.len() - at - 2).expect("a probe's hello is a few kilobytes");
    out[at..at + 2].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use lockgate_crypto::{Kind, catalog};
    use rustls::server::Acceptor;

    use super::*;

    fn code_points(kind: Kind) -> Vec<u16> {
        catalog::all().iter().filter(|row| row.kind == kind).filter_map(|row| row.code_point).collect()
    }

    fn full() -> Hello {
        Hello {
            name: Some("gw.example".to_owned()),
            versions: vec![TLS13, TLS12],
            ciphers: code_points(Kind::Cipher),
            groups: code_points(Kind::Group),
            signatures: code_points(Kind::Signature),
            ..Hello::default()
        }
    }

    /// Reads a hello with a parser that others wrote, and gives the groups and schemes that it saw.
    fn seen(hello: &Hello) -> (Vec<u16>, Vec<u16>, Option<String>) {
        let mut acceptor = Acceptor::default();
        let record = hello.to_record();
        let read = acceptor.read_tls(&mut record.as_slice()).unwrap();
        assert_eq!(read, record.len());
        let accepted = acceptor.accept().unwrap_or_else(|(error, _)| panic!("{error}")).unwrap();
        let hello = accepted.client_hello();
        let groups = hello.named_groups().unwrap_or_default().iter().map(|group| u16::from(*group));
        let schemes = hello.signature_schemes().iter().map(|scheme| u16::from(*scheme));
        (groups.collect(), schemes.collect(), hello.server_name().map(str::to_owned))
    }

    #[test]
    fn an_independent_parser_reads_what_was_offered() {
        let hello = full();
        let (groups, schemes, name) = seen(&hello);
        assert_eq!((groups, schemes), (hello.groups.clone(), hello.signatures.clone()));
        assert_eq!(name, hello.name);
        let shared = Hello { shares: vec![(hello.groups[0], vec![4; 1216])], name: None, ..hello };
        assert_eq!(seen(&shared).2, None);
    }

    #[test]
    fn each_place_takes_a_value_that_nobody_knows() {
        let plain = full();
        for place in Place::ALL {
            let greased = Hello { grease: vec![place], ..full() };
            assert!(greased.to_record().len() > plain.to_record().len(), "{}", place.name());
            seen(&greased);
        }
        let (groups, schemes, _) = seen(&Hello { grease: Place::ALL.to_vec(), ..full() });
        assert_eq!((groups[0], schemes[0]), (GREASE[0], GREASE[5]));
        // A share's group stands in the list of groups, whoever asked for it.
        let shared = Hello { shares: vec![grease_share()], ..full() };
        assert_eq!(seen(&shared).0[0], GREASE[0]);
    }

    #[test]
    fn an_older_hello_says_its_version_the_old_way() {
        let old = Hello { versions: vec![0x0302], ..full() };
        let record = old.to_record();
        assert_eq!(record[9..11], [3, 2]);
    }
}

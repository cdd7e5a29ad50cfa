//! Questions that a raw hello asks.

use lockgate_crypto::{Algorithm, Kind, probe_provider};

use super::ProbeError;
use super::catalogued::{self, is_safe_group};
use super::hello::{FALLBACK, Hello, Place, TLS12, TLS13, grease_share};
use super::order;
use super::report::{Answer, Moved, Order, Tolerance, TraditionalShare, Version, Whose};
use super::target::{Reply, Target};
use super::wire::{Retry, ServerAnswer, ServerHello};

/// Cipher suites of TLS 1.2 and older that servers of today may still have, by number: ECDHE with AEAD, RSA with
/// AEAD, ECDHE and RSA with CBC. They are only for finding out whether an older version is spoken.
const OLD_CIPHERS: [u16; 16] = [
    0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9, 0x009c, 0x009d, 0xc009, 0xc00a, 0xc013, 0xc014, 0x002f,
    0x0035, 0x003c, 0x000a,
];
/// Versions that are asked about, the newest first.
const VERSIONS: [(u16, &str); 4] =
    [(TLS13, "TLSv1.3"), (TLS12, "TLSv1.2"), (0x0302, "TLSv1.1"), (0x0301, "TLSv1.0")];

/// Asks one endpoint, and remembers what later questions build on.
pub(super) struct Questions<'a> {
    target: Target<'a>,
    tls13: bool,
    /// Shares that every hello carries: none, or a meaningless one for servers that insist on one.
    shares: Vec<(u16, Vec<u8>)>,
}

/// A row of the catalog with what the server said to it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) row: &'static Algorithm,
    pub(super) answer: Answer,
}

/// An order of preference by code points.
#[derive(Debug)]
pub(super) struct Preference {
    whose: Whose,
    pub(super) points: Vec<u16>,
}

impl Preference {
    pub(super) fn named(&self, kind: Kind) -> Order {
        let order = self.points.iter().map(|point| catalogued::name(kind, *point)).collect();
        Order { whose: self.whose, order }
    }
}

impl<'a> Questions<'a> {
    pub(super) fn new(target: Target<'a>) -> Self {
        Self { target, tls13: false, shares: Vec::new() }
    }

    pub(super) fn into_target(self) -> Target<'a> {
        self.target
    }

    pub(super) fn speaks_tls13(&self) -> bool {
        self.tls13
    }

    /// A hello of TLS 1.3 that offers everything, and no share.
    fn hello(&self) -> Hello {
        let mut groups = catalogued::points(&catalogued::rows(Kind::Group));
        groups.extend(catalogued::unknown_groups());
        Hello {
            name: self.target.dns_name(),
            versions: vec![TLS13],
            ciphers: catalogued::points(&catalogued::rows(Kind::Cipher)),
            groups,
            signatures: catalogued::schemes(),
            shares: self.shares.clone(),
            grease: Vec::new(),
        }
    }

    /// Finds out whether there is a TLS server at all, by a hello that nobody has a reason to refuse.
    pub(super) async fn first(&mut self) -> Result<(), ProbeError> {
        let mut hello = self.hello();
        hello.versions.push(TLS12);
        hello.ciphers.extend(OLD_CIPHERS);
        let said = match self.target.ask(&hello).await? {
            Reply::Answer(_) => return Ok(()),
            Reply::Malformed(malformed) => malformed.to_string(),
            Reply::Closed => "it closes the connection on a TLS handshake without an answer".to_owned(),
            Reply::Silent => "it does not answer a TLS handshake".to_owned(),
        };
        Err(ProbeError::NotTls { host: self.target.host.clone(), port: self.target.port, said })
    }

    pub(super) async fn versions(&mut self) -> Result<Vec<Version>, ProbeError> {
        let mut versions = Vec::new();
        for (version, name) in VERSIONS {
            let hello = self.hello_of(version);
            let mut reply = self.target.ask(&hello).await?;
            if version == TLS13 && !is_of_tls13(&reply) {
                self.shares = vec![grease_share()];
                reply = self.target.ask(&Hello { shares: self.shares.clone(), ..hello }).await?;
            }
            let (mut answer, chosen) = self.read(reply);
            let spoken = chosen.as_ref().is_some_and(|chosen| chosen.version == version);
            if answer.is_yes() && !spoken {
                answer = Answer::No { alert: None };
            }
            let chosen = chosen.filter(|_| spoken);
            if version == TLS13 {
                self.tls13 = spoken;
            }
            versions.push(Version {
                version: name.to_owned(),
                answer,
                sentinel: chosen
                    .as_ref()
                    .filter(|_| self.tls13 && version != TLS13)
                    .map(|chosen| chosen.downgraded),
                cipher: chosen.map(|chosen| catalogued::name(Kind::Cipher, chosen.cipher)),
            });
        }
        if !self.tls13 {
            self.shares.clear();
        }
        Ok(versions)
    }

    fn hello_of(&self, version: u16) -> Hello {
        let hello = self.hello();
        if version == TLS13 {
            return hello;
        }
        Hello { versions: vec![version], ciphers: OLD_CIPHERS.to_vec(), shares: Vec::new(), ..hello }
    }

    /// Whether a client that fell back is told so.
    pub(super) async fn fallback(&mut self, versions: &[Version]) -> Result<Option<bool>, ProbeError> {
        let spoken: Vec<_> = versions.iter().filter(|version| version.answer.is_yes()).collect();
        let [_, second, ..] = spoken[..] else { return Ok(None) };
        let Some((version, _)) = VERSIONS.into_iter().find(|(_, name)| *name == second.version) else {
            return Ok(None);
        };
        let mut hello = self.hello_of(version);
        hello.ciphers.push(FALLBACK);
        let reply = self.target.ask(&hello).await?;
        Ok(match self.read(reply).0 {
            Answer::Yes => Some(false),
            Answer::No { .. } => Some(true),
            Answer::Unclear { .. } => None,
        })
    }

    /// Each group alone.
    pub(super) async fn groups(&mut self) -> Result<Vec<Found>, ProbeError> {
        self.alone(Kind::Group).await
    }

    /// Each cipher suite alone.
    pub(super) async fn ciphers(&mut self) -> Result<Vec<Found>, ProbeError> {
        self.alone(Kind::Cipher).await
    }

    async fn alone(&mut self, kind: Kind) -> Result<Vec<Found>, ProbeError> {
        let mut found = Vec::new();
        for row in catalogued::rows(kind) {
            let answer = match row.code_point {
                Some(point) if self.tls13 => self.offer(kind, &[point]).await?.0,
                _ => Answer::unclear("the server does not speak TLS 1.3"),
            };
            found.push(Found { row, answer });
        }
        Ok(found)
    }

    pub(super) async fn group_order(&mut self, found: &[Found]) -> Result<Preference, ProbeError> {
        self.preference(Kind::Group, found).await
    }

    pub(super) async fn cipher_order(&mut self, found: &[Found]) -> Result<Preference, ProbeError> {
        self.preference(Kind::Cipher, found).await
    }

    async fn preference(&mut self, kind: Kind, found: &[Found]) -> Result<Preference, ProbeError> {
        let listed = catalogued::points(&supported(found));
        let reversed: Vec<u16> = listed.iter().rev().copied().collect();
        let forwards = self.eliminate(kind, &listed).await?;
        let backwards = self.eliminate(kind, &reversed).await?;
        let is_safe = |point| kind == Kind::Group && is_safe_group(point);
        Ok(Preference { whose: order::whose(&listed, &forwards, &backwards, is_safe), points: forwards })
    }

    /// What the server chooses out of the list, then out of the rest, and so on. Ends early where it chooses nothing.
    async fn eliminate(&mut self, kind: Kind, listed: &[u16]) -> Result<Vec<u16>, ProbeError> {
        let (mut left, mut chosen) = (listed.to_vec(), Vec::new());
        while left.len() > 1 {
            let Some(point) = self.offer(kind, &left).await?.1 else { return Ok(chosen) };
            left.retain(|other| *other != point);
            chosen.push(point);
        }
        chosen.extend(left);
        Ok(chosen)
    }

    /// Groups that the catalog does not know, all at once and what is left again.
    pub(super) async fn unknown_groups(&mut self) -> Result<Vec<String>, ProbeError> {
        let (mut left, mut chosen) = (catalogued::unknown_groups(), Vec::new());
        while self.tls13 && !left.is_empty() {
            let Some(point) = self.offer(Kind::Group, &left).await?.1 else { break };
            left.retain(|other| *other != point);
            chosen.push(catalogued::name(Kind::Group, point));
        }
        Ok(chosen)
    }

    /// Offers groups or cipher suites, and gives the one chosen if it is one of them.
    async fn offer(&mut self, kind: Kind, points: &[u16]) -> Result<(Answer, Option<u16>), ProbeError> {
        let mut hello = self.hello();
        match kind {
            Kind::Cipher => hello.ciphers = points.to_vec(),
            _ => hello.groups = points.to_vec(),
        }
        let reply = self.target.ask(&hello).await?;
        let (answer, chosen) = self.read(reply);
        let point = chosen.and_then(|chosen| match kind {
            Kind::Cipher => Some(chosen.cipher),
            _ => chosen.group,
        });
        Ok(match (answer, point) {
            (Answer::Yes, Some(point)) if points.contains(&point) => (Answer::Yes, Some(point)),
            (Answer::Yes, Some(point)) => (
                Answer::unclear(format!("it chose {}, which was not offered", catalogued::name(kind, point))),
                None,
            ),
            (Answer::Yes, None) => (Answer::unclear("it named no choice"), None),
            (answer, _) => (answer, None),
        })
    }

    /// What becomes of a client that shares a traditional group.
    pub(super) async fn traditional_share(
        &mut self,
        found: &[Found],
    ) -> Result<Option<TraditionalShare>, ProbeError> {
        let (safe, traditional): (Vec<_>, Vec<_>) =
            supported(found).into_iter().partition(|row| row.is_quantum_safe());
        let Some((shared, share)) = traditional.into_iter().find_map(|row| Some((row, share(row)?))) else {
            return Ok(None);
        };
        if safe.is_empty() {
            return Ok(None);
        }
        let safe = catalogued::points(&safe);
        let listed_first = self.moved([&[share.0], &safe[..]].concat(), &share).await?;
        let listed_last = self.moved([&safe[..], &[share.0]].concat(), &share).await?;
        Ok(Some(TraditionalShare { shared: shared.id.to_owned(), listed_first, listed_last }))
    }

    async fn moved(&mut self, groups: Vec<u16>, share: &(u16, Vec<u8>)) -> Result<Moved, ProbeError> {
        let hello = Hello { groups, shares: vec![share.clone()], ..self.hello() };
        let reply = self.target.ask(&hello).await?;
        let (answer, chosen) = self.read(reply);
        Ok(match (answer, chosen.and_then(|chosen| chosen.group)) {
            (Answer::Yes, Some(point)) => {
                let group = catalogued::name(Kind::Group, point);
                if is_safe_group(point) { Moved::QuantumSafe { group } } else { Moved::Traditional { group } }
            }
            (Answer::No { alert }, _) => {
                Moved::Unclear { why: alert.unwrap_or_else(|| "it closed the connection".to_owned()) }
            }
            (Answer::Unclear { why }, _) => Moved::Unclear { why },
            (Answer::Yes, None) => Moved::Unclear { why: "it named no group".to_owned() },
        })
    }

    /// What the server stands.
    pub(super) async fn tolerance(&mut self, found: &[Found]) -> Result<Tolerance, ProbeError> {
        if !self.tls13 {
            let unclear = || Answer::unclear("the server does not speak TLS 1.3");
            return Ok(Tolerance {
                unknown_values: unclear(),
                intolerant_of: Vec::new(),
                large_hello: unclear(),
                split_hello: unclear(),
                large_hello_bytes: 0,
            });
        }
        let unknown_values = self.greased(Place::ALL.to_vec()).await?;
        let mut intolerant_of = Vec::new();
        for place in Place::ALL {
            if !unknown_values.is_yes() && !self.greased(vec![place]).await?.is_yes() {
                intolerant_of.push(place.name().to_owned());
            }
        }
        let record = self.large_hello(found).map(|hello| hello.to_record());
        let (large_hello, split_hello) = match &record {
            None => {
                let unclear = || Answer::unclear("this build has no large share");
                (unclear(), unclear())
            }
            Some(record) => {
                let (first, second) = record.split_at(record.len() / 2);
                let whole = self.target.ask_in(&[record]).await?;
                let split = self.target.ask_in(&[first, second]).await?;
                (self.read(whole).0, self.read(split).0)
            }
        };
        let large_hello_bytes = record.map_or(0, |record| record.len() as u64);
        Ok(Tolerance { unknown_values, intolerant_of, large_hello, split_hello, large_hello_bytes })
    }

    async fn greased(&mut self, grease: Vec<Place>) -> Result<Answer, ProbeError> {
        let hello = Hello { grease, ..self.hello() };
        let reply = self.target.ask(&hello).await?;
        Ok(self.read(reply).0)
    }

    /// A hello with the largest share that today's clients send: of the first quantum-safe group that the server
    /// supports, else of the catalog's first, beside the groups that it does support.
    fn large_hello(&self, found: &[Found]) -> Option<Hello> {
        let supported = supported(found);
        let safe = supported.iter().copied().chain(found.iter().map(|found| found.row));
        let share = safe.filter(|row| row.is_quantum_safe()).find_map(share)?;
        let mut groups = vec![share.0];
        groups.extend(catalogued::points(&supported).into_iter().filter(|point| *point != share.0));
        Some(Hello { groups, shares: vec![share], ..self.hello() })
    }

    /// A reply as an answer, and what was chosen in it.
    fn read(&self, reply: Reply) -> (Answer, Option<Chosen>) {
        match reply {
            Reply::Answer(ServerAnswer::Hello(ServerHello { version, cipher, group, sentinel })) => {
                (Answer::Yes, Some(Chosen { version, cipher, group, downgraded: sentinel.is_some() }))
            }
            Reply::Answer(ServerAnswer::Retry(Retry { version, cipher, group })) => {
                (Answer::Yes, Some(Chosen { version, cipher, group, downgraded: false }))
            }
            Reply::Answer(ServerAnswer::Alert(alert)) => (Answer::No { alert: Some(alert.name()) }, None),
            Reply::Closed => (Answer::No { alert: None }, None),
            Reply::Silent => {
                let why = format!("no answer within {} ms", self.target.limits.answer_ms_max);
                (Answer::unclear(why), None)
            }
            Reply::Malformed(malformed) => (Answer::unclear(malformed.to_string()), None),
        }
    }
}

/// What a server chose.
#[derive(Debug)]
struct Chosen {
    version: u16,
    cipher: u16,
    group: Option<u16>,
    downgraded: bool,
}

fn is_of_tls13(reply: &Reply) -> bool {
    match reply {
        Reply::Answer(ServerAnswer::Hello(hello)) => hello.version == TLS13,
        Reply::Answer(ServerAnswer::Retry(retry)) => retry.version == TLS13,
        _ => false,
    }
}

fn supported(found: &[Found]) -> Vec<&'static Algorithm> {
    found.iter().filter(|found| found.answer.is_yes()).map(|found| found.row).collect()
}

/// A real share of a group, if this build has it.
fn share(row: &'static Algorithm) -> Option<(u16, Vec<u8>)> {
    let provider = probe_provider(&[row], &[]);
    let exchange = provider.kx_groups.first()?.start().ok()?;
    Some((row.code_point?, exchange.pub_key().to_vec()))
}

//! The steps of a probe, in order, and how their findings become a report.

use lockgate_crypto::{Algorithm, Kind, probe_provider};

use super::handshake::{Client, Done, Outcome};
use super::questions::{Found, Questions};
use super::report::{
    Answer, Chain, ClientCertificate, Group, Handshake, Protocol, QuantumSafe, Report, Resumption, SCHEMA,
    Signature,
};
use super::target::Target;
use super::{ProbeError, Step, catalogued, chain, verdict};
use crate::link::Alpn;

/// Full handshakes of the same kind: enough to see whether the first one was an exception.
const HANDSHAKES: u32 = 3;
/// Distinct chains that are kept.
const CHAINS_MAX: usize = 8;

/// Counts steps aloud.
struct Steps<'a, P: Fn(Step)> {
    progress: &'a P,
    number: u32,
}

impl<P: Fn(Step)> Steps<'_, P> {
    fn next(&mut self, what: &'static str) {
        self.number += 1;
        (self.progress)(Step { number: self.number, what });
    }
}

/// Asks everything.
pub(super) async fn run(target: Target<'_>, progress: &impl Fn(Step)) -> Result<Report, ProbeError> {
    let mut steps = Steps { progress, number: 0 };
    let mut ask = Questions::new(target);

    steps.next("protocol versions");
    ask.first().await?;
    let versions = ask.versions().await?;
    let fallback_refused = ask.fallback(&versions).await?;
    steps.next("key exchange groups, one by one");
    let groups = ask.groups().await?;
    steps.next("whose order of groups decides");
    let group_order = ask.group_order(&groups).await?;
    let groups_unknown = ask.unknown_groups().await?;
    steps.next("cipher suites");
    let ciphers = ask.ciphers().await?;
    let cipher_order = ask.cipher_order(&ciphers).await?;
    steps.next("clients that share a traditional group");
    let traditional_share = ask.traditional_share(&groups).await?;
    steps.next("unknown values, large and split hellos");
    let tolerance = ask.tolerance(&groups).await?;

    let (supported, tls13) = (usable(&groups, &group_order.points), ask.speaks_tls13());
    let mut target = ask.into_target();
    let mut dial = Handshakes { target: &mut target, groups: supported, tls13, chains: Vec::new() };
    steps.next("full handshakes, resumption, client certificates");
    let handshakes = dial.plain().await?;
    let (client_certificate, resumption) = dial.resumption().await?;
    steps.next("a full handshake with each group");
    let groups = dial.groups(groups).await?;
    steps.next("signatures, one by one");
    let signatures = dial.signatures().await?;
    steps.next("application protocols");
    let alpn = dial.alpn().await?;
    let chains = dial.chains;

    let mut report = Report {
        schema: SCHEMA.to_owned(),
        name: target.dns_name(),
        at_ms: chain::since_1970_ms(target.began),
        took_ms: u64::try_from(target.since.elapsed().as_millis()).unwrap_or(u64::MAX),
        connections: target.connections,
        quantum_safe: QuantumSafe {
            key_exchange: groups.iter().any(|group| group.offer.is_agreed_and_quantum_safe()),
            authentication: signatures.iter().any(|signature| signature.offer.is_agreed_and_quantum_safe()),
        },
        verdicts: Vec::new(),
        versions,
        fallback_refused,
        groups,
        group_order: group_order.named(Kind::Group),
        groups_unknown,
        traditional_share,
        ciphers: ciphers.into_iter().map(|found| catalogued::offer(found.row, found.answer)).collect(),
        cipher_order: cipher_order.named(Kind::Cipher),
        signatures,
        chains,
        alpn,
        client_certificate,
        resumption,
        tolerance,
        handshakes,
        address: target.address,
        port: target.port,
        host: target.host,
    };
    report.verdicts = verdict::of(&report);
    Ok(report)
}

/// Groups that the server supports and this build has, those first that the server takes first.
fn usable(groups: &[Found], order: &[u16]) -> Vec<&'static Algorithm> {
    let mut rows: Vec<_> =
        groups.iter().filter(|found| found.answer.is_yes()).map(|found| found.row).collect();
    rows.sort_by_key(|row| {
        order.iter().position(|point| Some(*point) == row.code_point).unwrap_or(order.len())
    });
    rows.retain(|row| !probe_provider(&[row], &[]).kx_groups.is_empty());
    rows
}

/// The part of a probe that makes real handshakes.
struct Handshakes<'t, 'l> {
    target: &'t mut Target<'l>,
    groups: Vec<&'static Algorithm>,
    tls13: bool,
    chains: Vec<Chain>,
}

impl Handshakes<'_, '_> {
    /// Why no handshake can be made at all.
    fn hindrance(&self) -> Option<&'static str> {
        match (self.tls13, self.groups.is_empty()) {
            (false, _) => Some("the server does not speak TLS 1.3"),
            (true, true) => Some("no group of the catalog is supported"),
            (true, false) => None,
        }
    }

    fn client(&self, protocols: &[Alpn], resumes: bool) -> Option<Client> {
        if self.hindrance().is_some() {
            return None;
        }
        Client::new(&self.groups, &catalogued::rows(Kind::Signature), protocols, resumes).ok()
    }

    /// Full handshakes that offer everything.
    async fn plain(&mut self) -> Result<Vec<Handshake>, ProbeError> {
        let mut handshakes = Vec::new();
        let Some(client) = self.client(Alpn::ALL, false) else { return Ok(handshakes) };
        for _ in 0..HANDSHAKES {
            if let Outcome::Done(done) = client.handshake(self.target).await? {
                handshakes.push(self.take(*done).0);
            }
        }
        Ok(handshakes)
    }

    /// Waits for tickets after one handshake, and uses one in the next.
    async fn resumption(&mut self) -> Result<(Option<ClientCertificate>, Option<Resumption>), ProbeError> {
        let Some(client) = self.client(Alpn::ALL, true) else { return Ok((None, None)) };
        let Outcome::Done(first) = client.settle(self.target).await? else { return Ok((None, None)) };
        let mut resumption = Resumption { tickets: first.tickets, resumed: None, handshake: None };
        if first.tickets > 0 {
            resumption.resumed = Some(false);
            if let Outcome::Done(second) = client.handshake(self.target).await?
                && second.resumed
            {
                resumption.resumed = Some(true);
                resumption.handshake = Some(second.handshake);
            }
        }
        Ok((Some(first.client_certificate), Some(resumption)))
    }

    async fn groups(&mut self, found: Vec<Found>) -> Result<Vec<Group>, ProbeError> {
        let mut groups = Vec::new();
        for Found { row, answer } in found {
            let mut handshake = None;
            if answer.is_yes()
                && let Ok(client) = Client::new(&[row], &catalogued::rows(Kind::Signature), Alpn::ALL, false)
                && let Outcome::Done(done) = client.handshake(self.target).await?
            {
                handshake = Some(self.take(*done).0);
            }
            groups.push(Group { offer: catalogued::offer(row, answer), handshake });
        }
        Ok(groups)
    }

    async fn signatures(&mut self) -> Result<Vec<Signature>, ProbeError> {
        let mut signatures = Vec::new();
        for row in catalogued::rows(Kind::Signature) {
            let client = match self.hindrance() {
                Some(why) => Err(why.to_owned()),
                None => Client::new(&self.groups, &[row], Alpn::ALL, false),
            };
            let (answer, leaf) = match client {
                Err(why) => (Answer::unclear(why), None),
                Ok(client) => match client.handshake(self.target).await? {
                    Outcome::Done(done) => (Answer::Yes, self.take(*done).1),
                    other => (other.answer(), None),
                },
            };
            signatures.push(Signature { offer: catalogued::offer(row, answer), leaf });
        }
        Ok(signatures)
    }

    async fn alpn(&mut self) -> Result<Vec<Protocol>, ProbeError> {
        let mut protocols = Vec::new();
        for protocol in Alpn::ALL {
            let Some(client) = self.client(&[*protocol], false) else { continue };
            let outcome = client.handshake(self.target).await?;
            let answer = match &outcome {
                Outcome::Done(done) if done.alpn != Some(*protocol) => Answer::No { alert: None },
                other => other.answer(),
            };
            protocols.push(Protocol { name: protocol.as_str().to_owned(), answer });
        }
        Ok(protocols)
    }

    /// The facts of a handshake, and the fingerprint of the leaf; its chain is kept if it is new.
    fn take(&mut self, done: Done) -> (Handshake, Option<String>) {
        let fingerprint = done.chain.as_ref().map(|chain| chain.fingerprint.clone());
        if let Some(chain) = done.chain
            && self.chains.len() < CHAINS_MAX
            && self.chains.iter().all(|kept| kept.fingerprint != chain.fingerprint)
        {
            self.chains.push(chain);
        }
        (done.handshake, fingerprint)
    }
}

//! `lockgate crypto probe`: what a TLS endpoint supports, asked from outside.

use std::io::{IsTerminal as _, Write as _};

use lockgate_transport::probe::report::{
    Answer, Certificate, ClientCertificate, Handshake, Moved, Offer, Order, Report, Whose,
};
use lockgate_transport::probe::{Level, Limits, ProbeError, Prober, Step, Verdict};
use serde::Serialize;

use crate::cli::{Output, OutputArgs};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{Table, bytes, fold, print, print_document, print_line, visible};

/// Port of an address that names none: that of HTTPS.
const PORT_DEFAULT: u16 = 443;

/// Runs the verb. A report is an answer, whatever it says.
pub(crate) async fn run(target: &str, sni: Option<&str>, output: OutputArgs) -> Result<Exit, Failure> {
    let (host, port) = address(target)?;
    let live = std::io::stderr().is_terminal();
    let show = |step: Step| {
        if live {
            eprint!("\r\x1b[Kprobing {host}:{port}: {}", step.what);
            let _ = std::io::stderr().flush();
        }
    };
    let prober = Prober::new(Limits::default());
    let probed = Box::pin(prober.probe(&host, port, sni, show)).await;
    if live {
        eprint!("\r\x1b[K");
    }
    let report = probed.map_err(|error| trouble(&error))?;
    match output.output {
        Output::Human => print(&human(&report)),
        Output::Json => print_document(&report),
        Output::Jsonl => lines(&report),
    }
    Ok(Exit::Ok)
}

/// `HOST:PORT`, `[ADDRESS]:PORT`, or a URL of which the rest is left out.
fn address(target: &str) -> Result<(String, u16), Diagnostic> {
    let refused = || {
        Diagnostic::new("LG-U002", format!("\"{}\" is no address of a TLS server", visible(target)))
            .hint("write HOST:PORT, with brackets around an IPv6 address: [::1]:8443")
    };
    let target = target.strip_prefix("https://").unwrap_or(target);
    let authority = target.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(refused)?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(refused)?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = port.map_or(Ok(PORT_DEFAULT), str::parse).map_err(|_| refused())?;
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-._:%".contains(letter);
    if host.is_empty() || port == 0 || !host.chars().all(allowed) {
        return Err(refused());
    }
    Ok((host.to_owned(), port))
}

fn trouble(error: &ProbeError) -> Diagnostic {
    match error {
        ProbeError::Name { .. } => Diagnostic::new("LG-U002", "the server name cannot be sent in a handshake")
            .because(error)
            .hint("give a host name: --sni NAME"),
        ProbeError::Resolve { .. } | ProbeError::Connect { .. } => {
            Diagnostic::new("LG-N006", "the endpoint cannot be reached")
                .because(error)
                .hint("check host and port, and whether a firewall is in between")
        }
        ProbeError::NotTls { .. } => Diagnostic::new("LG-N006", "the endpoint does not speak TLS")
            .because(error)
            .hint("check the port; some servers answer only for a name: --sni NAME"),
        ProbeError::Lost { .. } | ProbeError::Deadline { .. } | ProbeError::Connections { .. } => {
            Diagnostic::new("LG-N006", "the endpoint could not be probed to the end")
                .because(error)
                .hint("a probe makes some dozens of connections: try again later, or from an address that is not limited")
        }
    }
}

/// One line for each finding.
fn lines(report: &Report) {
    #[derive(Serialize)]
    #[serde(tag = "item", rename_all = "snake_case")]
    enum Line<'a> {
        Verdict(&'a Verdict),
        Version(&'a lockgate_transport::probe::report::Version),
        Group(&'a lockgate_transport::probe::report::Group),
        Cipher(&'a Offer),
        Signature(&'a lockgate_transport::probe::report::Signature),
        Chain(&'a lockgate_transport::probe::report::Chain),
        Handshake(&'a Handshake),
    }
    report.verdicts.iter().for_each(|item| print_line(&Line::Verdict(item)));
    report.versions.iter().for_each(|item| print_line(&Line::Version(item)));
    report.groups.iter().for_each(|item| print_line(&Line::Group(item)));
    report.ciphers.iter().for_each(|item| print_line(&Line::Cipher(item)));
    report.signatures.iter().for_each(|item| print_line(&Line::Signature(item)));
    report.chains.iter().for_each(|item| print_line(&Line::Chain(item)));
    report.handshakes.iter().for_each(|item| print_line(&Line::Handshake(item)));
}

fn human(report: &Report) -> String {
    let name = report.name.as_deref().map_or_else(String::new, |name| format!(", asked for {name}"));
    let mut text = format!("{}:{} ({}{name})\n\n", report.host, report.port, report.address);
    for verdict in &report.verdicts {
        text.push_str(&said(verdict));
    }
    text.push('\n');
    text.push_str(&algorithms(report));
    text.push('\n');
    text.push_str(&facts(report).render(0));
    text.push_str(&format!(
        "\n{} connections in {}.{} s; nothing was sent after any handshake.\n",
        report.connections,
        report.took_ms / 1000,
        report.took_ms % 1000 / 100
    ));
    text
}

fn said(verdict: &Verdict) -> String {
    let level = match verdict.level {
        Level::Bad => "BAD    ",
        Level::Warning => "WARNING",
        Level::Note => "note   ",
        Level::Good => "good   ",
    };
    let mut text = fold(&visible(&format!("{}: {}", verdict.about, verdict.found)), 9, 100);
    text.replace_range(..level.len(), level);
    if let Some(advice) = &verdict.advice {
        text.push_str(&fold(&format!("-> {advice}"), 9, 100));
    }
    text
}

/// What was offered alone, kind by kind.
fn algorithms(report: &Report) -> String {
    let mut table = Table::new(&["GROUP", "NATURE", "LEVEL", "ANSWER", "HANDSHAKE"]);
    for group in &report.groups {
        let handshake = group.handshake.as_ref().map_or_else(String::new, cost);
        row(&mut table, &group.offer, &handshake);
    }
    for unknown in &report.groups_unknown {
        table.row(&[unknown, "not in the catalog", "", "yes"]);
    }
    let mut text = table.render(0);
    let mut table = Table::new(&["SIGNATURE", "NATURE", "LEVEL", "ANSWER", "LEAF"]);
    for signature in &report.signatures {
        let leaf = signature.leaf.as_deref().and_then(|leaf| leaf.get(..12)).unwrap_or_default();
        row(&mut table, &signature.offer, leaf);
    }
    text.push('\n');
    text.push_str(&table.render(0));
    let mut table = Table::new(&["CIPHER SUITE", "NATURE", "LEVEL", "ANSWER"]);
    for cipher in &report.ciphers {
        row(&mut table, cipher, "");
    }
    text.push('\n');
    text.push_str(&table.render(0));
    text
}

fn row(table: &mut Table, offer: &Offer, last: &str) {
    let level = if offer.nist_level == 0 { String::new() } else { offer.nist_level.to_string() };
    table.row(&[&offer.id, &offer.nature.replace('_', "-"), &level, &answer(&offer.answer), last]);
}

fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Yes => "yes".to_owned(),
        Answer::No { alert: Some(alert) } => format!("no ({alert})"),
        Answer::No { alert: None } => "no".to_owned(),
        Answer::Unclear { why } => format!("? {why}"),
    }
}

fn cost(handshake: &Handshake) -> String {
    let retry = if handshake.hello_retry { ", after a retry" } else { "" };
    format!(
        "{}.{} ms, {} in, {} out{retry}",
        handshake.handshake_us / 1000,
        handshake.handshake_us % 1000 / 100,
        bytes(handshake.bytes_in),
        bytes(handshake.bytes_out)
    )
}

/// Everything else, one fact a line.
fn facts(report: &Report) -> Table {
    let mut table = Table::default();
    for version in &report.versions {
        let sentinel = match version.sentinel {
            Some(true) => ", with the downgrade sentinel",
            Some(false) => ", WITHOUT the downgrade sentinel",
            None => "",
        };
        table.row(&[&version.version, &format!("{}{sentinel}", answer(&version.answer))]);
    }
    if let Some(refused) = report.fallback_refused {
        table.row(&["a client that fell back", if refused { "is told so" } else { "is not told" }]);
    }
    table.row(&["order of groups", &order(&report.group_order)]);
    table.row(&["order of ciphers", &order(&report.cipher_order)]);
    if let Some(share) = &report.traditional_share {
        table.row(&[&format!("shares and lists {} first", share.shared), &moved(&share.listed_first)]);
        table.row(&[&format!("shares {}, lists it last", share.shared), &moved(&share.listed_last)]);
    }
    table.row(&["unknown values", &answer(&report.tolerance.unknown_values)]);
    if report.tolerance.large_hello_bytes > 0 {
        let hello = bytes(report.tolerance.large_hello_bytes);
        table.row(&[&format!("hello of {hello}"), &answer(&report.tolerance.large_hello)]);
        table.row(&["the same in two segments", &answer(&report.tolerance.split_hello)]);
    }
    for protocol in &report.alpn {
        table.row(&[&format!("ALPN {}", protocol.name), &answer(&protocol.answer)]);
    }
    if let Some(client) = report.client_certificate {
        let asked = match client {
            ClientCertificate::NotAsked => "not asked for",
            ClientCertificate::Asked => "asked for",
            ClientCertificate::Required => "required",
        };
        table.row(&["client certificate", asked]);
    }
    if let Some(resumption) = &report.resumption {
        let resumed = match (resumption.resumed, &resumption.handshake) {
            (None, _) => "no ticket".to_owned(),
            (Some(false), _) => "tickets, but not resumed".to_owned(),
            (Some(true), None) => "yes".to_owned(),
            (Some(true), Some(handshake)) => format!("yes, {} again, {}", handshake.group, cost(handshake)),
        };
        table.row(&["resumption", &resumed]);
    }
    for handshake in &report.handshakes {
        let signature = handshake.signature.as_deref().unwrap_or("none");
        table.row(&["full handshake", &format!("{}, {signature}, {}", handshake.group, cost(handshake))]);
    }
    for chain in &report.chains {
        for (at, certificate) in chain.certificates.iter().enumerate() {
            let what =
                if at == 0 { format!("leaf {}", &chain.fingerprint[..12]) } else { "  issued by".to_owned() };
            table.row(&[&what, &describe(certificate)]);
        }
    }
    table
}

fn order(order: &Order) -> String {
    let list = order.order.join(", ");
    match order.whose {
        Whose::Server => format!("the server's: {list}"),
        Whose::Client => format!("the client's: it gets the first of its list ({list})"),
        Whose::QuantumSafeFirst => format!("quantum-safe first, then the client's ({list})"),
        Whose::Mixed => format!("neither side's alone: out of everything, {list}"),
        Whose::Single => "no choice".to_owned(),
        Whose::Unclear => "unclear".to_owned(),
    }
}

fn moved(moved: &Moved) -> String {
    match moved {
        Moved::QuantumSafe { group } => format!("is moved to {group}"),
        Moved::Traditional { group } => format!("gets {group}"),
        Moved::Unclear { why } => format!("? {why}"),
    }
}

fn describe(certificate: &Certificate) -> String {
    let name = certificate.names.first().unwrap_or(&certificate.subject);
    format!(
        "{name}: {} key, signed with {}, until {}, {}",
        certificate.key,
        certificate.signature,
        certificate.not_after,
        bytes(certificate.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (target, host, port) in [
            ("gw.example:8443", "gw.example", 8443),
            ("gw.example", "gw.example", 443),
            ("https://gw.example/mcp?x#y", "gw.example", 443),
            ("https://gw.example:1/", "gw.example", 1),
            ("[::1]:9", "::1", 9),
            ("[fe80::1%eth0]", "fe80::1%eth0", 443),
            ("127.0.0.1:65535", "127.0.0.1", 65535),
        ] {
            assert_eq!(address(target), Ok((host.to_owned(), port)), "{target}");
        }
        for bad in [
            "",
            ":443",
            "gw:0",
            "gw:65536",
            "gw:x",
            "::1",
            "[::1",
            "[::1]9",
            "http://gw",
            "a b",
            "user@gw",
            "g\u{1b}w",
        ] {
            let refused = address(bad).unwrap_err();
            assert_eq!(refused.code, "LG-U002", "{bad}");
            assert!(!refused.what.contains('\u{1b}'));
        }
    }

    #[test]
    fn a_verdict_reads_as_one_paragraph() {
        let verdict = Verdict {
            level: Level::Warning,
            about: "key exchange".to_owned(),
            found: "a \u{1b}[2J client stays".to_owned(),
            advice: Some("do this".to_owned()),
        };
        assert_eq!(said(&verdict), "WARNING  key exchange: a \\u{1b}[2J client stays\n         -> do this\n");
    }

    /// The whole report for people, of a report as a program reads it; `UPDATE=1` writes it anew.
    #[test]
    fn a_report_reads_from_the_worst_to_the_facts() {
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let report = std::fs::read(golden.join("probe.json")).unwrap();
        let report: Report = serde_json::from_slice(&report).unwrap();
        let expected = golden.join("probe.txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, human(&report)).unwrap();
        }
        assert_eq!(human(&report), std::fs::read_to_string(expected).unwrap());
    }
}

//! The map for people: what is in the shadow first, then every server, then what to mend.

use std::collections::BTreeMap;

use lockgate_discover::map::{Authentication, Finding, Map, Node, ServerNode, Severity, Transport};

use super::{count, name_of, users};
use crate::output::{Table, fold, visible};

/// Nodes that are named under one kind of finding.
const NAMED_MAX: usize = 6;

pub(super) fn map(map: &Map, width: usize) -> String {
    let servers: Vec<&ServerNode> = map
        .nodes
        .iter()
        .filter_map(|node| if let Node::Server(server) = node { Some(&**server) } else { None })
        .collect();
    let mut text = format!(
        "{}, {}, {}; {} findings, in {}.{} s\n",
        count(map, |node| matches!(node, Node::Client(_)), "client"),
        count(map, |node| matches!(node, Node::Server(_)), "server"),
        count(map, |node| matches!(node, Node::Gateway(_)), "gateway"),
        map.findings.len(),
        map.took_ms / 1000,
        map.took_ms % 1000 / 100
    );
    let has = |server: &ServerNode, id: &str| {
        map.findings.iter().any(|finding| finding.about == server.id && finding.id == id)
    };
    let (shadow, rest): (Vec<&ServerNode>, Vec<&ServerNode>) =
        servers.into_iter().partition(|server| has(server, "shadow-server"));
    let (bypassed, rest): (Vec<&ServerNode>, Vec<&ServerNode>) =
        rest.into_iter().partition(|server| has(server, "gateway-bypass"));
    for (heading, group) in [
        ("IN THE SHADOW: they run, and no configuration has them", shadow),
        ("PAST THE GATEWAY: they are behind it, and somebody goes around", bypassed),
        ("SERVERS", rest),
    ] {
        if !group.is_empty() {
            text.push_str(&format!("\n{heading}\n{}", rows(map, &group, width)));
        }
    }
    text.push_str(&clients(map));
    text.push_str(&findings(map, width));
    for source in map.sources.iter().filter(|source| !source.complete) {
        text.push_str(&fold(
            &visible(&format!("Not all was seen. {}: {}: {}", source.kind, source.place, source.result)),
            0,
            width,
        ));
    }
    if map.nodes.iter().any(|node| matches!(node, Node::Server(server) if server.direct)) {
        text.push_str("\nPut them behind a post-quantum tunnel: lockgate adopt --all\n");
    }
    text
}

fn rows(map: &Map, servers: &[&ServerNode], width: usize) -> String {
    let mut lines: Vec<[String; 5]> = servers.iter().map(|server| row(map, server)).collect();
    lines.sort_by(|one, other| one[0].to_lowercase().cmp(&other[0].to_lowercase()));
    // What is left after the indent and the gaps is shared out; the second column gives way first.
    let shares = [width * 16 / 100, width * 28 / 100, width * 14 / 100, width * 14 / 100];
    let mut table = Table::new(&["NAME", "WHAT", "USED FROM", "PROTECTED BY", "FINDINGS"]);
    for cells in &lines {
        let mut cut: Vec<String> =
            cells.iter().zip(shares).map(|(cell, share)| shortened(cell, share)).collect();
        let used: usize = shares.iter().sum::<usize>() + 10;
        cut.push(shortened(&cells[4], width.saturating_sub(used).max(12)));
        table.row(&cut.iter().map(String::as_str).collect::<Vec<_>>());
    }
    table.render(2)
}

fn row(map: &Map, server: &ServerNode) -> [String; 5] {
    let program =
        || server.command.first().map_or("?", |program| program.rsplit('/').next().unwrap_or(program));
    let name = server.names.first().map_or_else(program, String::as_str);
    let what = match (&server.package, &server.url) {
        (Some(package), None) => package.trim_start_matches("pkg:").replace("%40", "@"),
        (_, Some(url)) => url.clone(),
        (None, None) => server.command.join(" "),
    };
    let what = if server.running { format!("{what} (runs)") } else { what };
    let used = match (server.used_from.is_empty(), server.processes.first()) {
        (true, Some(pid)) => format!("process {pid}"),
        _ => users(map, &server.used_from),
    };
    let found: Vec<&str> = map
        .findings
        .iter()
        .filter(|finding| finding.about == server.id && finding.severity > Severity::Info)
        .map(|finding| finding.id.as_str())
        .collect();
    let found = if found.is_empty() { "-".to_owned() } else { found.join(", ") };
    [visible(name), visible(&what), used, protection(server), found]
}

/// What stands between the server and the rest of the world.
fn protection(server: &ServerNode) -> String {
    if server.behind_gateway && !server.direct {
        return "the gateway".to_owned();
    }
    if server.transport == Transport::Stdio {
        return "the system".to_owned();
    }
    let login = match server.authentication {
        Authentication::None => ", open",
        Authentication::OAuth => ", tokens",
        Authentication::Required | Authentication::Sent => ", login",
        Authentication::Local | Authentication::Unknown => "",
    };
    match &server.tls {
        Some(tls) if tls.protocol.is_none() => format!("nothing{login}"),
        Some(tls) => format!("{}{login}", tls.group.as_deref().unwrap_or("TLS")),
        None => format!("TLS{login}"),
    }
}

fn clients(map: &Map) -> String {
    let mut table = Table::new(&["CLIENT", "SERVERS", "FILES"]);
    for node in &map.nodes {
        let Node::Client(client) = node else { continue };
        let servers = map.links.iter().filter(|link| link.from == client.id).count();
        let files = match client.files.as_slice() {
            [] => "-".to_owned(),
            [file] => file.clone(),
            [file, rest @ ..] => format!("{file} and {} more", rest.len()),
        };
        let name = if client.running { format!("{} (runs)", client.name) } else { client.name.clone() };
        table.row(&[&name, &servers.to_string(), &files]);
    }
    if table.is_empty() { String::new() } else { format!("\nCLIENTS\n{}", table.render(2)) }
}

/// One paragraph for each kind, the worst first, with whom it is about and what to do.
fn findings(map: &Map, width: usize) -> String {
    let mut kinds: BTreeMap<(std::cmp::Reverse<Severity>, &str), Vec<&Finding>> = BTreeMap::new();
    for finding in map.findings.iter().filter(|finding| finding.severity > Severity::Info) {
        kinds.entry((std::cmp::Reverse(finding.severity), &finding.code)).or_default().push(finding);
    }
    if kinds.is_empty() {
        return "\nNothing to mend was found.\n".to_owned();
    }
    let mut text = "\nTO MEND\n".to_owned();
    for ((severity, code), found) in kinds {
        let level = match severity.0 {
            Severity::High => "HIGH  ",
            Severity::Medium => "medium",
            Severity::Low | Severity::Info => "low   ",
        };
        text.push_str(&format!("  {level}  {} ({code})\n", found[0].id));
        for finding in found.iter().take(NAMED_MAX) {
            text.push_str(&fold(
                &format!("{}: {}", name_of(map, &finding.about), visible(&finding.what)),
                10,
                width,
            ));
        }
        if found.len() > NAMED_MAX {
            text.push_str(&format!(
                "          and {} more: --output json has all\n",
                found.len() - NAMED_MAX
            ));
        }
        text.push_str(&fold(&format!("-> {}", visible(&found[0].fix)), 10, width));
    }
    text
}

/// At most so many letters.
fn shortened(text: &str, letters_max: usize) -> String {
    match text.char_indices().nth(letters_max) {
        Some(_) => text.chars().take(letters_max.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn widths_hold_and_nothing_moves_the_cursor() {
        let evil = "\u{1b}[2J\u{202e}".repeat(40);
        let node: Node = serde_json::from_value(serde_json::json!({
            "kind": "server", "id": "server:1", "names": [evil], "transport": "http", "url": format!("https://h/{evil}"),
            "confidence": "likely", "configured": false, "running": true, "behind_gateway": false, "direct": false,
            "authentication": "none",
        }))
        .unwrap();
        let finding = Finding {
            id: "shadow-server".into(),
            code: "LG-G001".into(),
            severity: Severity::High,
            about: "server:1".into(),
            what: evil.clone(),
            fix: "stop it".into(),
        };
        let found = Map {
            schema: String::new(),
            at_ms: 0,
            took_ms: 0,
            nodes: vec![node],
            links: vec![],
            findings: vec![finding],
            sources: vec![],
        };
        let text = map(&found, 80);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "{text}");
        assert!(text.find("SHADOW").unwrap() < text.find("TO MEND").unwrap());
        for line in text.lines().take_while(|line| !line.contains("TO MEND")) {
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert_eq!((shortened("abc", 3), shortened("abcd", 3)), ("abc".to_owned(), "ab…".to_owned()));
    }
}

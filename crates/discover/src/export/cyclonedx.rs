//! The map as `CycloneDX` 1.7 (ECMA-424): servers as services, packages as libraries, cryptography as assets (CBOM).

use std::collections::{BTreeMap, BTreeSet};

use lockgate_crypto::catalog;
use lockgate_crypto::cbom::{self, SPEC_VERSION};
use lockgate_crypto::digest::{hex, sha256};
use serde_json::{Value, json};

use super::visible;
use crate::map::{Authentication, Map, Node, ServerNode, Severity, Tls};

/// `bom-ref` of what the document is about.
const MACHINE: &str = "machine";

/// The document. `timestamp` is when the map was made, RFC 3339; `version` is that of this program.
#[must_use]
pub fn cyclonedx(map: &Map, timestamp: &str, version: &str) -> Value {
    let mut components: BTreeMap<String, Value> = BTreeMap::new();
    let (mut services, mut depends) = (Vec::new(), BTreeMap::<String, BTreeSet<String>>::new());
    for node in &map.nodes {
        match node {
            Node::Server(server) => {
                services.push(service(server, map));
                if let Some(tls) = &server.tls
                    && let Some(reference) = protocol(server, tls, &mut components, &mut depends)
                {
                    depends.entry(server.id.clone()).or_default().insert(reference);
                }
            }
            Node::Package(package) => {
                let parts = &package.package;
                let mut component = json!({
                    "type": if parts.ecosystem == "oci" { "container" } else { "library" },
                    "bom-ref": package.id,
                    "name": visible(&parts.name),
                    "purl": package.purl,
                });
                if let Some(version) = &parts.version {
                    component["version"] = json!(visible(version));
                }
                components.insert(package.id.clone(), component);
            }
            Node::Client(client) => {
                components.insert(
                    client.id.clone(),
                    json!({ "type": "application", "bom-ref": client.id, "name": client.name }),
                );
            }
            Node::Gateway(gateway) => services.push(json!({
                "bom-ref": gateway.id,
                "name": visible(&gateway.name),
                "endpoints": gateway.listens.iter().map(|at| visible(at)).collect::<Vec<_>>(),
                "authenticated": true,
            })),
            // What only a fingerprint is known of is in the properties of who holds it.
            Node::Credential(_) => {}
        }
    }
    let named: BTreeSet<&str> =
        map.nodes.iter().filter(|node| !matches!(node, Node::Credential(_))).map(Node::id).collect();
    for link in
        map.links.iter().filter(|link| named.contains(link.from.as_str()) && named.contains(link.to.as_str()))
    {
        depends.entry(link.from.clone()).or_default().insert(link.to.clone());
    }
    depends.insert(MACHINE.to_owned(), named.into_iter().map(str::to_owned).collect());
    let dependencies: Vec<Value> =
        depends.into_iter().map(|(from, to)| json!({ "ref": from, "dependsOn": to })).collect();
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.7.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": serial_number(map),
        "version": 1,
        "metadata": {
            "timestamp": timestamp,
            "lifecycles": [{ "phase": "discovery" }],
            "tools": { "components": [{ "type": "application", "name": "lockgate", "version": version }] },
            "component": { "type": "device", "bom-ref": MACHINE, "name": "MCP clients and servers" },
        },
        "components": components.into_values().collect::<Vec<_>>(),
        "services": services,
        "dependencies": dependencies,
    })
}

fn service(server: &ServerNode, map: &Map) -> Value {
    let name = server.names.first().map_or(server.id.as_str(), |name| name.as_str());
    let mut service = json!({
        "bom-ref": server.id,
        "name": visible(name),
        "properties": properties(server, map),
    });
    if let Some(version) = &server.version {
        service["version"] = json!(visible(version));
    }
    if let Some(owner) = &server.owner {
        service["provider"] = json!({ "name": visible(owner) });
    }
    if let Some(url) = &server.url {
        // An address with `[redacted]` in it is no URI.
        let url = visible(url).replace(crate::secret::REDACTED, "redacted").replace(' ', "%20");
        service["endpoints"] = json!([url]);
    }
    match server.authentication {
        Authentication::None => service["authenticated"] = json!(false),
        Authentication::Required | Authentication::OAuth | Authentication::Local => {
            service["authenticated"] = json!(true)
        }
        Authentication::Sent | Authentication::Unknown => {}
    }
    service
}

fn properties(server: &ServerNode, map: &Map) -> Vec<Value> {
    let mut pairs = vec![
        ("transport", format!("{:?}", server.transport).to_lowercase()),
        ("configured", server.configured.to_string()),
        ("running", server.running.to_string()),
        ("behind-gateway", server.behind_gateway.to_string()),
        ("direct", server.direct.to_string()),
    ];
    if !server.command.is_empty() {
        pairs.push(("command", visible(&server.command.join(" "))));
    }
    pairs.extend(server.tools.iter().map(|tool| ("tool", visible(&tool.name))));
    pairs.extend(server.secrets.iter().map(|secret| ("secret", visible(&secret.place))));
    let about =
        map.findings.iter().filter(|finding| finding.about == server.id && finding.severity > Severity::Info);
    pairs.extend(about.map(|finding| ("finding", format!("{} {}", finding.code, finding.id))));
    pairs
        .into_iter()
        .map(|(name, value)| json!({ "name": format!("lockgate:{name}"), "value": value }))
        .collect()
}

/// The protocol that a server speaks as a cryptographic asset, with its algorithms; its reference.
fn protocol(
    server: &ServerNode,
    tls: &Tls,
    components: &mut BTreeMap<String, Value>,
    depends: &mut BTreeMap<String, BTreeSet<String>>,
) -> Option<String> {
    let protocol = tls.protocol.as_deref()?;
    let reference = format!("protocol/{}", server.id);
    let used = [&tls.group, &tls.signature, &tls.cipher].into_iter().flatten();
    let all = used.chain(&tls.groups).chain(&tls.signatures);
    let rows: Vec<_> = all.filter_map(|id| catalog::find(id)).collect();
    let mut references = BTreeSet::new();
    for row in rows
        .iter()
        .copied()
        .chain(rows.iter().flat_map(|row| row.components).filter_map(|id| catalog::find(id)))
    {
        let component = cbom::component(row, true);
        let Some(id) = component["bom-ref"].as_str().map(str::to_owned) else { continue };
        components.insert(id.clone(), component);
        references.insert(id);
    }
    let suite = json!({
        "name": tls.cipher.as_deref().unwrap_or("unknown"),
        "algorithms": references,
        "tlsGroups": tls.group.iter().chain(&tls.groups).collect::<BTreeSet<_>>(),
        "tlsSignatureSchemes": tls.signature.iter().chain(&tls.signatures).collect::<BTreeSet<_>>(),
    });
    let component = json!({
        "type": "cryptographic-asset",
        "bom-ref": reference,
        "name": format!("TLS of {}", visible(server.names.first().unwrap_or(&server.id))),
        "cryptoProperties": {
            "assetType": "protocol",
            "protocolProperties": { "type": "tls", "version": protocol.trim_start_matches("TLSv"), "cipherSuites": [suite] },
        },
    });
    components.insert(reference.clone(), component);
    depends.insert(reference.clone(), references);
    Some(reference)
}

/// A UUID (RFC 9562 version 8) out of the contents.
fn serial_number(map: &Map) -> String {
    let mut bytes = sha256(json!(map).to_string().as_bytes());
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex(&bytes[..16]);
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..]
    )
}

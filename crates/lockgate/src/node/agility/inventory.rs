//! Every link, key, certificate and algorithm in use.

use std::sync::Arc;
use std::time::SystemTime;

use lockgate_admin::InventoryFormat;
use lockgate_crypto::cbom::{CertificateFact, Inventory, KeyFact, KeyKind, LinkFact};
use lockgate_identity::{Leaf, describe};
use serde_json::json;

use super::super::control::Control;
use super::problem::Problem;
use super::show::rows;

impl Control {
    /// As JSON text of a form.
    pub(crate) fn inventory_text(&self, format: InventoryFormat) -> Result<String, Problem> {
        let inventory = self.taken()?;
        let document = match format {
            InventoryFormat::Cyclonedx => inventory.cyclonedx(),
            InventoryFormat::Json => {
                let mut document = json!({ "schema": "lockgate.crypto-inventory/1" });
                let facts = serde_json::to_value(&inventory).expect("an inventory is plain data");
                if let (Some(document), serde_json::Value::Object(facts)) = (document.as_object_mut(), facts)
                {
                    document.extend(facts);
                }
                document
            }
        };
        Ok(document.to_string())
    }

    fn taken(&self) -> Result<Inventory, Problem> {
        let (identity, outside, in_force) = {
            let changing = self.changing().lock();
            let outside: Vec<_> = changing
                .served
                .iter()
                .filter_map(|served| Some((served.name.clone(), served.own.clone()?)))
                .collect();
            (changing.identity.clone(), outside, Arc::clone(&changing.in_force))
        };
        let mut inventory = Inventory {
            node: identity.id.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            timestamp: moment(SystemTime::now()),
            epoch: in_force.conditions.epoch,
            ..Inventory::default()
        };
        for (_, suite) in in_force.suites() {
            for row in rows(suite) {
                if !inventory.algorithms_in_force.iter().any(|id| id == row.id) {
                    inventory.algorithms_in_force.push(row.id.to_owned());
                }
            }
        }
        for root in self.registrar().bundle().roots() {
            inventory.certificates.push(certificate("root", root.algorithm().id, root.certificate())?);
            let name = format!("root {} {}", root.algorithm().id, &root.fingerprint()[..8]);
            inventory.keys.push(key(name, root.algorithm().id, root.certificate())?);
        }
        let node = identity.leaves.iter().map(|leaf| ("node".to_owned(), leaf));
        let own = outside
            .iter()
            .flat_map(|(name, own)| own.leaves.iter().map(move |leaf| (format!("listener {name}"), leaf)));
        for (place, leaf) in node.chain(own) {
            add_leaf(&mut inventory, &place, leaf)?;
        }
        inventory.links = self.links_in_use(in_force.conditions.epoch);
        Ok(inventory)
    }

    fn links_in_use(&self, epoch: u64) -> Vec<LinkFact> {
        let mut links = Vec::new();
        for link in self.node().links.snapshot() {
            if let Some(posture) = link.posture {
                links.push(LinkFact {
                    id: format!("link {}", link.number),
                    peer: link.agent,
                    place: link.listener,
                    epoch: link.epoch,
                    opened: moment(SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(link.since_ms)),
                    posture,
                });
            }
        }
        for server in self.node().servers() {
            let Some(http) = server.upstream.transport().http() else { continue };
            for (n, link) in http.links().into_iter().enumerate() {
                if let Some(posture) = link.posture {
                    links.push(LinkFact {
                        // Two pools number their connections alike.
                        id: format!("upstream {} {n}.{}", server.id, link.id),
                        peer: server.upstream.describe(),
                        place: format!("upstream {}", server.id),
                        epoch: posture.epoch.max(if link.retired { 0 } else { epoch }),
                        opened: moment(link.opened),
                        posture: (*posture).clone(),
                    });
                }
            }
        }
        links
    }
}

fn add_leaf(inventory: &mut Inventory, place: &str, leaf: &Leaf) -> Result<(), Problem> {
    inventory.certificates.push(certificate("leaf", leaf.algorithm.id, leaf.certificate())?);
    let name = format!("{place} {}", leaf.algorithm.id);
    inventory.keys.push(key(name, leaf.algorithm.id, leaf.certificate())?);
    Ok(())
}

fn certificate(role: &str, algorithm: &str, certificate: &[u8]) -> Result<CertificateFact, Problem> {
    let read = described(certificate)?;
    Ok(CertificateFact {
        role: role.to_owned(),
        key_algorithm: algorithm.to_owned(),
        signature_algorithm: read.signature_algorithm,
        subject: read.subject,
        issuer: read.issuer,
        serial: read.serial,
        not_before: moment(read.not_before),
        not_after: moment(read.not_after),
        fingerprint: read.fingerprint,
    })
}

fn key(name: String, algorithm: &str, certificate: &[u8]) -> Result<KeyFact, Problem> {
    let read = described(certificate)?;
    Ok(KeyFact {
        name,
        kind: KeyKind::PrivateKey,
        algorithm: algorithm.to_owned(),
        // Each key is made for its certificate.
        created: Some(moment(read.not_before)),
        expires: Some(moment(read.not_after)),
        fingerprint: None,
    })
}

fn described(certificate: &[u8]) -> Result<lockgate_identity::Described, Problem> {
    describe(certificate).map_err(|error| Problem::Certificates {
        what: "a certificate in use cannot be read",
        cause: error.to_string(),
    })
}

/// RFC 3339, UTC, to the second.
fn moment(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).ok().and_then(|time| time.round(jiff::Unit::Second).ok());
    time.map_or_else(|| "1970-01-01T00:00:00Z".to_owned(), |time| time.to_string())
}

//! Which crate may depend on which. The list is DESIGN.md's, and the reason for each line is
//! there: each boundary that the project cares about is a crate edge.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, finding};

/// Our crates and what each may use of ours, without the `lockgate-` prefix. The order is that of
/// the layers: a crate uses only what stands above it, so there is no circle.
const OURS: [(&str, &[&str]); 25] = [
    ("crypto", &[]),
    ("mcp", &[]),
    ("openapi", &["mcp"]),
    ("identity", &["crypto"]),
    ("policy", &["mcp", "identity", "crypto"]),
    ("detect", &["mcp", "policy", "crypto"]),
    ("audit", &["crypto"]),
    ("store", &[]),
    ("privacy", &["crypto", "audit", "store"]),
    ("live", &[]),
    ("transport", &["crypto", "identity"]),
    ("tunnel", &["crypto", "identity", "transport"]),
    ("export", &["crypto", "audit", "live", "transport"]),
    ("facts", &["crypto", "mcp", "identity", "policy", "transport"]),
    ("authority", &["crypto", "identity", "store", "transport"]),
    ("analysis", &["crypto", "mcp", "identity", "policy", "audit"]),
    (
        "proxy",
        &[
            "crypto",
            "mcp",
            "openapi",
            "identity",
            "policy",
            "facts",
            "detect",
            "audit",
            "store",
            "privacy",
            "live",
            "transport",
        ],
    ),
    ("discover", &["mcp", "crypto", "identity", "transport"]),
    ("incident", &["store", "identity", "audit", "transport"]),
    ("admin", &["proxy", "live", "audit", "policy", "detect", "discover", "incident", "crypto"]),
    ("report", &["crypto", "audit"]),
    (
        "lockgate",
        &[
            "crypto",
            "mcp",
            "openapi",
            "identity",
            "policy",
            "detect",
            "audit",
            "store",
            "privacy",
            "live",
            "transport",
            "tunnel",
            "export",
            "facts",
            "authority",
            "analysis",
            "proxy",
            "discover",
            "incident",
            "admin",
            "report",
        ],
    ),
    ("testkit", &[]),
    ("bench", &["crypto", "identity", "transport", "tunnel", "testkit"]),
    ("xtask", &[]),
];

/// Crates of others that stand for a decision, and the only crates of ours that may know it.
const THEIRS: [(&str, &[&str]); 12] = [
    // The benchmark makes the same handshakes without sockets.
    ("rustls", &["crypto", "identity", "transport", "bench"]),
    ("aws-lc-rs", &["crypto", "identity", "transport"]),
    ("aws-lc-sys", &["crypto"]),
    ("tokio-rustls", &["transport"]),
    ("rustls-webpki", &["crypto", "identity", "transport"]),
    ("cedar-policy", &["policy", "analysis", "bench"]),
    ("cedar-policy-symcc", &["analysis"]),
    ("tonic", &["authority"]),
    ("redb", &["store"]),
    // The typed models of the SDK lose fields: only servers of our own are built on it.
    ("rmcp", &["lockgate", "testkit"]),
    ("clap", &["lockgate", "xtask", "bench"]),
    ("anyhow", &["lockgate", "xtask", "bench"]),
];

/// A package of the workspace with what it depends on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Package {
    name: String,
    /// Ordinary and build dependencies. What only tests use is free, except that a test may not
    /// turn an edge around, which cargo itself refuses.
    uses: Vec<String>,
}

/// Reads the output of `cargo metadata --no-deps`.
///
/// # Errors
/// When it has another form.
pub(super) fn packages(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata is no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let package = |package: &Value| -> Result<Package> {
        let name = package["name"].as_str().context("a package has no name")?;
        let uses = package["dependencies"].as_array().context("a package has no dependencies")?;
        let uses = uses.iter().filter(|used| used["kind"] != "dev");
        let uses = uses.filter_map(|used| used["name"].as_str()).map(short);
        Ok(Package { name: short(name), uses: uses.collect() })
    };
    packages.iter().map(package).collect()
}

fn short(name: &str) -> String {
    name.strip_prefix("lockgate-").unwrap_or(name).to_owned()
}

/// Edges between our own crates that are not in the list.
pub(super) fn own(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let place = format!("crate {}", package.name);
        let Some((_, allowed)) = OURS.iter().find(|(name, _)| *name == package.name) else {
            findings.push(finding(place, "it is not in the list of crates"));
            continue;
        };
        for used in &package.uses {
            let ours = OURS.iter().any(|(name, _)| name == used);
            if ours && !allowed.contains(&used.as_str()) {
                findings.push(finding(&place, format!("it may not use {used}")));
            }
        }
    }
    findings
}

/// Uses of an external crate outside its place.
pub(super) fn external(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        for (theirs, allowed) in THEIRS {
            let used = package.uses.iter().any(|used| used == theirs);
            if used && !allowed.contains(&package.name.as_str()) {
                let broken = format!("{theirs} may be used in {} only", allowed.join(", "));
                findings.push(finding(format!("crate {}", package.name), broken));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, uses: &[&str]) -> Package {
        Package { name: name.to_owned(), uses: uses.iter().map(ToString::to_string).collect() }
    }

    #[test]
    fn an_edge_upwards_or_an_unknown_crate_is_found() {
        assert_eq!(own(&[package("identity", &["crypto", "serde"])]), []);
        assert_eq!(own(&[package("crypto", &["identity"])]).len(), 1);
        assert_eq!(own(&[package("misc", &[])]).len(), 1);
    }

    #[test]
    fn an_external_crate_out_of_place_is_found() {
        assert_eq!(external(&[package("transport", &["rustls", "tokio-rustls"])]), []);
        assert_eq!(external(&[package("proxy", &["rustls"])]).len(), 1);
        assert_eq!(external(&[package("mcp", &["anyhow", "rmcp"])]).len(), 2);
    }

    #[test]
    fn the_list_has_no_circle() {
        for (at, (name, uses)) in OURS.iter().enumerate() {
            for used in *uses {
                let found = OURS.iter().position(|(name, _)| name == used);
                let standing = found.unwrap_or_else(|| panic!("{name} uses the unknown {used}"));
                assert!(standing < at, "{name} uses {used}, which stands below it");
            }
        }
    }

    #[test]
    fn metadata_is_read_without_what_only_tests_use() {
        let metadata = r#"{"packages":[{"name":"lockgate-mcp","dependencies":[
            {"name":"serde","kind":null},{"name":"lockgate-testkit","kind":"dev"},
            {"name":"cc","kind":"build"}]}]}"#;
        let read = packages(metadata).expect("metadata");
        assert_eq!(read, [package("mcp", &["serde", "cc"])]);
        assert!(packages("{}").is_err());
    }
}

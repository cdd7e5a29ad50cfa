//! Rules that keep cryptography agile: algorithms are data, and TLS 1.3 is all that is spoken.

use super::{Finding, finding, source::File};

/// Where algorithms are named.
const CATALOG: &str = "crates/crypto/src/catalog.rs";
/// Lines within which a TLS configuration must name its versions.
const NEAR_LINES: usize = 4;

/// Algorithms named in code outside of the crypto crate (checklist 2 of the agility requirements): what is named can
/// only be replaced by a new build. Tests, and what stands behind `#[cfg(test)]` at the end of a file, may name them, and
/// so may comments.
pub(super) fn named_algorithms(files: &[File]) -> Vec<Finding> {
    let catalog = files.iter().find(|(path, _)| path == CATALOG);
    let Some((_, catalog)) = catalog else { return vec![finding(CATALOG, "the catalog is not there")] };
    let ids = ids(catalog);
    let mut findings = Vec::new();
    for (path, text) in files {
        if !is_checked(path) {
            continue;
        }
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in shipped.lines().enumerate() {
            let line = line.trim_start();
            let named = ids.iter().find(|id| line.contains(&format!("\"{id}\"")));
            if let Some(id) = named.filter(|_| !line.starts_with("//")) {
                let place = format!("{path}:{}", number + 1);
                findings.push(finding(place, format!("it names {id}; take it from a suite or a profile")));
            }
        }
    }
    findings
}

/// Code that ships, outside of the crate where algorithms are named.
fn is_checked(path: &str) -> bool {
    let ships = path.starts_with("crates/") || path.starts_with("bench/");
    let exempt = ["crates/crypto/", "crates/testkit/"].iter().any(|folder| path.starts_with(folder));
    ships && !exempt && !path.contains("/tests/") && !path.ends_with("/tests.rs")
}

/// The ids of the catalog's rows.
fn ids(catalog: &str) -> Vec<&str> {
    let shipped = catalog.split("#[cfg(test)]").next().unwrap_or_default();
    let quoted = shipped.split("id: \"").skip(1).filter_map(|rest| rest.split_once('"'));
    quoted.map(|(id, _)| id).filter(|id| !id.is_empty()).collect()
}

/// TLS configurations that take whatever versions the library was built with. A dependency has it built with TLS 1.2.
pub(super) fn unnamed_versions(path: &str, text: &str) -> Vec<Finding> {
    let lines: Vec<&str> = text.lines().collect();
    let mut findings = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let begins =
            ["Config::builder_with_provider(", "Config::builder("].iter().any(|call| line.contains(call));
        let near = &lines[number..(number + NEAR_LINES).min(lines.len())];
        let named = near.iter().any(|line| {
            line.contains("with_protocol_versions(") || line.contains("builder_with_protocol_versions(")
        });
        if begins && !named && !line.trim_start().starts_with("//") && !path.starts_with("xtask/") {
            findings.push(finding(format!("{path}:{}", number + 1), "name TLS 1.3: with_protocol_versions"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        (path.to_owned(), text.to_owned())
    }

    #[test]
    fn an_algorithm_named_in_code_is_found_checklist_02() {
        let catalog = file(CATALOG, "Algorithm { id: \"ROT13\", ..ROW }, Algorithm { id: \"\" }");
        let table = [
            ("crates/proxy/src/face.rs", "let group = \"ROT13\";", 1),
            ("crates/proxy/src/face.rs", "// such as \"ROT13\"\nlet other = \"ROT14\";", 0),
            ("crates/proxy/src/face.rs", "#[cfg(test)]\nlet group = \"ROT13\";", 0),
            ("crates/proxy/tests/tls.rs", "let group = \"ROT13\";", 0),
            ("crates/crypto/src/profile.rs", "let group = \"ROT13\";", 0),
        ];
        for (path, text, found) in table {
            let files = [catalog.clone(), file(path, text)];
            assert_eq!(named_algorithms(&files).len(), found, "{path}: {text}");
        }
        assert_eq!(named_algorithms(&[]).len(), 1);
    }

    #[test]
    fn a_configuration_that_names_no_version_is_found() {
        let named = "ServerConfig::builder_with_provider(p)\n    .with_protocol_versions(&[&TLS13])";
        assert_eq!(unnamed_versions("a.rs", named), []);
        let unnamed = "ServerConfig::builder_with_provider(p)\n    .with_safe_default_protocol_versions()";
        assert_eq!(unnamed_versions("a.rs", unnamed).len(), 1);
        assert_eq!(unnamed_versions("a.rs", "ClientConfig::builder()").len(), 1);
    }
}

//! What a `[[server]]` says of a REST API that is served as an MCP server: `to = "openapi:FILE"` and what goes with it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;
use lockgate_transport::reach::Network;

use super::Server;
use super::settings::Resolver;
use super::target::Target;

/// What `to` begins with.
pub(crate) const PREFIX: &str = "openapi:";

/// Operations up to which all are listed; of more, clients search. A model reads every definition on every turn.
pub(crate) const LISTED_MAX: usize = 100;

/// A REST API, by its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiPlan {
    /// The OpenAPI document.
    pub(crate) document: PathBuf,
    /// Where the API begins.
    pub(crate) base: Uri,
    /// Reading operations that are on; all, if none are named.
    pub(crate) allow: Vec<String>,
    /// Other operations that are on.
    pub(crate) allow_unsafe: Vec<String>,
    /// Operations up to which all are listed.
    pub(crate) listed_max: usize,
    /// Networks beside the public ones in which the API may be.
    pub(crate) networks: Vec<Network>,
    /// Fields that are kept of the results of operations.
    pub(crate) keep: BTreeMap<String, Vec<String>>,
}

impl Resolver<'_> {
    /// Reads what there is to say of an API.
    pub(super) fn api(&mut self, path: &str, server: &Server, document: &str) -> Option<Target> {
        if document.contains("://") {
            let what = format!("server \"{}\" has a description that would be fetched", server.name);
            let hint = "a node reads files only. Fetch and review it: lockgate deploy URL --name NAME";
            self.problem("LG-C007", &format!("{path}.to"), what, hint);
            return None;
        }
        let Some(base) = &server.base_url else {
            let what = format!("server \"{}\" is an API, and nothing says where", server.name);
            self.problem("LG-C006", path, what, "add base_url = \"https://HOST/PATH\"");
            return None;
        };
        let base = match base_url(base) {
            Ok(base) => base,
            Err(why) => {
                self.problem(
                    "LG-C007",
                    &format!("{path}.base_url"),
                    why,
                    "write it like https://api.example/v1",
                );
                return None;
            }
        };
        let mut networks = Vec::new();
        for (n, text) in server.networks.iter().enumerate() {
            match text.parse::<Network>() {
                Ok(network) => networks.push(network),
                Err(error) => {
                    let place = format!("{path}.networks.{n}");
                    self.problem("LG-C007", &place, error.to_string(), "write it like 10.0.0.0/8");
                }
            }
        }
        networks.extend(named_by(&base));
        Some(Target::Api(Box::new(ApiPlan {
            document: self.base.join(document),
            base,
            allow: server.allow.clone(),
            allow_unsafe: server.allow_unsafe.clone(),
            listed_max: server.search_above.unwrap_or(LISTED_MAX),
            networks,
            keep: server.keep.clone(),
        })))
    }
}

/// Reads the URL at which an API begins.
///
/// # Errors
/// Why it cannot be one, in words.
pub(crate) fn base_url(text: &str) -> Result<Uri, String> {
    let no = || format!("{text:?} is no URL at which an API can begin");
    let uri: Uri = text.parse().map_err(|_| no())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(no)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || host.is_empty() {
        return Err(no());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("a URL with a user name or password would end up in logs; it is not accepted".to_owned());
    }
    if uri.query().is_some() || uri.path().split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(no());
    }
    Ok(uri)
}

/// An address that stands in the URL was named by whoever wrote it. That of a link is none that an API has: it takes a network
/// of its own, for metadata services of clouds are there.
pub(crate) fn named_by(base: &Uri) -> Vec<Network> {
    let host = base.host().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_link_local() => Vec::new(),
        Ok(IpAddr::V6(address)) if address.segments()[0] & 0xffc0 == 0xfe80 => Vec::new(),
        Ok(address) => vec![Network::one(address)],
        Err(_) if host == "localhost" => {
            ["127.0.0.1", "::1"].iter().filter_map(|address| address.parse().ok()).collect()
        }
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_stand_in_the_url_are_named_by_it() {
        for (url, count) in [
            ("http://127.0.0.1:8000", 1),
            ("http://[::1]/v1", 1),
            ("http://localhost", 2),
            ("https://api.example", 0),
            ("http://169.254.169.254", 0),
            ("http://[fe80::1]", 0),
        ] {
            assert_eq!(named_by(&base_url(url).unwrap()).len(), count, "{url}");
        }
        for bad in ["", "ftp://h", "http://u:p@h", "http://h/a/../b", "http://h/?a=1", "/x", "http://"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }
}

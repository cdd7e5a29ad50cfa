//! The MCP registry (`GET /v0/servers`): names and owners for what was found.

use serde_json::Value;

use crate::assemble::Registered;
use crate::remote::{Access, Remote, RemoteError};

/// Pages that are read.
const PAGES_MAX: usize = 300;
/// Servers of a page.
const PAGE_SERVERS: usize = 100;

/// Reads a registry. Whether all of it was read comes with it.
///
/// # Errors
/// [`RemoteError`].
pub async fn read(url: &str) -> Result<(Vec<Registered>, bool), RemoteError> {
    let base = url.trim_end_matches('/').to_owned();
    let remote = Remote::new(Access { base, roots: None, leaf: None, token: None })?;
    let (mut all, mut cursor): (Vec<Registered>, Option<String>) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let next = cursor.as_ref().map_or_else(String::new, |cursor| format!("&cursor={}", encoded(cursor)));
        let page = remote.get(&format!("/v0/servers?limit={PAGE_SERVERS}{next}")).await?;
        let (servers, after) =
            read_page(&page).ok_or_else(|| RemoteError::Malformed("it has no list of servers".to_owned()))?;
        all.extend(servers);
        // A cursor that stays would lead in a circle.
        if after.is_none() || after == cursor {
            return Ok((all, after.is_none()));
        }
        cursor = after;
    }
    Ok((all, false))
}

/// The servers of a page, and where the next one begins.
#[must_use]
pub fn read_page(page: &Value) -> Option<(Vec<Registered>, Option<String>)> {
    let servers = page["servers"].as_array()?.iter().take(PAGE_SERVERS * 10).filter_map(server).collect();
    let metadata = &page["metadata"];
    let cursor = metadata["nextCursor"].as_str().or_else(|| metadata["next_cursor"].as_str());
    Some((servers, cursor.filter(|cursor| !cursor.is_empty()).map(str::to_owned)))
}

fn server(entry: &Value) -> Option<Registered> {
    let server = if entry["server"].is_object() { &entry["server"] } else { entry };
    let list = |name: &str| server[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let package = |package: &Value| {
        let ecosystem = package["registryType"].as_str().or_else(|| package["registry_type"].as_str())?;
        let name = package["identifier"].as_str().or_else(|| package["name"].as_str())?;
        // An image is named with its tag there.
        let name = if ecosystem == "oci" {
            name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name)
        } else {
            name
        };
        Some((ecosystem.to_owned(), name.to_owned()))
    };
    Some(Registered {
        name: server["name"].as_str()?.to_owned(),
        version: server["version"]
            .as_str()
            .or_else(|| server["version_detail"]["version"].as_str())
            .map(str::to_owned),
        packages: list("packages").iter().filter_map(package).collect(),
        remotes: list("remotes")
            .iter()
            .filter_map(|remote| remote["url"].as_str().map(str::to_owned))
            .collect(),
    })
}

/// Percent-encoded but for the unreserved characters (RFC 3986, section 2.3).
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn pages_of_both_shapes() {
        let new = json!({"servers": [{"server": {"name": "io.github.o/s", "version": "1.2.0",
            "packages": [{"registryType": "npm", "identifier": "@o/s"}, {"registryType": "oci", "identifier": "ghcr.io/o/s:1.2"}],
            "remotes": [{"type": "streamable-http", "url": "https://s.example/mcp"}]}, "_meta": {}}],
            "metadata": {"nextCursor": "a b", "count": 1}});
        let (servers, cursor) = read_page(&new).unwrap();
        assert_eq!(cursor.as_deref(), Some("a b"));
        assert_eq!(encoded("a b"), "a%20b");
        assert_eq!(
            servers[0].packages,
            [("npm".into(), "@o/s".into()), ("oci".into(), "ghcr.io/o/s".into())]
        );
        let old = json!({"servers": [{"name": "n", "packages": [{"registry_type": "pypi", "identifier": "p"}]}, {"no": "name"}, 7]});
        let (servers, cursor) = read_page(&old).unwrap();
        assert_eq!((servers.len(), cursor), (1, None));
        assert_eq!(read_page(&json!({"servers": {}})), None);
        assert_eq!(read_page(&json!([])), None);
    }
}

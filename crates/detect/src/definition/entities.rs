//! Where a text leads to: hosts of URLs, and paths that hold secrets.

/// Longest host name (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// Hosts taken from one text.
const HOSTS_MAX: usize = 256;

/// The hosts of the URLs in a text, in lower case, each once, in order.
pub(crate) fn hosts(text: &str) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for (at, _) in text.match_indices("://").take(HOSTS_MAX) {
        let scheme = text[..at].bytes().rev().take_while(u8::is_ascii_alphanumeric).count();
        let Some(host) = host(&text[at + 3..]).filter(|_| scheme > 0) else { continue };
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// The host that an authority begins with (RFC 3986, section 3.2), without user and port.
fn host(rest: &str) -> Option<String> {
    let end = rest.find(|c: char| {
        c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>' | '`' | '\\' | '{' | '|')
    });
    let authority = &rest[..end.unwrap_or(rest.len())];
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let host = host.trim_end_matches(['.', ',', ';', ')', ']', '!']);
    let is_host = !host.is_empty()
        && host.len() <= HOST_BYTES_MAX
        && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':'));
    is_host.then(|| host.to_lowercase())
}

/// Words of which a path to a secret is made.
const SECRET_PLACES: [&str; 14] = [
    "/.ssh",
    "~/.",
    ".env",
    "id_rsa",
    "id_ed25519",
    "/etc/passwd",
    "/etc/shadow",
    ".aws/credentials",
    ".npmrc",
    ".netrc",
    ".git-credentials",
    "mcp.json",
    ".kube/config",
    ".pgpass",
];

/// Whether a text names a path of the machine, or a place where secrets lie.
pub(super) fn names_path(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    SECRET_PLACES.iter().any(|place| lower.contains(place))
        || text.split_whitespace().any(|word| {
            let word = word.trim_start_matches(['(', '"', '\'', '`']);
            let is_unix = word.starts_with('/') && word.len() > 4 && word[1..].contains('/');
            let drive = word.as_bytes();
            is_unix || drive.len() > 3 && drive[0].is_ascii_alphabetic() && drive[1..].starts_with(b":\\")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_those_that_a_client_would_dial() {
        for (text, expected) in [
            ("see https://Example.com/a?b and http://x.y:80.", vec!["example.com", "x.y"]),
            ("https://good.example@evil.example/x", vec!["evil.example"]),
            ("ftp://[2001:db8::1]/", vec!["2001:db8::1"]),
            ("://nothing and https:///path", vec![]),
            ("`https://a.b`, \"wss://c.d\"", vec!["a.b", "c.d"]),
            ("https://a.b\\@c.d", vec!["a.b"]),
        ] {
            assert_eq!(hosts(text), expected, "{text}");
        }
    }

    #[test]
    fn paths_are_told_from_words() {
        for (text, expected) in [
            ("read ~/.ssh/id_rsa first", true),
            ("open /etc/hosts", true),
            ("and/or", false),
            ("C:\\Users\\me", true),
            ("an API /v1", false),
        ] {
            assert_eq!(names_path(text), expected, "{text}");
        }
    }
}

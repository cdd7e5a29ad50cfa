//! What must not be shown of a configuration, and how it can be recognised all the same.
//!
//! Values of environment variables and headers are never shown, and neither are the parts of arguments and URLs that
//! look like credentials. Of a secret a keyed hash is kept (HMAC, RFC 2104, over SHA-256, 64 bits of it): with the key,
//! which stays on the machine, the same secret in two places is seen to be the same; without it nothing is learnt, not even by
//! trying out what it could be.

use lockgate_crypto::digest::{Sha256, hex};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";
/// Bytes of the key.
pub const KEY_BYTES: usize = 32;
/// Block of the hash, in bytes (FIPS 180-4).
const BLOCK_BYTES: usize = 64;
/// Bytes of a fingerprint that are shown: enough that two of a machine's secrets do not meet by chance.
const SHOWN_BYTES: usize = 8;
/// Shortest value that is taken for a secret by its looks alone.
const TOKEN_LETTERS_MIN: usize = 20;

/// Words in the name of a variable, header, argument or query that hold a secret.
const NAMES: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "apikey",
    "api_key",
    "api-key",
    "auth",
    "credential",
    "private",
    "bearer",
    "session",
    "cookie",
    "pat",
    "dsn",
    "signature",
    "access_key",
    "accesskey",
    "connection_string",
];
/// How well-known tokens begin.
const PREFIXES: &[&str] = &[
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "AKIA",
    "ASIA",
    "AIza",
    "ya29.",
    "eyJ",
    "npm_",
    "pypi-",
    "hf_",
    "ntn_",
    "secret_",
    "lin_api_",
    "dop_v1_",
    "Bearer ",
    "Basic ",
    "shpat_",
    "sbp_",
    "figd_",
    "pplx-",
    "gsk_",
    "tvly-",
    "lg1.",
];

/// Where a secret was seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sighting {
    /// Like `env API_TOKEN`, `header Authorization`, `argument --token` or `URL query key`.
    pub place: String,
    /// Keyed hash, hexadecimal.
    pub fingerprint: String,
}

/// Hides secrets, and knows them again.
pub struct Redactor {
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor { key: [redacted] }")
    }
}

impl Redactor {
    /// With the key of this machine.
    #[must_use]
    pub fn new(key: [u8; KEY_BYTES]) -> Self {
        Self { key: Zeroizing::new(key) }
    }

    /// The fingerprint of a secret.
    #[must_use]
    pub fn fingerprint(&self, secret: &str) -> String {
        hex(&hmac(&self.key, secret.as_bytes())[..SHOWN_BYTES])
    }

    /// Fingerprint of a value that is there, is meant literally, and by name or looks is a secret.
    #[must_use]
    pub fn sighting(&self, kind: &str, name: &str, value: &str) -> Option<Sighting> {
        let secret = bare(value);
        let counts =
            !is_reference(secret) && secret.len() >= 4 && (names_secret(name) || looks_secret(secret));
        counts.then(|| Sighting { place: format!("{kind} {name}"), fingerprint: self.fingerprint(secret) })
    }

    /// A command line without its secrets, and where they were.
    #[must_use]
    pub fn command(&self, command: &[String]) -> (Vec<String>, Vec<Sighting>) {
        let (mut shown, mut seen) = (Vec::with_capacity(command.len()), Vec::new());
        let mut named: Option<String> = None;
        for word in command {
            if let Some(flag) = named.take()
                && !word.starts_with('-')
            {
                seen.extend(self.sighting("argument", &flag, word));
                shown.push(if is_reference(word) { word.clone() } else { REDACTED.to_owned() });
                continue;
            }
            let (word, found) = self.word(word);
            if word.starts_with('-') && !word.contains(['=', ' ']) && names_secret(&word) {
                named = Some(word.clone());
            }
            // `-e NAME=value` and `--header "Name: value"` hold the secret in the next word, which `word` looks into.
            seen.extend(found);
            shown.push(word);
        }
        (shown, seen)
    }

    fn word(&self, word: &str) -> (String, Vec<Sighting>) {
        if word.contains("://") {
            return self.url(word);
        }
        let split = word.split_once('=').map(|(name, value)| (name, "=", value));
        let split = split.or_else(|| word.split_once(": ").map(|(name, value)| (name, ": ", value)));
        // A value glued to a header's name, as bridges want it: `Authorization:Bearer x`.
        let split = split.or_else(|| {
            word.split_once(':').filter(|(name, _)| names_secret(name)).map(|(n, v)| (n, ":", v))
        });
        if let Some((name, by, value)) = split
            && let Some(seen) = self.sighting("argument", name, value)
        {
            return (format!("{name}{by}{REDACTED}"), vec![seen]);
        }
        match looks_secret(word) {
            true => (REDACTED.to_owned(), self.sighting("argument", "value", word).into_iter().collect()),
            false => (word.to_owned(), Vec::new()),
        }
    }

    /// A URL without user name, password, query values and parts of the path that look like tokens.
    #[must_use]
    pub fn url(&self, url: &str) -> (String, Vec<Sighting>) {
        let mut seen = Vec::new();
        let Some((scheme, rest)) = url.split_once("://") else { return (url.to_owned(), seen) };
        let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(host_end);
        let host = match authority.rsplit_once('@') {
            Some((user, host)) => {
                let password = user.split_once(':').map_or(user, |(_, password)| password);
                seen.extend(self.sighting("URL", "password", password));
                format!("{REDACTED}@{host}")
            }
            None => authority.to_owned(),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut shown = Vec::new();
        for step in path.split('/') {
            match looks_secret(step) {
                true => {
                    seen.extend(self.sighting("URL", "path", step));
                    shown.push(REDACTED);
                }
                false => shown.push(step),
            }
        }
        let mut text = format!("{scheme}://{host}{}", shown.join("/"));
        for (n, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            seen.extend(self.sighting("URL query", name, value));
            let value = if value.is_empty() || is_reference(value) { value } else { REDACTED };
            text.push_str(&format!("{}{name}={value}", if n == 0 { '?' } else { '&' }));
        }
        (text, seen)
    }
}

/// Without the scheme that stands before a credential.
fn bare(value: &str) -> &str {
    ["Bearer ", "bearer ", "Basic ", "Token ", "token "]
        .iter()
        .find_map(|scheme| value.strip_prefix(scheme))
        .unwrap_or(value)
        .trim()
}

/// Whether a value only says where the secret is: `${TOKEN}`, `$TOKEN`, `${input:key}`, `{env:KEY}`.
#[must_use]
pub fn is_reference(value: &str) -> bool {
    let value = bare(value);
    value.starts_with("${")
        || value.starts_with("{env:")
        || value.starts_with("{file:")
        || value.starts_with('$')
        || (value.starts_with('%') && value.ends_with('%') && value.len() > 2)
        || (value.starts_with('<') && value.ends_with('>'))
}

fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let word = |word: &str| name.split(|c: char| !c.is_ascii_alphanumeric()).any(|part| part == word);
    // Short words count as whole ones: a path is no personal access token. Of a key, only what says so is one.
    NAMES.iter().any(|known| {
        if known.len() <= 4 {
            word(known) || (*known == "auth" && name.starts_with("auth"))
        } else {
            name.contains(known)
        }
    }) || word("key")
}

/// Whether a text looks like a token: it begins like one, or is long and mixed.
fn looks_secret(text: &str) -> bool {
    if PREFIXES.iter().any(|prefix| text.starts_with(prefix) && text.len() >= prefix.len() + 8) {
        return true;
    }
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-_=+".contains(c);
    if text.len() < TOKEN_LETTERS_MIN || !text.chars().all(is_token) {
        return false;
    }
    let has = |kind: fn(&char) -> bool| text.chars().filter(kind).count();
    let (digits, upper, lower) =
        (has(char::is_ascii_digit), has(char::is_ascii_uppercase), has(char::is_ascii_lowercase));
    let is_hex = text.len() >= 32 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    is_hex || (digits >= 3 && upper >= 3 && lower >= 3)
}

/// HMAC (RFC 2104).
fn hmac(key: &[u8; KEY_BYTES], message: &[u8]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut hash = Sha256::new();
        let mut block = Zeroizing::new([pad; BLOCK_BYTES]);
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        hash.update(&*block);
        hash
    };
    let mut inner = padded(0x36);
    inner.update(message);
    let mut outer = padded(0x5c);
    outer.update(&inner.finish());
    outer.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn redactor() -> Redactor {
        Redactor::new([7; KEY_BYTES])
    }

    fn words(line: &str) -> Vec<String> {
        line.split('|').map(str::to_owned).collect()
    }

    /// RFC 4231 has no case with a key of 32 bytes; one of 20 is the same with zeros behind it, since keys are padded with zeros.
    #[test]
    fn the_hash_is_hmac() {
        let mut key = [0; KEY_BYTES];
        key[..20].fill(0x0b);
        assert_eq!(
            hex(&hmac(&key, b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn commands_lose_their_secrets_and_nothing_else() {
        for (line, shown, secrets) in [
            ("npx|-y|@scope/server|--root|/srv/data", "npx|-y|@scope/server|--root|/srv/data", 0),
            ("server|--api-key|abcd1234", "server|--api-key|[redacted]", 1),
            ("server|--api-key=abcd1234|x", "server|--api-key=[redacted]|x", 1),
            ("server|--api-key|${KEY}", "server|--api-key|${KEY}", 0),
            ("server|--api-key|--verbose", "server|--api-key|--verbose", 0),
            (
                "docker|run|-e|GITHUB_TOKEN=ghp_0123456789abcdef|img",
                "docker|run|-e|GITHUB_TOKEN=[redacted]|img",
                1,
            ),
            ("docker|run|-e|GITHUB_TOKEN|img", "docker|run|-e|GITHUB_TOKEN|img", 0),
            (
                "mcp-remote|https://h/sse|--header|Authorization: Bearer abcdefgh",
                "mcp-remote|https://h/sse|--header|Authorization: [redacted]",
                1,
            ),
            (
                "mcp-remote|https://h/sse|--header|Authorization:Bearer abcdefgh",
                "mcp-remote|https://h/sse|--header|Authorization:[redacted]",
                1,
            ),
            ("pg|postgres://me:hunter22@db/x", "pg|postgres://[redacted]@db/x", 1),
            ("s|sk-proj-0123456789abcdef", "s|[redacted]", 1),
            (
                "s|https://h/mcp/0123456789abcdef0123456789abcdef?api_key=abcd",
                "s|https://h/mcp/[redacted]?api_key=[redacted]",
                2,
            ),
            ("s|--path|/home/me/Documents", "s|--path|/home/me/Documents", 0),
            ("s|/a/very/long/path/With/Digits123/And/More", "s|/a/very/long/path/With/Digits123/And/More", 0),
        ] {
            let (found, seen) = redactor().command(&words(line));
            assert_eq!(found.join("|"), shown);
            assert_eq!(seen.len(), secrets, "{line}: {seen:?}");
        }
    }

    #[test]
    fn the_same_secret_is_known_again_with_and_without_its_scheme() {
        let one = redactor().sighting("header", "Authorization", "Bearer abcdefgh").unwrap();
        let two = redactor().sighting("env", "API_TOKEN", "abcdefgh").unwrap();
        assert_eq!(one.fingerprint, two.fingerprint);
        let elsewhere = Redactor::new([8; KEY_BYTES]).sighting("env", "API_TOKEN", "abcdefgh").unwrap();
        assert_ne!(one.fingerprint, elsewhere.fingerprint, "another machine has another key");
        assert_eq!(redactor().sighting("env", "HOME_DIR", "/home/me"), None);
        assert_eq!(redactor().sighting("env", "PATH", "/usr/bin"), None);
        assert_eq!(redactor().sighting("env", "API_TOKEN", "${TOKEN}"), None);
    }
}

//! Selectors: single facts that an attestor has proven, and the patterns that registrations hold against them.

use std::fmt;
use std::sync::Arc;

use crate::AuthorityError;
use crate::error::shown;

/// Longest selector in bytes: a path of 4096 would fit no certificate's rule that a person can read.
pub const SELECTOR_BYTES_MAX: usize = 1024;

/// What selectors start with, and what comes of a name after it: every fact that some attestor gives.
pub(crate) const FACTS: &[&str] = &[
    "invite:name",
    "invite:key",
    "k8s:namespace",
    "k8s:serviceaccount",
    "k8s:pod",
    "k8s:pod-uid",
    "k8s:node",
    "k8s:issuer",
    "unix:uid",
    "unix:gid",
    "unix:path",
    "unix:sha256",
    "unix:interpreter",
    "unix:argv0",
    "unix:cgroup",
    "unix:container",
    "unix:systemd",
    "parent:uid",
    "parent:path",
    "parent:sha256",
    "parent:interpreter",
    "parent:argv0",
    "spiffe:id",
    "spiffe:trust-domain",
];

/// Kinds whose second word is a claim of the issuer's choosing.
const OPEN: &[&str] = &["oidc"];

/// One proven fact, such as `unix:uid:1000`: a kind, a name and a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(Arc<str>);

impl Selector {
    /// A fact with its value. `None` if the value cannot stand in a selector: empty, too long, with control characters,
    /// or with a `*`, which patterns use. What cannot be said exactly is not said, so that no rule matches it.
    pub fn new(fact: &str, value: &str) -> Option<Self> {
        let fits = !value.is_empty()
            && fact.len() + 1 + value.len() <= SELECTOR_BYTES_MAX
            && !value.contains('*')
            && !value.chars().any(char::is_control);
        fits.then(|| Self(format!("{fact}:{value}").into()))
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a registration asks for: a selector, or all that start with it up to a last `/*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Reads one as it stands in a configuration.
    ///
    /// # Errors
    /// [`AuthorityError::Selector`] with what is wrong: a rule that can never hold is a mistake.
    pub fn parse(text: &str) -> Result<Self, AuthorityError> {
        let fail = |reason| Err(AuthorityError::Selector { text: shown(text), reason });
        if text.len() > SELECTOR_BYTES_MAX {
            return fail("it is longer than 1024 bytes");
        }
        if text.chars().any(char::is_control) {
            return fail("it holds control characters");
        }
        let Some((fact, value)) = split(text) else {
            return fail("write it like unix:uid:1000: a kind, a name and a value");
        };
        if value.is_empty() {
            return fail("it has no value");
        }
        if !is_known(fact) {
            return fail("no attestor gives such a fact; `lockgate identity whoami` shows what is proven");
        }
        match value.find('*') {
            None => {}
            // A prefix that may end within a name would cover names that nobody thought of: acme* is acme-evil, too.
            Some(at) if at + 1 == value.len() && value[..at].ends_with('/') && at > 1 => {}
            Some(_) => return fail("a * may stand only at the end, after a / with something before it"),
        }
        if fact.ends_with(":sha256") && !is_sha256(value) {
            return fail("a SHA-256 has 64 digits 0-9 and a-f");
        }
        Ok(Self(text.into()))
    }

    /// Whether a proven fact is what it asks for.
    pub fn holds_for(&self, selector: &Selector) -> bool {
        match self.0.strip_suffix('*') {
            // `acme/*` asks for something after the slash.
            Some(prefix) => selector.0.len() > prefix.len() && selector.0.starts_with(prefix),
            None => *self.0 == *selector.0,
        }
    }

    /// The kind of attestor that could prove it: its first word.
    pub fn kind(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `kind:name` and the rest, which may hold colons itself.
fn split(text: &str) -> Option<(&str, &str)> {
    let kind = text.find(':')?;
    let name = kind + 1 + text[kind + 1..].find(':')?;
    Some((&text[..name], &text[name + 1..]))
}

fn is_known(fact: &str) -> bool {
    FACTS.contains(&fact)
        || fact.split_once(':').is_some_and(|(kind, name)| OPEN.contains(&kind) && !name.is_empty())
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_say_what_is_wrong_with_them() {
        for (text, reason) in [
            ("", "kind, a name"),
            ("unix", "kind, a name"),
            ("unix:uid", "kind, a name"),
            ("unix:uid:", "no value"),
            ("unix:pid:1", "no attestor"),
            ("UNIX:uid:1", "no attestor"),
            ("oidc::x", "no attestor"),
            ("oidc:repository:acme*", "after a /"),
            ("oidc:repository:*", "after a /"),
            ("oidc:repository:/*", "after a /"),
            ("oidc:repository:a/*/b", "after a /"),
            ("unix:sha256:AB", "64 digits"),
            ("unix:path:/bin/\u{7}", "control"),
        ] {
            let error = Pattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        for text in
            ["unix:uid:1000", "unix:path:/opt/a:b", "oidc:repository:acme/*", "spiffe:id:spiffe://a/b"]
        {
            assert_eq!(Pattern::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn a_pattern_holds_for_what_it_says_and_nothing_near_it() {
        let selector = |value: &str| Selector::new("oidc:repository", value).unwrap();
        let prefix = Pattern::parse("oidc:repository:acme/*").unwrap();
        for (value, holds) in [
            ("acme/x", true),
            ("acme/x/y", true),
            ("acme/", false),
            ("acme", false),
            ("acme-evil/x", false),
            ("ACME/x", false),
        ] {
            assert_eq!(prefix.holds_for(&selector(value)), holds, "{value}");
        }
        let exact = Pattern::parse("oidc:repository:acme/x").unwrap();
        assert!(exact.holds_for(&selector("acme/x")));
        assert!(!exact.holds_for(&selector("acme/xy")));
        // A claim whose value carries the name of another does not become it.
        assert!(!exact.holds_for(&Selector::new("oidc:ref", "x:repository:acme/x").unwrap()));
    }

    #[test]
    fn values_that_patterns_could_not_tell_apart_are_not_said() {
        for value in ["", "a*", "a\nb", &"x".repeat(SELECTOR_BYTES_MAX)] {
            assert_eq!(Selector::new("unix:path", value), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_an_error(text in "\\PC{0,60}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(pattern.as_str(), text);
            }
        }

        #[test]
        fn an_exact_pattern_holds_for_exactly_its_selector(a in "[a-z/:]{1,12}", b in "[a-z/:]{1,12}") {
            let pattern = Pattern::parse(&format!("unix:path:{a}")).unwrap();
            prop_assert_eq!(pattern.holds_for(&Selector::new("unix:path", &b).unwrap()), a == b);
        }
    }
}

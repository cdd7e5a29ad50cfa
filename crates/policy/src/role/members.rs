//! Who is in a role.

use std::collections::HashSet;

use lockgate_identity::{Caller, Principal, SpiffeId};

use super::read::{Text, shown};
use super::report::Report;

/// The callers of a role.
///
/// An entry of `agents` is one of
/// * a path in the trust domain of this node, `agent/billing`, in which `*`
///   stands for any text within one segment and `**`, as a whole segment and
///   once, for one segment or more;
/// * a whole SPIFFE id, with the same stars if it is in our trust domain and
///   without them otherwise;
/// * `local-user`, the user of this machine;
/// * `anonymous`, whoever has no identity. No pattern covers them, and neither
///   does any registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    ids: HashSet<String>,
    trust_domain: String,
    patterns: Vec<Vec<String>>,
    local_user: bool,
    anonymous: bool,
}

impl Members {
    /// Whether the caller is in the role by the role's own list. (An agent can
    /// be in it by its registration as well.)
    pub fn matches(&self, caller: &Caller) -> bool {
        match &*caller.principal {
            Principal::Workload { id, .. } | Principal::Bearer { id, .. } => self.matches_id(id),
            Principal::LocalUser { .. } => self.local_user,
            Principal::Anonymous => self.anonymous,
        }
    }

    /// Whether a workload of this id is in the role.
    pub fn matches_id(&self, id: &SpiffeId) -> bool {
        self.ids.contains(id.as_str())
            || id.trust_domain() == self.trust_domain
                && self
                    .patterns
                    .iter()
                    .any(|pattern| matches_path(pattern, id.path().trim_start_matches('/')))
    }

    /// Whether the list names nobody, so that only registration gives members.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.patterns.is_empty() && !self.local_user && !self.anonymous
    }

    /// All entries, sorted, those of our trust domain as paths.
    pub(crate) fn written(&self) -> Vec<String> {
        let own = format!("spiffe://{}/", self.trust_domain);
        let ids = self.ids.iter().map(|id| id.strip_prefix(&own).unwrap_or(id).to_owned());
        let patterns = self.patterns.iter().map(|pattern| pattern.join("/"));
        let named = [("local-user", self.local_user), ("anonymous", self.anonymous)];
        let named = named.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned());
        let mut all: Vec<String> = ids.chain(patterns).chain(named).collect();
        all.sort_unstable();
        all
    }

    pub(super) fn read(entries: &[Text<'_>], trust_domain: &str, report: &Report<'_>) -> Self {
        let mut members = Members { trust_domain: trust_domain.to_owned(), ..Members::default() };
        for entry in entries {
            if let Err((what, hint)) = members.add(entry.value) {
                report.say(entry.at, what, hint);
            }
        }
        members
    }

    fn add(&mut self, entry: &str) -> Result<(), (String, String)> {
        if entry == "local-user" {
            self.local_user = true;
            return Ok(());
        }
        if entry == "anonymous" {
            self.anonymous = true;
            return Ok(());
        }
        let path = match entry.strip_prefix("spiffe://") {
            Some(rest) => {
                let (domain, path) = rest.split_once('/').unwrap_or((rest, ""));
                if domain != self.trust_domain {
                    return self.add_foreign(entry);
                }
                path
            }
            None => entry,
        };
        check_path(path, &self.trust_domain)?;
        if path.contains('*') {
            self.patterns.push(path.split('/').map(str::to_owned).collect());
        } else {
            self.ids.insert(format!("spiffe://{}/{path}", self.trust_domain));
        }
        Ok(())
    }

    fn add_foreign(&mut self, entry: &str) -> Result<(), (String, String)> {
        if entry.contains('*') {
            let what = format!("`{}` is a pattern outside of our trust domain", shown(entry));
            let hint = format!("patterns reach within `{}`; name ids of others whole", self.trust_domain);
            return Err((what, hint));
        }
        match SpiffeId::parse(entry) {
            Ok(id) => {
                self.ids.insert(id.as_str().to_owned());
                Ok(())
            }
            Err(error) => Err((
                format!("`{}` is not a SPIFFE id", shown(entry)),
                format!("an id reads spiffe://domain/agent/name ({error})"),
            )),
        }
    }
}

fn check_path(path: &str, trust_domain: &str) -> Result<(), (String, String)> {
    let hint = || {
        format!(
            "write agent/NAME for spiffe://{trust_domain}/agent/NAME; `*` stands for text within a segment, a segment `**` for one or more"
        )
    };
    let wrong = |why: &str| Err((format!("`{}` {why}", shown(path)), hint()));
    let segments: Vec<&str> = path.split('/').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return wrong("has an empty segment: no slash at the beginning, at the end, or twice");
    }
    if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
        return wrong("has a segment that is no name");
    }
    if let Some(bad) = path.chars().find(|c| !(c.is_ascii_alphanumeric() || "/-._*".contains(*c))) {
        return wrong(&format!("holds {bad:?}, which no SPIFFE path can"));
    }
    if segments.iter().any(|segment| segment.contains("**") && *segment != "**") {
        return wrong("has `**` beside other text");
    }
    if segments.iter().filter(|segment| **segment == "**").count() > 1 {
        return wrong("has `**` twice");
    }
    Ok(())
}

fn matches_path(pattern: &[String], path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    let each = |pattern: &[String], segments: &[&str]| {
        pattern.len() == segments.len() && pattern.iter().zip(segments).all(|(p, s)| matches_segment(p, s))
    };
    match pattern.iter().position(|segment| segment == "**") {
        None => each(pattern, &segments),
        Some(star) => {
            let after = pattern.len() - star - 1;
            segments.len() >= pattern.len()
                && each(&pattern[..star], &segments[..star])
                && each(&pattern[star + 1..], &segments[segments.len() - after..])
        }
    }
}

/// Whether `text` is the pattern, each `*` being any text. Greedy, with one
/// point to come back to, so that it takes at most `pattern × text` steps.
fn matches_segment(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            back = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = back {
            p = star + 1;
            t = from + 1;
            back = Some((star, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lockgate_identity::bind;

    use super::*;

    fn members(entries: &[&str]) -> Result<Members, Vec<String>> {
        let report = Report::new("f", "");
        let entries: Vec<Text<'_>> = entries.iter().map(|value| Text { value, at: 0 }).collect();
        let members = Members::read(&entries, "example.org", &report);
        let errors = report.into_errors();
        if errors.is_empty() { Ok(members) } else { Err(errors.into_iter().map(|e| e.what).collect()) }
    }

    #[test]
    fn patterns_match_whole_ids() {
        for (entry, id, expected) in [
            ("agent/a", "spiffe://example.org/agent/a", true),
            ("agent/a", "spiffe://other.org/agent/a", false),
            ("agent/a", "spiffe://example.org/agent/a/b", false),
            ("agent/retail-*", "spiffe://example.org/agent/retail-", true),
            ("agent/retail-*", "spiffe://example.org/agent/retail-7", true),
            ("agent/retail-*", "spiffe://example.org/agent/retail-7/x", false),
            ("agent/retail-*", "spiffe://example.org.evil.org/agent/retail-7", false),
            ("agent/retail-*", "spiffe://evil.org/agent/retail-7", false),
            ("agent/*-prod-*", "spiffe://example.org/agent/a-prod-prod-b", true),
            ("agent/*-prod", "spiffe://example.org/agent/a-prod-b", false),
            ("agent/*", "spiffe://example.org/agent", false),
            ("agent/**", "spiffe://example.org/agent/a/b/c", true),
            ("agent/**", "spiffe://example.org/agent", false),
            ("**", "spiffe://example.org/node/n", true),
            ("**/sa/bot", "spiffe://example.org/ns/x/sa/bot", true),
            ("**/sa/bot", "spiffe://example.org/sa/bot", false),
            ("spiffe://example.org/agent/r*", "spiffe://example.org/agent/rx", true),
            ("spiffe://other.org/agent/x", "spiffe://other.org/agent/x", true),
            ("spiffe://other.org/agent/x", "spiffe://other.org/agent/xy", false),
        ] {
            let id = SpiffeId::parse(id).expect(id);
            assert_eq!(members(&[entry]).expect(entry).matches_id(&id), expected, "{entry} {id}");
        }
    }

    #[test]
    fn who_has_no_id_is_in_a_role_by_name_only() {
        let local = bind(&Arc::new(Principal::LocalUser { uid: 1000 }));
        let nobody = bind(&Arc::new(Principal::Anonymous));
        for (entries, is_local, is_nobody) in [
            (&["local-user"][..], true, false),
            (&["anonymous"], false, true),
            (&["**"], false, false),
            (&["*"], false, false),
            (&[], false, false),
        ] {
            let members = members(entries).expect("well-formed");
            assert_eq!(members.matches(&local), is_local, "{entries:?}");
            assert_eq!(members.matches(&nobody), is_nobody, "{entries:?}");
        }
    }

    #[test]
    fn bad_entries() {
        for entry in [
            "/agent/a",
            "agent/",
            "agent//a",
            "agent/../a",
            "agent/a b",
            "agent/ä",
            "agent/a**",
            "**/x/**",
            "Anonymous ",
            "spiffe://other.org/agent/*",
            "spiffe://*/agent/a",
            "spiffe://other.org/a?b",
            "spiffe://example.org",
            "spiffe://example.org/",
            "https://example.org/x",
        ] {
            assert!(members(&[entry]).is_err(), "{entry}");
        }
    }
}

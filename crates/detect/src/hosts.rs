//! The hosts that a tool may lead to, where the operator names them.

/// Hosts named for one server or tool; more is a list that nobody reads.
pub const HOSTS_MAX: usize = 1_024;

/// Where the calls of a tool may lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSet {
    /// Id of the server.
    pub server: String,
    /// The tool; all of the server without it.
    pub tool: Option<String>,
    /// Host names in lower case; `*.example.com` is every host below it.
    pub hosts: Vec<String>,
}

impl HostSet {
    fn is_about(&self, server: &str, tool: &str) -> bool {
        self.server == server && self.tool.as_ref().is_none_or(|own| own == tool)
    }

    fn holds(&self, host: &str) -> bool {
        self.hosts.iter().any(|named| match named.strip_prefix("*.") {
            Some(above) => host.strip_suffix(above).is_some_and(|rest| rest.ends_with('.')),
            None => named == host,
        })
    }
}

/// The hosts in a text that none of the sets about this tool holds; none where there is no set about it.
pub(crate) fn outside(sets: &[HostSet], server: &str, tool: &str, raw: &str) -> Vec<String> {
    let about: Vec<&HostSet> = sets.iter().filter(|set| set.is_about(server, tool)).collect();
    if about.is_empty() {
        return Vec::new();
    }
    // In JSON a slash may be written with a backslash before it.
    let plain = if raw.contains('\\') { decoded(raw) } else { raw.to_owned() };
    let mut hosts = crate::definition::hosts(&plain);
    hosts.retain(|host| !about.iter().any(|set| set.holds(host)));
    hosts
}

fn decoded(raw: &str) -> String {
    fn gather(value: &serde_json::Value, text: &mut String) {
        match value {
            serde_json::Value::String(own) => {
                text.push_str(own);
                text.push('\n');
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| gather(item, text)),
            serde_json::Value::Object(members) => members.iter().for_each(|(name, value)| {
                text.push_str(name);
                text.push('\n');
                gather(value, text);
            }),
            _ => {}
        }
    }
    let Ok(value) = serde_json::from_str(raw) else { return raw.to_owned() };
    let mut text = String::with_capacity(raw.len());
    gather(&value, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_held_to_the_sets_about_their_tool() {
        let set = |server: &str, tool: Option<&str>, hosts: &[&str]| HostSet {
            server: server.into(),
            tool: tool.map(str::to_owned),
            hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        };
        let sets = [
            set("web", None, &["*.example.com", "example.org"]),
            set("web", Some("post"), &["hook.example.net"]),
        ];
        for (tool, text, expected) in [
            ("get", r#"{"url":"https://api.example.com/x"}"#, vec![]),
            ("get", r#"{"url":"https://example.com/x"}"#, vec!["example.com"]),
            ("get", r#"{"url":"https://evilexample.com"}"#, vec!["evilexample.com"]),
            ("get", r#"{"url":"https://hook.example.net"}"#, vec!["hook.example.net"]),
            ("post", r#"{"url":"https://hook.example.net"}"#, vec![]),
            ("get", r#"{"url":"https:\/\/evil.example"}"#, vec!["evil.example"]),
            ("get", r#"{"url":"https:\u002f\u002fevil.example"}"#, vec!["evil.example"]),
            ("get", r#"{"url":"nothing"}"#, vec![]),
        ] {
            assert_eq!(outside(&sets, "web", tool, text), expected, "{text}");
        }
        assert!(outside(&sets, "other", "get", "https://evil.example").is_empty());
    }
}

//! Which scopes calls need (RFC 6750, section 3.1; MCP authorization, scope challenges).
//!
//! A scope limits what a *token* may do, as far as its issuer limits it; it gives nobody anything, and policy decides in any
//! case. Whoever speaks by a certificate alone has no scope, and needs none.

use lockgate_identity::token::{Scope, TokenRefused};
use lockgate_mcp::Message;

/// What calls need that a rule covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeRule {
    /// Ids of servers.
    pub servers: Vec<String>,
    /// Names of tools, each whole or with `*` at its end: calls of these.
    pub tools: Vec<String>,
    /// MCP methods, likewise. Without tools and methods the rule covers everything that reaches its servers.
    pub methods: Vec<String>,
    /// All of it is needed.
    pub needs: Scope,
}

/// The rules in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<ScopeRule>);

impl Scopes {
    /// These rules; what several cover needs what all of them say.
    #[must_use]
    pub fn new(rules: Vec<ScopeRule>) -> Self {
        Self(rules)
    }

    /// What everything needs that goes to `server`, or to all servers together.
    #[must_use]
    pub fn of_server(&self, server: Option<&str>) -> Scope {
        self.sum(|rule| rule.concerns(server) && rule.is_general())
    }

    /// What one message needs; `name` is the one that its server knows.
    #[must_use]
    pub fn of_call(&self, server: Option<&str>, method: &str, name: Option<&str>) -> Scope {
        self.sum(|rule| rule.concerns(server) && (rule.is_general() || rule.covers(method, name)))
    }

    /// Whether `held` is enough for a message.
    ///
    /// # Errors
    /// [`TokenRefused::Scope`], which names all that is needed, and what of it that is held is known here: a client that
    /// asks for that gets a token which is good for this call and for those of before.
    pub fn check(&self, held: &Scope, server: Option<&str>, message: &Message) -> Result<(), TokenRefused> {
        let method = message.method().unwrap_or_default();
        // Names of one server are not known before it is; what they need is asked for then.
        let name = message.name().filter(|_| server.is_some());
        let needed = self.of_call(server, method, name);
        held.covers(&needed).map_err(|_| self.wanting(held, &needed))
    }

    /// The refusal of a token with `held` where `needed` is.
    #[must_use]
    pub fn wanting(&self, held: &Scope, needed: &Scope) -> TokenRefused {
        let known = self.sum(|_| true);
        TokenRefused::Scope { needed: held.and(&known).or(needed).to_string() }
    }

    fn sum(&self, counts: impl Fn(&ScopeRule) -> bool) -> Scope {
        let rules = self.0.iter().filter(|rule| counts(rule));
        rules.fold(Scope::default(), |sum, rule| sum.or(&rule.needs))
    }
}

impl ScopeRule {
    /// Whether it is about a server; all servers together need what any of them does.
    fn concerns(&self, server: Option<&str>) -> bool {
        server.is_none_or(|server| self.servers.iter().any(|id| id == server))
    }

    fn is_general(&self) -> bool {
        self.tools.is_empty() && self.methods.is_empty()
    }

    fn covers(&self, method: &str, name: Option<&str>) -> bool {
        let tool = method == "tools/call" && name.is_some_and(|name| any(&self.tools, name));
        tool || any(&self.methods, method)
    }
}

fn any(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => pattern == text,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn rules() -> Scopes {
        let rule = |servers: &[&str], tools: &[&str], methods: &[&str], needs: &str| ScopeRule {
            servers: servers.iter().map(|text| (*text).to_owned()).collect(),
            tools: tools.iter().map(|text| (*text).to_owned()).collect(),
            methods: methods.iter().map(|text| (*text).to_owned()).collect(),
            needs: Scope::parse(needs).unwrap(),
        };
        Scopes::new(vec![
            rule(&["crm", "billing"], &[], &[], "use"),
            rule(&["crm"], &["refund", "delete_*"], &[], "crm.write"),
            rule(&["crm"], &[], &["resources/*", "prompts/list"], "crm.files"),
            rule(&["billing"], &["refund"], &["tools/list"], "billing.all"),
        ])
    }

    #[test]
    fn each_call_needs_what_all_rules_about_it_say() {
        for (server, method, name, needed) in [
            (Some("crm"), "tools/call", Some("read"), "use"),
            (Some("crm"), "tools/call", Some("refund"), "crm.write use"),
            (Some("crm"), "tools/call", Some("refund2"), "use"),
            (Some("crm"), "tools/call", Some("delete_"), "crm.write use"),
            (Some("crm"), "tools/call", Some("delete_all"), "crm.write use"),
            (Some("crm"), "prompts/get", Some("refund"), "use"),
            (Some("crm"), "resources/read", Some("file:///x"), "crm.files use"),
            (Some("crm"), "prompts/list", None, "crm.files use"),
            (Some("crm"), "tools/list", None, "use"),
            (Some("billing"), "tools/list", None, "billing.all use"),
            (Some("billing"), "tools/call", Some("delete_all"), "use"),
            (Some("other"), "tools/call", Some("refund"), ""),
            (None, "tools/list", None, "billing.all use"),
            (None, "resources/list", None, "crm.files use"),
        ] {
            let found = rules().of_call(server, method, name).to_string();
            assert_eq!(found, needed, "{server:?} {method} {name:?}");
        }
    }

    #[test]
    fn what_is_asked_for_keeps_what_was_there() {
        let held = Scope::parse("use crm.files openid").unwrap();
        let needed = Scope::parse("use crm.write").unwrap();
        let TokenRefused::Scope { needed } = rules().wanting(&held, &needed) else { panic!() };
        assert_eq!(needed, "crm.files crm.write use", "without words that mean nothing here");
    }
}

//! `[[scope]]`: which scopes tokens need, by server, tool and method.

use lockgate_identity::token::Scope as Words;
use lockgate_proxy::scopes::{ScopeRule, Scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::settings::Resolver;

/// Most rules: each call looks at all of them.
const RULES_MAX: usize = 256;
/// Longest name of a tool or method, in bytes.
const PATTERN_BYTES_MAX: usize = 256;
/// Code of everything that is wrong here.
const CODE: &str = "LG-C022";

/// What of scopes calls need, if a token speaks for their caller. It gives nobody anything: policy decides in any case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeNeed {
    /// Names of servers that it is about.
    pub(crate) servers: Vec<String>,
    /// Tools whose calls need it, each whole or with * at its end, like "delete_*".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<String>,
    /// MCP methods that need it, likewise, like "resources/*". Without tools and methods, everything that goes to these servers does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) methods: Vec<String>,
    /// The scopes, all of which a token must have. What several rules cover needs what all of them say.
    pub(crate) needs: Vec<String>,
}

impl Resolver<'_> {
    /// Reads all of them; problems are collected.
    pub(super) fn scopes(&mut self, config: &Config) -> Scopes {
        if config.scope.len() > RULES_MAX {
            let what = format!("there are more than {RULES_MAX} [[scope]]");
            self.problem(CODE, "scope", what, "name several tools in one, or use * at their end");
        }
        let rules: Vec<_> =
            config.scope.iter().enumerate().filter_map(|(n, need)| self.scope(config, n, need)).collect();
        Scopes::new(rules)
    }

    fn scope(&mut self, config: &Config, n: usize, need: &ScopeNeed) -> Option<ScopeRule> {
        let path = format!("scope.{n}");
        if need.servers.is_empty() {
            let what = "a [[scope]] is about no server".to_owned();
            self.problem(CODE, &path, what, "add servers = [\"NAME\"]");
        }
        for (m, name) in need.servers.iter().enumerate() {
            if !config.server.iter().any(|server| server.name == *name) {
                let known: Vec<&str> = config.server.iter().map(|server| server.name.as_str()).collect();
                let hint = format!("the servers are: {}", known.join(", "));
                let what = format!("there is no server \"{name}\"");
                self.problem(CODE, &format!("{path}.servers.{m}"), what, &hint);
            }
        }
        for (key, patterns) in [("tools", &need.tools), ("methods", &need.methods)] {
            for (m, pattern) in patterns.iter().enumerate().filter(|(_, pattern)| !is_pattern(pattern)) {
                let hint = "write it whole, or with one * at its end, like \"delete_*\"";
                let what = format!("{pattern:?} names nothing");
                self.problem(CODE, &format!("{path}.{key}.{m}"), what, hint);
            }
        }
        let words = need.needs.iter().all(|word| !word.is_empty() && !word.contains(' '));
        let needs = Words::parse(&need.needs.join(" ")).ok().filter(|needs| words && !needs.is_empty());
        if needs.is_none() {
            let hint = "write words as tokens have them, each once, like [\"crm.write\"]";
            let what = "a [[scope]] needs no scope that could be".to_owned();
            self.problem(CODE, &format!("{path}.needs"), what, hint);
        }
        Some(ScopeRule {
            servers: need.servers.clone(),
            tools: need.tools.clone(),
            methods: need.methods.clone(),
            needs: needs?,
        })
    }
}

fn is_pattern(text: &str) -> bool {
    let plain = text.strip_suffix('*').unwrap_or(text);
    !text.is_empty()
        && text.len() <= PATTERN_BYTES_MAX
        && !plain.contains('*')
        && !text.chars().any(char::is_control)
}

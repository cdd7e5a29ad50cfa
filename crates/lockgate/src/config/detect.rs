//! `[detect]`: what follows from findings, and where tools may lead.

use lockgate_detect::{HOSTS_MAX, HostSet, RULES_MAX, Response, Rule, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::settings::Resolver;

/// Code of everything that is wrong here.
const CODE: &str = "LG-C024";

/// What detection does with what it finds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Detect {
    /// What follows from findings. The first rule that fits counts; without one, exact findings of high severity are held, a credential that leaves is refused, and all else is recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rule: Vec<DetectRule>,
    /// The hosts that URLs in calls of a tool may name. A tool that is in none of these may name any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hosts: Vec<DetectHosts>,
}

/// What follows from findings that fit all that it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DetectRule {
    /// Code of the finding, like "LG-D007"; see `lockgate explain LG-D007`. Any without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finding: Option<String>,
    /// Severity of the finding. Any without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) severity: Option<Grade>,
    /// A role that the calling agent has. Any agent without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    /// Name of a server. Any without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    /// What follows.
    pub(crate) then: Then,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// Worth a line in the log.
    Low,
    /// Worth a look.
    Medium,
    /// Worth a stop.
    High,
}

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Then {
    /// It is recorded and shown.
    Observe,
    /// Besides, the model is told with the result.
    Warn,
    /// A call waits for a person, a definition is hidden, an answer is withheld.
    Hold,
    /// A call is refused, a definition is hidden, an answer is withheld.
    Deny,
    /// A call is refused and its caller is locked out.
    Kill,
}

/// Where the calls of a tool may lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DetectHosts {
    /// Name of the server.
    pub(crate) server: String,
    /// Name of the tool; all tools of the server without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tool: Option<String>,
    /// Host names, like "api.example.com", or "*.example.com" for all below it.
    pub(crate) allow: Vec<String>,
}

/// `[detect]`, checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DetectPlan {
    pub(crate) rules: Vec<Rule>,
    pub(crate) hosts: Vec<HostSet>,
}

impl Resolver<'_> {
    /// Reads all of it; problems are collected.
    pub(super) fn detect(&mut self, config: &Config) -> DetectPlan {
        let detect = &config.detect;
        if detect.rule.len() > RULES_MAX {
            let what = format!("there are more than {RULES_MAX} [[detect.rule]]");
            self.problem(CODE, "detect.rule", what, "a rule without `finding` covers all of a severity");
        }
        let rules =
            detect.rule.iter().enumerate().map(|(n, rule)| self.detect_rule(config, n, rule)).collect();
        let hosts =
            detect.hosts.iter().enumerate().map(|(n, set)| self.detect_hosts(config, n, set)).collect();
        DetectPlan { rules, hosts }
    }

    fn detect_rule(&mut self, config: &Config, n: usize, rule: &DetectRule) -> Rule {
        if let Some(finding) = rule.finding.as_deref().filter(|finding| !is_finding(finding)) {
            let hint = "write the code of a finding of detection, like LG-D004; each is explained: lockgate explain LG-D004";
            let what = format!("{finding:?} is no finding of detection");
            self.problem(CODE, &format!("detect.rule.{n}.finding"), what, hint);
        }
        if let Some(server) = &rule.server {
            self.known_server(config, &format!("detect.rule.{n}.server"), server);
        }
        Rule {
            finding: rule.finding.clone(),
            severity: rule.severity.map(Grade::severity),
            role: rule.role.clone(),
            server: rule.server.clone(),
            then: rule.then.response(),
        }
    }

    fn detect_hosts(&mut self, config: &Config, n: usize, set: &DetectHosts) -> HostSet {
        let path = format!("detect.hosts.{n}");
        self.known_server(config, &format!("{path}.server"), &set.server);
        if set.allow.len() > HOSTS_MAX {
            let what = format!("more than {HOSTS_MAX} hosts are named");
            self.problem(CODE, &format!("{path}.allow"), what, "name what is above them: \"*.example.com\"");
        }
        for (m, host) in set.allow.iter().enumerate().filter(|(_, host)| !is_host(host)) {
            let hint =
                "write a host name without scheme and port, like \"api.example.com\" or \"*.example.com\"";
            self.problem(CODE, &format!("{path}.allow.{m}"), format!("{host:?} is no host"), hint);
        }
        let hosts = set.allow.iter().map(|host| host.to_lowercase()).collect();
        HostSet { server: set.server.clone(), tool: set.tool.clone(), hosts }
    }

    fn known_server(&mut self, config: &Config, path: &str, name: &str) {
        // With `lockgate gateway --to` servers come from the command line.
        if config.server.is_empty() || config.server.iter().any(|server| server.name == name) {
            return;
        }
        let known: Vec<&str> = config.server.iter().map(|server| server.name.as_str()).collect();
        let hint = format!("the servers are: {}", known.join(", "));
        self.problem(CODE, path, format!("there is no server \"{name}\""), &hint);
    }
}

fn is_finding(code: &str) -> bool {
    code.strip_prefix("LG-D")
        .is_some_and(|digits| digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn is_host(host: &str) -> bool {
    let plain = host.strip_prefix("*.").unwrap_or(host);
    !plain.is_empty()
        && plain.len() <= 253
        && plain.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
        && !plain.starts_with('.')
}

impl Grade {
    fn severity(self) -> Severity {
        match self {
            Grade::Low => Severity::Low,
            Grade::Medium => Severity::Medium,
            Grade::High => Severity::High,
        }
    }
}

impl Then {
    fn response(self) -> Response {
        match self {
            Then::Observe => Response::Observe,
            Then::Warn => Response::Warn,
            Then::Hold => Response::Hold,
            Then::Deny => Response::Deny,
            Then::Kill => Response::Kill,
        }
    }
}

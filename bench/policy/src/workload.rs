//! The rules that every engine gets in its own language, and the calls that they are asked about.
//!
//! Ten roles have one rule each on a tool: which fields may be asked for, up to which limit, between which hours, and
//! only with staff on duty. Five rules for everybody forbid names anywhere in the arguments.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use lockgate_crypto::digest;
use lockgate_identity::{Caller, Principal, Role, SpiffeId, bind};
use lockgate_mcp::{Limits, Message};
use lockgate_policy::{
    Circumstances, Definition, Definitions, FactShape, FactType, FactValues, Options, Policies, Query, Source,
};
use serde_json::{Value, json};

/// Tools whose definitions are known, on ten servers.
pub(crate) const TOOLS: usize = 1_000;
/// Roles, and so rules on each tool.
pub(crate) const ROLES: usize = 10;
/// Names that nobody may touch.
pub(crate) const FORBIDDEN: [&str; 5] = ["system_config", "shadow", "private_key", "raw_sql", "exec_as"];
/// Fields that may be asked for.
pub(crate) const FIELDS: [&str; 2] = ["email", "name"];
/// 2026-11-23, 14:00 UTC.
pub(crate) const NOW_MS: u64 = 1_795_442_400_000;
/// What [`NOW_MS`] is on the clock; engines without a clock of ours get it as input.
pub(crate) const HOUR: i64 = 14;

/// One generated rule.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) number: usize,
}

impl Rule {
    /// The rules of a set of this size.
    pub(crate) fn all(rules: usize) -> impl Iterator<Item = Rule> {
        (0..rules).map(|number| Rule { number })
    }

    pub(crate) fn role(self) -> String {
        format!("role-{}", self.number % ROLES)
    }

    pub(crate) fn server(self) -> String {
        format!("s{}", self.number / ROLES / 100)
    }

    pub(crate) fn tool(self) -> String {
        format!("t{}", self.number / ROLES % 100)
    }

    /// The largest limit that may be asked for.
    pub(crate) fn limit(self) -> i64 {
        50 + (self.number % 7) as i64
    }

    /// In Cedar, as Lockgate reads it.
    pub(crate) fn cedar(self) -> String {
        let (role, server, tool) = (self.role(), self.server(), self.tool());
        format!(
            "@id(\"r{}\") permit(principal in Lockgate::Role::\"{role}\", \
             action == Lockgate::Action::\"tools/call:{server}/{tool}\", resource) \
             when {{ context.input has fields && [\"email\",\"name\"].containsAll(context.input.fields) && \
             context.input has limit && context.input.limit <= {} && \
             context.local.UTC.hour >= 8 && context.local.UTC.hour < 18 && \
             context.facts has staff && context.facts.staff.on_duty > 0 }};\n",
            self.number,
            self.limit()
        )
    }
}

/// The five rules for everybody, in Cedar.
pub(crate) fn forbids() -> String {
    let forbid = |(number, word): (usize, &&str)| {
        format!(
            "@id(\"f{number}\") forbid(principal, action in Lockgate::Action::\"tools/call\", resource) \
             when {{ context.scan.keys.contains(\"{word}\") }};\n"
        )
    };
    FORBIDDEN.iter().enumerate().map(forbid).collect()
}

/// All rules as files of a thousand each.
pub(crate) fn files(rules: usize) -> Vec<(String, String)> {
    let all: Vec<Rule> = Rule::all(rules).collect();
    let file = |(number, chunk): (usize, &[Rule])| {
        (format!("rules-{number}.cedar"), chunk.iter().map(|rule| rule.cedar()).collect())
    };
    let mut files: Vec<(String, String)> = all.chunks(1_000).enumerate().map(file).collect();
    files.push(("forbids.cedar".to_owned(), forbids()));
    files
}

/// What policies are read against.
pub(crate) struct World {
    definitions: Definitions,
    facts: Vec<FactShape>,
    groups: BTreeMap<String, Vec<String>>,
    pub(crate) values: FactValues,
}

impl World {
    pub(crate) fn new() -> Self {
        let definition = |number: usize| {
            let (server, tool) = (format!("s{}", number / 100), format!("t{}", number % 100));
            let json = tool_definition(&tool).to_string();
            let sha256 = digest::hex(&digest::sha256(json.as_bytes()));
            Definition { server, tool, json, sha256 }
        };
        let staff = FactShape {
            name: "staff".to_owned(),
            fields: BTreeMap::from([("on_duty".to_owned(), FactType::Integer)]),
            key: None,
        };
        let mut values = FactValues::new();
        values.insert("staff", json!({"on_duty": 3}).as_object().cloned().unwrap_or_default());
        World {
            definitions: Definitions::new((0..TOOLS).map(definition)),
            facts: vec![staff],
            groups: BTreeMap::new(),
            values,
        }
    }

    pub(crate) fn options(&self, generation: u64) -> Options<'_> {
        Options {
            definitions: &self.definitions,
            facts: &self.facts,
            groups: &self.groups,
            servers: &[],
            roles: None,
            trust_domain: "example.org",
            generation,
        }
    }

    pub(crate) fn circumstances(&self) -> Circumstances<'_> {
        Circumstances { facts: &self.values, ..Circumstances::at(NOW_MS) }
    }

    pub(crate) fn parse(&self, files: &[(String, String)]) -> Result<Policies> {
        Policies::parse(&sources(files), &self.options(1)).map_err(|errors| anyhow!("{}", errors[0]))
    }
}

pub(crate) fn sources(files: &[(String, String)]) -> Vec<Source<'_>> {
    files.iter().map(|(name, text)| Source { name, text }).collect()
}

/// A tool as a server lists it.
pub(crate) fn tool_definition(name: &str) -> Value {
    json!({
        "name": name,
        "description": "Looks a customer up and gives the fields that were asked for.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "customer": {"type": "string"},
                "fields": {"type": "array", "items": {"type": "string"}},
                "limit": {"type": "integer"},
                "note": {"type": "string"},
                "options": {
                    "type": "object",
                    "properties": {"verbose": {"type": "boolean"}, "format": {"type": "string"}}
                }
            },
            "required": ["customer", "fields", "limit"]
        }
    })
}

/// One call, with what each engine is asked by.
pub(crate) struct Call {
    pub(crate) rule: Rule,
    pub(crate) caller: Caller,
    pub(crate) server: String,
    pub(crate) tool: String,
    pub(crate) message: Message,
    /// Whether the rules permit it.
    pub(crate) permitted: bool,
}

/// What is odd about a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: it is permitted.
    Good,
    /// A field that may not be asked for.
    Field,
    /// More than may be asked for.
    Limit,
    /// A name that is forbidden everywhere.
    Forbidden,
}

impl Call {
    pub(crate) fn new(rule: Rule, kind: Kind) -> Result<Self> {
        let mut arguments = json!({
            "customer": format!("c-{}", rule.number),
            "fields": if kind == Kind::Field { ["email", "ssn"] } else { FIELDS },
            "limit": if kind == Kind::Limit { 60 } else { 20 },
            "note": "The customer called this morning and asks for a copy of the last invoice.",
            "options": {"verbose": false, "format": "short"}
        });
        if kind == Kind::Forbidden {
            arguments["options"]["system_config"] = json!(true);
        }
        let (server, tool) = (rule.server(), rule.tool());
        let message = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}
        });
        let message = Message::decode(message.to_string().into(), &Limits::requests())?;
        let caller = caller(&rule.role())?;
        Ok(Call { rule, caller, server, tool, message, permitted: kind == Kind::Good })
    }

    pub(crate) fn query(&self) -> Query<'_> {
        Query {
            caller: &self.caller,
            server: &self.server,
            method: "tools/call",
            name: Some(&self.tool),
            posture: None,
            loopback: true,
        }
    }

    pub(crate) fn arguments(&self) -> &str {
        self.message.arguments_raw().unwrap_or("{}")
    }

    /// The tool as other engines name it.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.server, self.tool)
    }
}

/// An agent in one role.
pub(crate) fn caller(role: &str) -> Result<Caller> {
    let id = SpiffeId::parse(&format!("spiffe://example.org/agent/{role}")).context("a SPIFFE id")?;
    let principal = Principal::Workload {
        id,
        role: Role::Agent,
        serial: "01".to_owned(),
        not_before: SystemTime::UNIX_EPOCH,
        not_after: SystemTime::UNIX_EPOCH,
        key_fingerprint: "00".repeat(32),
    };
    Ok(bind(&Arc::new(principal)).with_roles(Arc::from([role.to_owned()])))
}

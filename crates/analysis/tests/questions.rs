//! Questions about whole sets, asked as the command line asks them. Those that need a solver say so and pass where none
//! is installed; the gate installs one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::path::Path;

use lockgate_analysis::diff::{Ground, by_proof, by_samples};
use lockgate_analysis::replay::{Recorded, replay};
use lockgate_analysis::who_can::{Can, ability};
use lockgate_analysis::{
    AnalysisError, Call, Held, Invariant, LinkKind, Outcome, Proof, Verdict, World, cases, explain, moment,
    prove,
};
use lockgate_policy::{Options, Policies, Source};

const DOMAIN: &str = "d.example";

const RETAIL: &str = r#"
@id("retail.read")
permit(principal == Lockgate::Agent::"spiffe://d.example/agent/retail",
       action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/get")
when { context.link.quantum_safe };
@id("ops.all")
permit(principal == Lockgate::Agent::"spiffe://d.example/agent/ops",
       action in Lockgate::Action::"tools/call", resource in Lockgate::Server::"crm");
@id("no-billing")
forbid(principal, action, resource in Lockgate::Server::"billing");
"#;

fn set(text: &str) -> Policies {
    let options = Options { trust_domain: DOMAIN, ..Options::bare(1) };
    Policies::parse(&[Source { name: "test.cedar", text }], &options)
        .unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn world() -> World {
    World { trust_domain: DOMAIN.to_owned(), ..World::default() }
}

/// `None` without a solver.
async fn proof(text: &str, policies: &str) -> Option<Proof> {
    let invariant =
        if text.starts_with("permit") { Invariant::cedar(text) } else { Invariant::short(text, DOMAIN) };
    match prove(&invariant.unwrap(), &set(policies), &world()).await {
        Err(AnalysisError::NoSolver { looked_for }) => {
            eprintln!("not proved here: {looked_for} is not installed");
            None
        }
        other => Some(other.unwrap()),
    }
}

fn retail(tool: &str, link: LinkKind) -> Call {
    let mut call = Call::tool("agent/retail", "crm", tool, moment::parse("2026-11-22T14:00:00Z").unwrap());
    call.link = link;
    call
}

#[tokio::test]
async fn what_cannot_happen_is_proved() {
    for text in [
        "never anyone server billing",
        "never anyone tool billing/*",
        "never agent/retail tool crm/delete",
        "never anonymous tool crm/*",
        r#"permit(principal == Lockgate::Agent::"spiffe://d.example/agent/retail",
           action in Lockgate::Action::"use", resource) when { !context.link.quantum_safe };"#,
    ] {
        let Some(proof) = proof(text, RETAIL).await else { return };
        assert!(matches!(proof.verdict, Verdict::Proved), "{text}: {proof:#?}");
        assert!(proof.kinds > 0, "{text}");
    }
}

#[tokio::test]
async fn what_can_happen_is_shown_as_a_call_that_is_really_allowed() {
    for (text, what) in [
        ("never agent/retail tool crm/get", "crm/get"),
        ("never agent/ops tool crm/delete", "crm/delete"),
        ("only agent/ops can crm/get", "crm/get"),
        (
            r#"permit(principal, action in Lockgate::Action::"use", resource) when { !context.link.quantum_safe };"#,
            "crm/",
        ),
        // A permit on anything there lets in, whatever its conditions: they are asked of each call.
        (r#"permit(principal, action, resource) when { !context.link.quantum_safe };"#, "connect crm"),
    ] {
        let Some(proof) = proof(text, RETAIL).await else { return };
        let Verdict::Violated { example } = proof.verdict else { panic!("{text}: {proof:#?}") };
        assert!(example.what.starts_with(what), "{text}: {example:#?}");
        assert_eq!(example.decided.outcome, Outcome::Allow);
        assert!(example.explain.starts_with("lockgate policy explain --agent spiffe://d.example/agent/"));
    }
}

/// Cedar skips a forbid that fails, and would let the call pass; Lockgate denies. So nothing may be called possible
/// that only Cedar permits, and nothing proved that rests on a forbid that fails.
#[tokio::test]
async fn a_forbid_that_fails_is_neither_a_proof_nor_a_hole() {
    let failing = r#"
        permit(principal, action in Lockgate::Action::"tools/call", resource);
        @id("fails") forbid(principal, action in Lockgate::Action::"tools/call", resource)
        when { 9223372036854775807 + (if context.link.resumed then 1 else 2) > 0 };"#;
    let Some(proof) = proof("never anyone tool crm/get", failing).await else { return };
    let Verdict::Undecided { why } = &proof.verdict else { panic!("{proof:#?}") };
    assert!(why[0].contains("fails"), "{why:?}");
}

#[tokio::test]
async fn a_misspelt_invariant_is_refused() {
    let invariant =
        Invariant::cedar(r#"permit(principal, action == Lockgate::Action::"tools/cal", resource);"#);
    let result = prove(&invariant.unwrap(), &set(RETAIL), &world()).await;
    match result {
        Err(AnalysisError::Invariant { what, .. }) => assert!(what.contains("tools/cal"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_difference_is_what_one_set_alone_permits() {
    let wider = RETAIL.replace("when { context.link.quantum_safe }", "");
    let found = match by_proof(&set(RETAIL), &set(&wider), &world()).await {
        Err(AnalysisError::NoSolver { .. }) => return,
        other => other.unwrap(),
    };
    assert_eq!((found.gained.len(), found.lost.len(), found.unclear.len()), (1, 0, 0), "{found:#?}");
    assert_eq!(
        (found.gained[0].before, found.gained[0].example.decided.outcome),
        (Outcome::Deny, Outcome::Allow)
    );
    assert_eq!(found.gained[0].example.what, "crm/get");
    let back = by_proof(&set(&wider), &set(RETAIL), &world()).await.unwrap();
    assert_eq!((back.gained.len(), back.lost.len(), back.unclear.len()), (0, 1, 0), "{back:#?}");
    assert!(back.grants_nothing_new());
    // The same rules in other words.
    let reworded =
        RETAIL.replace("when { context.link.quantum_safe }", "unless { !context.link.quantum_safe }");
    let same = by_proof(&set(RETAIL), &set(&reworded), &world()).await.unwrap();
    assert_eq!((same.gained.len(), same.lost.len(), same.unclear.len()), (0, 0, 0), "{same:#?}");
}

#[test]
fn without_a_solver_samples_are_called_samples() {
    let wider = RETAIL.replace("when { context.link.quantum_safe }", "");
    let calls = [
        retail("get", LinkKind::Classical),
        retail("get", LinkKind::Classical),
        retail("x", LinkKind::Plain),
    ];
    let found = by_samples(&set(RETAIL), &set(&wider), &calls, DOMAIN).unwrap();
    assert_eq!((found.ground, found.gained.len(), found.looked_at), (Ground::Samples, 1, 3));
    assert!(!found.grants_nothing_new());
}

#[test]
fn a_denial_is_explained_by_the_clause_that_is_false() {
    let found = explain(&retail("get", LinkKind::Classical), &set(RETAIL), DOMAIN).unwrap();
    assert_eq!(found.decided.outcome, Outcome::Deny);
    assert_eq!(found.nearest[0].id, "retail.read");
    let clause = &found.nearest[0].conditions[0];
    assert_eq!((clause.text.as_str(), &clause.held), ("context.link.quantum_safe", &Held::No));
    assert_eq!(clause.values["context.link.quantum_safe"], "false");
    assert_eq!(found.nearest.len(), 1, "rules for others are noise beside it");
    // Where nothing is for this caller and tool, the rules that miss least of who and what are shown.
    let found = explain(&retail("put", LinkKind::Classical), &set(RETAIL), DOMAIN).unwrap();
    let missed =
        |rule: &lockgate_analysis::RuleReport| rule.scope.iter().filter(|part| part.held == Held::No).count();
    assert_eq!(found.nearest.iter().map(missed).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_forbid_is_named_and_no_permit_beside_it() {
    let mut call = retail("get", LinkKind::QuantumSafe);
    call.server = "billing".to_owned();
    let found = explain(&call, &set(RETAIL), DOMAIN).unwrap();
    assert_eq!(found.deciding[0].id, "no-billing");
    assert!(found.deciding[0].matched && found.deciding[0].place.ends_with("test.cedar:9"), "{found:#?}");
    assert!(found.nearest.is_empty());
}

#[test]
fn abilities_leave_the_circumstances_open() {
    let policies = set(RETAIL);
    for (agent, server, tool, can) in [
        ("agent/retail", "crm", "get", Can::Sometimes),
        ("agent/retail", "crm", "delete", Can::Never),
        ("agent/ops", "crm", "delete", Can::Always),
        ("agent/ops", "billing", "pay", Can::Never),
        ("anonymous", "crm", "get", Can::Never),
    ] {
        let mut call = Call::tool(agent, server, tool, 0);
        call.link = LinkKind::QuantumSafe;
        let found = ability(&call, &policies, DOMAIN).unwrap();
        assert_eq!(found.can, can, "{agent} {server}/{tool}: {found:#?}");
    }
}

#[test]
fn cases_are_decided_and_rules_without_a_case_named() {
    let text = r#"
        [defaults]
        agent = "agent/retail"
        tool = "crm/get"
        [[case]]
        name = "safe"
        expect = "allow"
        by = "retail.read"
        [[case]]
        name = "classical"
        link = "classical"
        expect = "allow"
        [[case]]
        name = "by another"
        expect = "allow"
        by = "ops.all"
    "#;
    let cases = cases::read(Path::new("a.test.toml"), text).unwrap();
    let tested = cases::test(&cases, &set(RETAIL), DOMAIN).unwrap();
    let passed: Vec<bool> = tested.cases.iter().map(|case| case.passed).collect();
    assert_eq!(passed, [true, false, false]);
    assert_eq!(tested.never_decided, ["ops.all", "no-billing"]);
}

#[test]
fn replay_changes_only_what_is_certain() {
    let recorded = |call: Call, was, arguments_known| Recorded {
        seq: 7,
        call,
        was,
        by: vec!["retail.read".to_owned()],
        approved: false,
        arguments_known,
        facts_unknown: false,
    };
    let narrower = RETAIL.replace("crm/get\"", "crm/other\"");
    let calls = [
        recorded(retail("get", LinkKind::QuantumSafe), Outcome::Allow, true),
        recorded(retail("get", LinkKind::QuantumSafe), Outcome::Allow, true),
        // Denied under any arguments, so that it is certain without them.
        recorded(retail("get", LinkKind::QuantumSafe), Outcome::Allow, false),
        recorded(retail("other", LinkKind::QuantumSafe), Outcome::Deny, false),
        recorded(retail("none", LinkKind::QuantumSafe), Outcome::Deny, true),
    ];
    let found = replay(&calls, &set(&narrower), DOMAIN).unwrap();
    assert_eq!((found.calls, found.decided, found.changed, found.unknown), (5, 4, 3, 1), "{found:#?}");
    assert_eq!((found.groups.len(), found.groups[0].count), (1, 3));
}

/// Found by reading: a replay decides without approvals, so that a call that a person had let pass was a change.
#[test]
fn a_call_that_was_approved_is_still_allowed_with_its_approval() {
    let asks = r#"@id("asks") @approval("required")
        permit(principal, action in Lockgate::Action::"tools/call", resource in Lockgate::Server::"crm");"#;
    let more = format!(
        r#"{asks} @id("watch") @on_violation("hold")
        forbid(principal, action in Lockgate::Action::"tools/call", resource in Lockgate::Server::"crm");"#
    );
    let recorded = |approved, by: &str| Recorded {
        seq: 1,
        call: retail("get", LinkKind::QuantumSafe),
        was: Outcome::Allow,
        by: vec![by.to_owned()],
        approved,
        arguments_known: true,
        facts_unknown: false,
    };
    for (one, policies, changed) in [
        (recorded(true, "asks"), asks, 0),
        (recorded(false, "asks"), asks, 1),
        // A person said yes to what another rule had asked.
        (recorded(true, "earlier"), asks, 1),
        (recorded(true, "asks"), &more, 1),
    ] {
        let found = replay(&[one], &set(policies), DOMAIN).unwrap();
        assert_eq!(found.changed, changed, "{found:#?}");
    }
}

const ROLE: &str = r#"
[role]
name = "retail-bot"
agents = ["agent/retail-*"]
zone = "Europe/Berlin"

[[allow]]
id = "read"
tools = ["crm/get"]
arguments.fields = { only = ["name", "email"] }
hours = "08:00-18:00"

[[never]]
id = "config"
touching = ["system_config"]
on_violation = "kill"

[end]
"#;

const OPS: &str = r#"
[role]
name = "ops"
agents = ["agent/ops"]

[[allow]]
id = "all"
servers = ["crm"]

[end]
"#;

fn roles(texts: &[(&str, &str)]) -> Policies {
    let definitions = lockgate_policy::Definitions::new([definition("get"), definition("put")]);
    let options = Options { trust_domain: DOMAIN, definitions: &definitions, ..Options::bare(1) };
    let sources: Vec<Source<'_>> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    Policies::parse(&sources, &options).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn definition(tool: &str) -> lockgate_policy::Definition {
    let json = format!(
        r#"{{"name":"{tool}","inputSchema":{{"type":"object","required":["fields"],"properties":{{
            "fields":{{"type":"array","items":{{"type":"string"}}}},"note":{{"type":"string"}}}}}}}}"#
    );
    lockgate_policy::Definition { server: "crm".into(), tool: tool.into(), json, sha256: String::new() }
}

fn pinned_world() -> World {
    let names = || vec!["fields".to_owned(), "note".to_owned()];
    World {
        trust_domain: DOMAIN.to_owned(),
        tools: ["get", "put"].map(|tool| (("crm".to_owned(), tool.to_owned()), names())).into(),
        ..World::default()
    }
}

async fn about(invariant: &str, policies: &Policies) -> Option<Verdict> {
    let invariant = if invariant.starts_with("permit") {
        Invariant::cedar(invariant)
    } else {
        Invariant::short(invariant, DOMAIN)
    };
    match prove(&invariant.unwrap(), policies, &pinned_world()).await {
        Err(AnalysisError::NoSolver { .. }) => None,
        other => Some(other.unwrap().verdict),
    }
}

#[tokio::test]
async fn nothing_ever_touches_what_a_role_file_never_lets_touch() {
    let with = roles(&[("retail.toml", ROLE)]);
    let Some(verdict) = about("never-touch system_config", &with).await else { return };
    assert!(matches!(verdict, Verdict::Proved), "{verdict:#?}");
    // The never of one role does not bind another.
    let both = roles(&[("retail.toml", ROLE), ("ops.toml", OPS)]);
    let verdict = about("never-touch system_config", &both).await.unwrap();
    let Verdict::Violated { example } = verdict else { panic!("{verdict:#?}") };
    assert_eq!(example.roles, ["ops"], "{example:#?}");
}

/// The finding that tests by hand miss: an agent in two roles is not bound by the hours of one.
#[tokio::test]
async fn an_agent_in_two_roles_may_at_night_what_one_role_may_by_day() {
    let both = roles(&[("retail.toml", ROLE), ("ops.toml", OPS)]);
    let at_night = r#"permit(principal in Lockgate::Role::"retail-bot", action in Lockgate::Action::"use", resource)
        when { context.local["Europe/Berlin"].hour == 2 };"#;
    let Some(verdict) = about(at_night, &both).await else { return };
    let Verdict::Violated { example } = verdict else { panic!("{verdict:#?}") };
    assert_eq!(example.roles, ["ops", "retail-bot"], "{example:#?}");
    assert!(example.at.contains("T01:"), "02 hours in Berlin are 01 in UTC: {}", example.at);
    let alone = roles(&[("retail.toml", ROLE)]);
    let verdict = about(at_night, &alone).await.unwrap();
    assert!(matches!(verdict, Verdict::Proved), "{verdict:#?}");
}

#[tokio::test]
async fn arguments_are_part_of_what_is_proved() {
    let alone = roles(&[("retail.toml", ROLE)]);
    let ssn = r#"permit(principal, action == Lockgate::Action::"tools/call:crm/get", resource)
        when { context.input.fields.contains("ssn") };"#;
    let Some(verdict) = about(ssn, &alone).await else { return };
    assert!(matches!(verdict, Verdict::Proved), "{verdict:#?}");
    let email = ssn.replace("ssn", "email");
    let verdict = about(&email, &alone).await.unwrap();
    let Verdict::Violated { example } = verdict else { panic!("{verdict:#?}") };
    assert_eq!(example.what, "crm/get");
    assert!(example.arguments["fields"].as_array().unwrap().contains(&"email".into()), "{example:#?}");
}

#[tokio::test]
async fn roles_are_who_is_in_them() {
    let both = roles(&[("retail.toml", ROLE), ("ops.toml", OPS)]);
    let Some(verdict) = about("only role/ops can crm/put", &both).await else { return };
    assert!(matches!(verdict, Verdict::Proved), "{verdict:#?}");
    let verdict = about("never role/retail-bot server billing", &both).await.unwrap();
    assert!(matches!(verdict, Verdict::Proved), "{verdict:#?}");
}

#[test]
fn a_denial_at_night_names_the_clause_and_the_hour() {
    let policies = roles(&[("retail.toml", ROLE)]);
    let mut call =
        Call::tool("agent/retail-1", "crm", "get", moment::parse("2026-11-22 02:00 Europe/Berlin").unwrap());
    call.arguments.insert("fields".into(), vec!["email"].into());
    let found = explain(&call, &policies, DOMAIN).unwrap();
    assert_eq!(
        (found.decided.outcome, found.roles.as_slice()),
        (Outcome::Deny, ["retail-bot".to_owned()].as_slice())
    );
    let nearest = &found.nearest[0];
    assert!(
        nearest.id.starts_with("retail-bot.read") && nearest.place.starts_with("retail.toml:"),
        "{nearest:#?}"
    );
    let missed: Vec<_> = nearest.conditions.iter().filter(|clause| clause.held == Held::No).collect();
    assert_eq!(missed.len(), 1, "{missed:#?}");
    assert!(missed[0].values.values().any(|value| value.contains("(02:00)") || value == "2"), "{missed:#?}");
    call.arguments.insert("note".into(), "the SYSTEM_CONFIG of it".into());
    let killed = explain(&call, &policies, DOMAIN).unwrap();
    assert_eq!(killed.decided.outcome, Outcome::Kill);
    assert!(killed.deciding[0].id.starts_with("retail-bot.config"), "{killed:#?}");
}

#[test]
fn what_is_suggested_loads_and_covers_what_was_used() {
    use lockgate_analysis::suggest::{Learning, suggest};
    let mut recorded = Vec::new();
    for n in 0..30_u64 {
        let mut call = Call::tool("spiffe://d.example/agent/retail-1", "crm", "get", n * 3_600_000);
        call.arguments.insert("fields".into(), vec!["name"].into());
        call.arguments.insert("note".into(), format!("c-{n}").into());
        recorded.push(Recorded {
            seq: n,
            call,
            was: Outcome::Allow,
            by: Vec::new(),
            approved: false,
            arguments_known: true,
            facts_unknown: false,
        });
    }
    let mut listed = recorded[0].clone();
    listed.call.server = "files".into();
    listed.call.method = "tools/list".into();
    listed.call.name = None;
    listed.call.arguments.clear();
    recorded.push(listed);
    let learning =
        Learning { zone: "Europe/Berlin".into(), trust_domain: DOMAIN.into(), permits: Vec::new() };
    let suggested = suggest(&recorded, &learning);
    assert_eq!(suggested.roles.len(), 1);
    let policies = roles(&[("suggested.toml", &suggested.roles[0].text)]);
    let again = replay(&recorded, &policies, DOMAIN).unwrap();
    assert_eq!((again.changed, again.unknown), (0, 0), "{again:#?}\n{}", suggested.roles[0].text);
    let mut other = recorded[0].call.clone();
    other.arguments.insert("fields".into(), vec!["ssn"].into());
    assert_eq!(other.decide(&policies, DOMAIN).unwrap().outcome, Outcome::Deny);
}

#[tokio::test]
async fn who_has_no_identity_is_suggested_a_role_that_loads() {
    use lockgate_analysis::suggest::{Learning, suggest};
    let recorded = Recorded {
        seq: 1,
        call: Call::tool("anonymous", "crm", "put", 0),
        was: Outcome::Allow,
        by: Vec::new(),
        approved: false,
        arguments_known: false,
        facts_unknown: false,
    };
    let learning = Learning { zone: "UTC".into(), trust_domain: DOMAIN.into(), permits: Vec::new() };
    let suggested = suggest(std::slice::from_ref(&recorded), &learning);
    let text = &suggested.roles[0].text;
    assert!(text.contains("agents = [\"anonymous\"]"), "{text}");
    let policies = roles(&[("suggested.toml", text)]);
    assert_eq!(recorded.call.decide(&policies, DOMAIN).unwrap().outcome, Outcome::Allow);
    // And proofs know of it.
    let Some(verdict) = about("never anonymous tool crm/put", &policies).await else { return };
    assert!(matches!(verdict, Verdict::Violated { .. }), "{verdict:#?}");
    let verdict = about("never anonymous tool crm/get", &policies).await.unwrap();
    assert!(matches!(verdict, Verdict::Proved), "{verdict:#?}");
}

#[tokio::test]
async fn what_only_a_person_can_let_pass_is_said_to_be_so() {
    let asks = ROLE.replace("hours = \"08:00-18:00\"", "approval = true");
    let policies = roles(&[("retail.toml", &asks)]);
    let Some(verdict) = about("never role/retail-bot tool crm/get", &policies).await else { return };
    let Verdict::UnlessApproved { example } = verdict else { panic!("{verdict:#?}") };
    assert_eq!(example.decided.outcome, Outcome::Hold, "{example:#?}");
    let verdict = about("never role/retail-bot tool crm/put", &policies).await.unwrap();
    assert!(matches!(verdict, Verdict::Proved), "{verdict:#?}");
}

/// Found by hand: to the schema a rule on the arguments of a tool that nobody has shown could never match, and so
/// everything was proved of it.
#[tokio::test]
async fn a_rule_on_a_tool_that_nobody_has_shown_is_no_rule_that_never_matches() {
    let options = Options { trust_domain: DOMAIN, ..Options::bare(1) };
    let unseen = |text: &str| {
        Policies::parse(&[Source { name: "retail.toml", text }], &options)
            .unwrap_or_else(|e| panic!("{e:#?}"))
    };
    let narrow = unseen(ROLE);
    let invariant = Invariant::short("never role/retail-bot tool crm/get", DOMAIN).unwrap();
    let proof = match prove(&invariant, &narrow, &world()).await {
        Err(AnalysisError::NoSolver { .. }) => return,
        other => other.unwrap(),
    };
    let assumed = &proof.assumed[0];
    assert_eq!((proof.assumed.len(), assumed.tool.as_str()), (1, "crm/get"));
    assert_eq!(assumed.arguments["fields"], "list of texts");
    let Verdict::Violated { example } = proof.verdict else { panic!("{proof:#?}") };
    assert!(example.arguments.contains_key("fields"), "{example:#?}");
    // What holds is proved all the same.
    let ssn = Invariant::short("never-touch system_config", DOMAIN).unwrap();
    let proof = prove(&ssn, &narrow, &world()).await.unwrap();
    assert!(matches!(proof.verdict, Verdict::Proved), "{proof:#?}");
    // And a difference in such a rule is a difference.
    let wide = unseen(&ROLE.replace("\"email\"]", "\"email\", \"phone\"]"));
    let found = by_proof(&narrow, &wide, &world()).await.unwrap();
    assert_eq!((found.gained.is_empty(), found.lost.len(), found.unclear.len()), (false, 0, 0), "{found:#?}");
    assert!(found.gained[0].example.arguments["fields"].as_array().unwrap().contains(&"phone".into()));
    let earlier = unseen(&ROLE.replace("08:00", "07:00"));
    let found = by_proof(&narrow, &earlier, &world()).await.unwrap();
    assert!(!found.gained.is_empty() && found.lost.is_empty(), "{found:#?}");
}

#[tokio::test]
async fn facts_in_an_example_fit_the_time_of_the_example() {
    use lockgate_policy::{FactShape, FactType};
    let fields = [("start", FactType::Time), ("end", FactType::Time)];
    let shape = FactShape {
        name: "appointment".into(),
        fields: fields.map(|(name, kind)| (name.to_owned(), kind)).into(),
        key: None,
    };
    let text = ROLE.replace(
        "hours =",
        "facts.appointment = { start = { before = \"now\" }, end = { after = \"now\" } }\nhours =",
    );
    let facts = [shape];
    let options = Options { trust_domain: DOMAIN, facts: &facts, ..Options::bare(1) };
    let policies = Policies::parse(&[Source { name: "retail.toml", text: &text }], &options).unwrap();
    let invariant = Invariant::short("never role/retail-bot tool crm/get", DOMAIN).unwrap();
    let proof = match prove(&invariant, &policies, &world()).await {
        Err(AnalysisError::NoSolver { .. }) => return,
        other => other.unwrap(),
    };
    let Verdict::Violated { example } = proof.verdict else { panic!("{proof:#?}") };
    assert!(example.explain.contains("--fact 'appointment="), "{example:#?}");
}

#[tokio::test]
async fn connecting_is_part_of_what_is_proved() {
    let policies = roles(&[("retail.toml", ROLE)]);
    let Some(verdict) = about("never role/retail-bot server crm", &policies).await else { return };
    assert!(matches!(verdict, Verdict::Violated { .. }), "{verdict:#?}");
    let open = set(r#"@id("door") permit(principal, action == Lockgate::Action::"connect", resource);"#);
    let verdict = about("never anyone server crm", &open).await.unwrap();
    let Verdict::Violated { example } = verdict else { panic!("{verdict:#?}") };
    assert_eq!(
        (example.what.as_str(), example.decided.by.as_slice()),
        ("connect crm", ["door".to_owned()].as_slice())
    );
}

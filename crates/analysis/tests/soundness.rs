//! What is called proved is true of what is really decided. Tables of sets of which something false could be proved, and
//! random sets with random calls. Needs the solver, and says so where there is none.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::BTreeMap;

use lockgate_analysis::diff::by_proof;
use lockgate_analysis::{AnalysisError, Call, Invariant, LinkKind, Outcome, Proof, Verdict, World, prove};
use lockgate_policy::{Definition, Definitions, FactShape, FactType, Options, Policies, Source};
use serde_json::{Value, json};

const DOMAIN: &str = "d.example";

/// Two servers in one group, one pinned tool, one fact.
struct Background {
    definitions: Definitions,
    groups: BTreeMap<String, Vec<String>>,
    facts: Vec<FactShape>,
}

impl Background {
    fn new() -> Self {
        let json = r#"{"name":"get","inputSchema":{"type":"object","properties":{
            "n":{"type":"integer"},"s":{"type":"string"},"b":{"type":"boolean"}}}}"#;
        let pinned =
            Definition { server: "crm".into(), tool: "get".into(), json: json.into(), sha256: String::new() };
        let fields = BTreeMap::from([("on_duty".to_owned(), FactType::Integer)]);
        Background {
            definitions: Definitions::new([pinned]),
            groups: BTreeMap::from([
                ("internal".to_owned(), vec!["crm".to_owned()]),
                ("nothing".to_owned(), Vec::new()),
            ]),
            facts: vec![FactShape { name: "staff".to_owned(), fields, key: None }],
        }
    }

    fn parse(&self, text: &str) -> Result<Policies, String> {
        let options = Options {
            trust_domain: DOMAIN,
            definitions: &self.definitions,
            groups: &self.groups,
            facts: &self.facts,
            servers: &[],
            roles: None,
            generation: 1,
        };
        Policies::parse(&[Source { name: "test.cedar", text }], &options).map_err(|all| format!("{all:#?}"))
    }

    fn world(&self) -> World {
        let names = ["n", "s", "b"].map(str::to_owned).to_vec();
        World {
            groups: self.groups.clone(),
            tools: [(("crm".to_owned(), "get".to_owned()), names)].into(),
            trust_domain: DOMAIN.to_owned(),
            roles: BTreeMap::new(),
        }
    }
}

/// `None` without a solver.
async fn ask(invariant: &str, policies: &Policies, world: &World) -> Option<Proof> {
    let invariant = match invariant.starts_with("permit") {
        true => Invariant::cedar(invariant),
        false => Invariant::short(invariant, DOMAIN),
    };
    match prove(&invariant.unwrap(), policies, world).await {
        Err(AnalysisError::NoSolver { looked_for }) => {
            eprintln!("not proved here: {looked_for} is not installed");
            None
        }
        other => Some(other.unwrap()),
    }
}

fn call(server: &str, tool: &str, arguments: Value) -> Call {
    let at = lockgate_analysis::moment::parse("2026-11-23T12:00:00Z").unwrap();
    let mut call = Call::tool("agent/a", server, tool, at);
    call.arguments = arguments.as_object().cloned().unwrap();
    call
}

/// Each of these is really possible, and each was, or could have been, called proved to be impossible.
#[tokio::test]
async fn nothing_is_proved_that_a_real_call_contradicts() {
    let background = Background::new();
    let connect = || Call { method: "connect".into(), name: None, ..call("crm", "", json!({})) };
    for (why, policies, invariant, call, outcome) in [
        (
            "a permit on the action of a tool that nobody has shown",
            r#"permit(principal, action == Lockgate::Action::"tools/call:crm/new", resource);"#,
            "never anyone tool crm/new",
            call("crm", "new", json!({})),
            Outcome::Allow,
        ),
        (
            "a tool that is named by `in`",
            r#"permit(principal, action in Lockgate::Action::"tools/call", resource in Lockgate::Tool::"crm/new")
               when { context has input && context.input has a && context.input.a == 1 };"#,
            "never anyone tool crm/new",
            call("crm", "new", json!({"a": 1})),
            Outcome::Allow,
        ),
        (
            "a flag that is neither true nor false",
            r#"permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/new");
               forbid(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/new")
               when { context has input && context.input has b && context.input.b == true };
               forbid(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/new")
               when { context has input && context.input has b && context.input.b == false };
               forbid(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/new")
               when { context has names && !(context.names.contains("b")) };"#,
            "never anyone tool crm/new",
            call("crm", "new", json!({"b": "yes"})),
            Outcome::Allow,
        ),
        (
            "connecting needs a permit on anything there, whatever its conditions",
            r#"permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/get");
               forbid(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/get");"#,
            "never anyone server crm",
            connect(),
            Outcome::Allow,
        ),
        (
            "a prohibition that rests on facts bars nobody from connecting",
            r#"permit(principal, action, resource in Lockgate::Server::"crm");
               forbid(principal, action, resource in Lockgate::Server::"crm")
               when { if context has facts && context.facts has staff then true else true };"#,
            "never anyone server crm",
            connect(),
            Outcome::Allow,
        ),
        (
            "a person can approve what a holding permit does not permit",
            r#"@on_violation("hold")
               permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/get")
               when { context.link.loopback && !context.link.loopback };"#,
            "never anyone tool crm/get",
            call("crm", "get", json!({})),
            Outcome::Hold,
        ),
        (
            "a rule that reads arguments of whatever tool",
            r#"permit(principal, action in Lockgate::Action::"tools/call", resource in Lockgate::Server::"crm")
               when { context.link.resumed || context has input && context.input has x };"#,
            r#"permit(principal, action in Lockgate::Action::"tools/call", resource)
               when { !context.link.resumed };"#,
            call("crm", "other", json!({"x": 1})),
            Outcome::Allow,
        ),
        (
            "a word in a method that is no use of anything",
            r#"permit(principal, action in Lockgate::Action::"session", resource);"#,
            "never-touch system_config",
            Call { method: "ping".into(), name: None, ..call("crm", "", json!({})) },
            Outcome::Allow,
        ),
    ] {
        let policies = background.parse(policies).unwrap_or_else(|errors| panic!("{why}: {errors}"));
        let decided = call.decide(&policies, DOMAIN).unwrap();
        assert_eq!(decided.outcome, outcome, "{why}: the test itself is wrong, {decided:?}");
        let Some(proof) = ask(invariant, &policies, &background.world()).await else { return };
        assert!(!matches!(proof.verdict, Verdict::Proved), "{why}: {proof:#?}");
    }
}

/// What holds is proved all the same, so that nobody learns to live with "undecided".
#[tokio::test]
async fn what_holds_is_still_proved() {
    let background = Background::new();
    for (why, policies, invariant) in [
        (
            "one flag on a tool that nobody has shown",
            r#"permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/new")
               when { context has input && context.input has b && context.input.b == true };
               forbid(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/new")
               when { context has input && context.input has b && context.input.b == true };"#,
            "never anyone tool crm/new",
        ),
        (
            "an empty group and a group that nobody has named",
            r#"permit(principal, action, resource in Lockgate::ServerGroup::"nothing");
               permit(principal, action, resource in Lockgate::ServerGroup::"unheard");"#,
            r#"permit(principal, action, resource);"#,
        ),
        (
            "one argument of two tools, of different types, one of them unseen",
            r#"permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/new")
               when { context has input && context.input has n && context.input.n like "c-*" };
               permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/get")
               when { context has input && context.input has n && context.input.n < 5 };"#,
            r#"permit(principal, action == Lockgate::Action::"tools/call:crm/get", resource)
               when { context has input && context.input has n && context.input.n > 7 };"#,
        ),
        (
            "a prohibition on a server bars from connecting",
            r#"permit(principal, action, resource);
               forbid(principal, action, resource in Lockgate::Server::"billing");"#,
            "never anyone server billing",
        ),
        (
            "a person can lift no prohibition",
            r#"@on_violation("hold")
               permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/get")
               when { context.link.loopback && !context.link.loopback };
               forbid(principal, action in Lockgate::Action::"tools/call", resource);"#,
            "never anyone tool crm/get",
        ),
    ] {
        let policies = background.parse(policies).unwrap_or_else(|errors| panic!("{why}: {errors}"));
        let Some(proof) = ask(invariant, &policies, &background.world()).await else { return };
        assert!(matches!(proof.verdict, Verdict::Proved), "{why}: {proof:#?}");
    }
}

#[tokio::test]
async fn an_invariant_that_could_only_be_proved_is_refused() {
    let background = Background::new();
    let policies = background.parse("permit(principal, action, resource);").unwrap();
    for text in [
        // Calls of tools are never this very action.
        r#"permit(principal, action == Lockgate::Action::"tools/call", resource);"#,
        r#"permit(principal, action, resource) when { action == Lockgate::Action::"tools/call" };"#,
        // No method takes this.
        r#"permit(principal, action in Lockgate::Action::"list", resource is Lockgate::Tool);"#,
    ] {
        let refused = match Invariant::cedar(text) {
            Err(AnalysisError::Invariant { .. }) => true,
            Ok(invariant) => match prove(&invariant, &policies, &background.world()).await {
                Err(AnalysisError::NoSolver { .. }) => return,
                Err(AnalysisError::Invariant { .. }) => true,
                other => panic!("{text}: {other:?}"),
            },
            Err(other) => panic!("{text}: {other:?}"),
        };
        assert!(refused, "{text}");
    }
}

#[tokio::test]
async fn a_wider_result_is_no_difference_that_goes_unsaid() {
    let background = Background::new();
    let set = |fields: &str| {
        let text = format!(
            r#"@id("read") @result_fields("{fields}") @rate("1/day")
               permit(principal, action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/get");"#
        );
        background.parse(&text).unwrap()
    };
    let found = match by_proof(&set("name"), &set("name,ssn"), &background.world()).await {
        Err(AnalysisError::NoSolver { .. }) => return,
        other => other.unwrap(),
    };
    assert!(found.gained.is_empty() && found.unclear.is_empty(), "{found:#?}");
    assert!(!found.grants_nothing_new(), "{found:#?}");
    assert_eq!(found.terms[0].after.as_deref(), Some("name,ssn"));
}

#[tokio::test]
async fn another_member_is_no_difference_that_goes_unsaid() {
    let set = |agents: &str| {
        let text =
            format!("[role]\nname = \"r\"\nagents = [{agents}]\n[[allow]]\ntools = [\"crm/get\"]\n[end]\n");
        let options = Options { trust_domain: DOMAIN, ..Options::bare(1) };
        Policies::parse(&[Source { name: "r.toml", text: &text }], &options).unwrap()
    };
    let world = World { trust_domain: DOMAIN.to_owned(), ..World::default() };
    let found = match by_proof(&set("\"agent/a\""), &set("\"agent/**\", \"agent/a\""), &world).await {
        Err(AnalysisError::NoSolver { .. }) => return,
        other => other.unwrap(),
    };
    assert!(!found.grants_nothing_new(), "{found:#?}");
    let said = &found.terms[0];
    assert_eq!((said.id.as_str(), said.after.as_deref()), ("role r", Some("agent/**, agent/a")));
}

// ---- random sets and random calls -----------------------------------------------------------------------------------

/// A small random generator (SplitMix64), seeded by a number that a failure prints.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

const PRINCIPALS: [&str; 6] = [
    "principal",
    r#"principal in Lockgate::Role::"r""#,
    r#"principal in Lockgate::Role::"q""#,
    r#"principal == Lockgate::Agent::"spiffe://d.example/agent/a""#,
    "principal is Lockgate::Anonymous",
    r#"principal is Lockgate::Agent in Lockgate::Role::"r""#,
];

const ACTIONS: [&str; 7] = [
    "action",
    r#"action in Lockgate::Action::"tools/call""#,
    r#"action in Lockgate::Action::"use""#,
    r#"action in [Lockgate::Action::"session", Lockgate::Action::"list"]"#,
    r#"action == Lockgate::Action::"tools/call:crm/get""#,
    r#"action == Lockgate::Action::"tools/call:crm/new""#,
    r#"action == Lockgate::Action::"connect""#,
];

const RESOURCES: [&str; 8] = [
    "resource",
    r#"resource in Lockgate::Server::"crm""#,
    r#"resource in Lockgate::Server::"billing""#,
    r#"resource in Lockgate::ServerGroup::"internal""#,
    r#"resource in Lockgate::ServerGroup::"nothing""#,
    r#"resource == Lockgate::Tool::"crm/get""#,
    r#"resource == Lockgate::Tool::"crm/new""#,
    r#"resource in Lockgate::Tool::"crm/new""#,
];

const CONDITIONS: [&str; 18] = [
    "true",
    "context.link.quantum_safe",
    "!context.link.encrypted",
    "context has input && context.input has n && context.input.n < 5",
    "context has input && context.input has n && context.input.n == 7",
    r#"context has input && context.input has s && context.input.s like "c-*""#,
    r#"context has input && !(context.input has s)"#,
    "context has input && context.input has b && context.input.b == true",
    "context has input && context.input has b && context.input.b == false",
    "context has input && context.input has b && context.input.b",
    r#"["n", "s"].containsAll(context.names)"#,
    r#"context.names.contains("b")"#,
    r#"context.touched.contains("secretword")"#,
    r#"context.local["UTC"].hour < 12"#,
    "context has facts && context.facts has staff && context.facts.staff.on_duty > 0",
    "if context has facts && context.facts has staff then context.facts.staff.on_duty < 1 else true",
    "9223372036854775807 + context.local[\"UTC\"].hour > 0",
    "context.link.resumed",
];

const NOTES: [&str; 8] = [
    "",
    "",
    "",
    r#"@on_violation("hold")"#,
    r#"@on_violation("kill")"#,
    r#"@mode("shadow")"#,
    r#"@approval("required")"#,
    r#"@rate("1/day")"#,
];

fn random_policy(random: &mut Random) -> String {
    let effect = random.of(&["permit", "permit", "forbid"]);
    let note = loop {
        let note = random.of(&NOTES);
        let of_permits = note.starts_with("@approval") || note.starts_with("@rate");
        if effect == "permit" || !of_permits {
            break note;
        }
    };
    let mut conditions = String::new();
    for _ in 0..random.below(3) {
        let word = random.of(&["when", "when", "unless"]);
        conditions.push_str(&format!("\n  {word} {{ {} }}", random.of(&CONDITIONS)));
    }
    format!(
        "{note} {effect}({}, {}, {}){conditions};\n",
        random.of(&PRINCIPALS),
        random.of(&ACTIONS),
        random.of(&RESOURCES)
    )
}

/// A set that loads; each policy is tried by itself first.
fn random_set(random: &mut Random, background: &Background) -> (String, Policies) {
    loop {
        let mut text = String::new();
        for _ in 0..1 + random.below(5) {
            let policy = random_policy(random);
            if background.parse(&policy).is_ok() {
                text.push_str(&policy);
            }
        }
        if let Ok(policies) = background.parse(&text)
            && !policies.is_empty()
        {
            return (text, policies);
        }
    }
}

fn random_call(random: &mut Random) -> Call {
    let mut call = call(random.of(&["crm", "billing"]), random.of(&["get", "new", "other"]), json!({}));
    call.agent = random.of(&["agent/a", "agent/b", "anonymous", "local-user"]).to_owned();
    if call.agent.starts_with("agent/") {
        call.roles =
            random.of(&[&[][..], &["r"], &["q"], &["q", "r"]]).iter().map(|r| (*r).to_owned()).collect();
    }
    if random.below(4) == 0 {
        call.method = random.of(&["connect", "ping", "tools/list", "initialize"]).to_owned();
        call.name = None;
    }
    call.link =
        random.of(&[LinkKind::QuantumSafe, LinkKind::QuantumSafeGroup, LinkKind::Classical, LinkKind::Plain]);
    call.at_ms += u64::try_from(random.below(48)).unwrap() * 1_800_000;
    if call.name.is_some() {
        for name in ["n", "s", "b", "x"] {
            let values = [json!(3), json!(7), json!(9), json!(1.5), json!("c-1"), json!("secretword")];
            let others = [json!(true), json!(false), json!("yes"), json!(["a"]), json!({"y": 1})];
            let values: Vec<&Value> = values.iter().chain(&others).collect();
            if random.below(3) == 0 {
                call.arguments.insert(name.to_owned(), random.of(&values).clone());
            }
        }
    }
    if random.below(2) == 0 {
        call.facts =
            [("staff".to_owned(), json!({"on_duty": random.below(3)}).as_object().cloned().unwrap())]
                .into_iter()
                .collect();
    }
    call
}

/// An invariant, and whether a call breaks it if it is allowed.
type Claim = (&'static str, fn(&Call) -> bool);

const CLAIMS: [Claim; 7] = [
    ("never anyone tool crm/get", |call| call.server == "crm" && call.name.as_deref() == Some("get")),
    ("never anyone tool crm/new", |call| call.server == "crm" && call.name.as_deref() == Some("new")),
    ("never anyone server billing", |call| call.server == "billing"),
    ("never anonymous server crm", |call| call.agent == "anonymous" && call.server == "crm"),
    ("never role/r tool crm/*", |call| {
        call.roles.iter().any(|role| role == "r") && call.server == "crm" && call.name.is_some()
    }),
    ("never-touch secretword", |call| Value::from(call.arguments.clone()).to_string().contains("secretword")),
    (
        r#"permit(principal, action in Lockgate::Action::"tools/call", resource) when { !context.link.quantum_safe };"#,
        |call| call.name.is_some() && call.link != LinkKind::QuantumSafe,
    ),
];

/// Sets that are looked at; each takes a few queries of some 20 ms.
const SETS: u64 = 60;

/// Calls that are tried on each claim.
const CALLS: usize = 400;

#[tokio::test]
async fn no_random_call_contradicts_a_proof() {
    let background = Background::new();
    let (mut proved, mut tried) = (0, 0);
    let first: u64 = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + SETS {
        let mut random = Random(seed);
        let (text, policies) = random_set(&mut random, &background);
        let (invariant, breaks) = random.of(&CLAIMS);
        let Some(proof) = ask(invariant, &policies, &background.world()).await else { return };
        if !matches!(proof.verdict, Verdict::Proved) {
            continue;
        }
        proved += 1;
        for _ in 0..CALLS {
            let call = random_call(&mut random);
            if !breaks(&call) {
                continue;
            }
            tried += 1;
            let decided = call.decide(&policies, DOMAIN).unwrap();
            assert!(
                !matches!(decided.outcome, Outcome::Allow | Outcome::Hold),
                "TEST_SEED={seed}: {invariant} was proved of\n{text}\nand {} is decided {decided:?}",
                call.command()
            );
        }
    }
    assert!(proved > 10 && tried > 500, "the test tries nothing: {proved} proofs, {tried} calls");
}

#[tokio::test]
async fn no_random_call_is_a_difference_that_was_not_shown() {
    let background = Background::new();
    let first: u64 = std::env::var("TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let (mut settled, mut tried) = (0, 0);
    for seed in first..first + SETS / 3 {
        let mut random = Random(seed ^ 0xd1ff);
        let (text, old) = random_set(&mut random, &background);
        // The same and something more, or something less.
        let more = loop {
            let more = format!("{text}{}", random_policy(&mut random));
            if let Ok(policies) = background.parse(&more) {
                break (more, policies);
            }
        };
        let found = match by_proof(&old, &more.1, &background.world()).await {
            Err(AnalysisError::NoSolver { .. }) => return,
            other => other.unwrap(),
        };
        if !found.gained.is_empty() || !found.unclear.is_empty() {
            continue;
        }
        settled += 1;
        for _ in 0..CALLS {
            let call = random_call(&mut random);
            tried += 1;
            let before = call.decide(&old, DOMAIN).unwrap();
            let after = call.decide(&more.1, DOMAIN).unwrap();
            // Arguments that do not fit a definition, and how often, are outside of what is claimed.
            let fits = !before.reason.contains("argument")
                && !before.reason.contains("rate of")
                && call.name.as_deref() != Some("new");
            assert!(
                after.outcome != Outcome::Allow || before.outcome == Outcome::Allow || !fits,
                "TEST_SEED={seed}: nothing is gained by\n{}\n, but {} was {before:?} and is {after:?}",
                more.0,
                call.command()
            );
        }
    }
    assert!(settled > 3 && tried > 500, "the test tries nothing: {settled} differences, {tried} calls");
}

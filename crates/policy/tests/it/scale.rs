//! Ten thousand policies cost a call what ten do: only its slice is evaluated.

use std::fmt::Write;

use crate::subjects::{AGENT, Call, agent, hybrid, policies, request};

#[test]
fn ten_thousand_policies_are_decided_through_the_slice() {
    let mut text = String::new();
    for n in 0..10_000 {
        let (server, tool) = (n / 100, n % 100);
        writeln!(
            text,
            "permit(principal == Lockgate::Agent::\"{AGENT}\", action in Lockgate::Action::\"tools/call\", \
             resource == Lockgate::Tool::\"s{server}/t{tool}\") when {{ context.link.quantum_safe }};"
        )
        .unwrap();
    }
    text.push_str(
        "@id(\"stop\") forbid(principal, action, resource in Lockgate::Server::\"s7\")
         when { resource has name && resource.name == \"t3\" };",
    );
    let policies = policies(&text);
    assert_eq!(policies.len(), 10_001);

    let (caller, link) = (agent(AGENT), hybrid());
    for (server, tool, considered, permitted) in [
        ("s42", "t42", 1, true),
        ("s7", "t4", 2, true),
        ("s7", "t3", 2, false),
        ("s42", "t100", 0, false),
        ("nowhere", "t1", 0, false),
    ] {
        let message = request("tools/call", Some(tool));
        let call = Call { caller: &caller, server, message, posture: Some(&link), loopback: false };
        assert_eq!(policies.considered(&call.query()), considered, "{server}/{tool}");
        for _ in 0..2 {
            assert_eq!(call.decide(&policies).is_ok(), permitted, "{server}/{tool}");
        }
    }
}

/// Every way in which a scope can be written lands in a drawer that the call
/// opens, and in no other.
#[test]
fn a_slice_holds_exactly_the_policies_whose_scope_fits() {
    let principals = [
        ("principal", true),
        ("principal == Lockgate::Agent::\"spiffe://example.org/agent/billing\"", true),
        ("principal in Lockgate::Agent::\"spiffe://example.org/agent/billing\"", true),
        ("principal is Lockgate::Agent", true),
        ("principal is Lockgate::Agent in Lockgate::Agent::\"spiffe://example.org/agent/billing\"", true),
        ("principal == Lockgate::Agent::\"spiffe://example.org/agent/other\"", false),
        ("principal is Lockgate::LocalUser", false),
        ("principal == Lockgate::LocalUser::\"1000\"", false),
    ];
    let actions = [
        ("action", true),
        ("action in Lockgate::Action::\"tools/call\"", true),
        ("action == Lockgate::Action::\"tools/call:crm/read\"", true),
        ("action in Lockgate::Action::\"tools/call:crm/read\"", true),
        ("action == Lockgate::Action::\"tools/call:crm/write\"", false),
        ("action in Lockgate::Action::\"use\"", true),
        ("action in [Lockgate::Action::\"tools/call\", Lockgate::Action::\"use\"]", true),
        ("action in [Lockgate::Action::\"list\", Lockgate::Action::\"tools/call\"]", true),
    ];
    let resources = [
        ("resource", true),
        ("resource == Lockgate::Tool::\"crm/read\"", true),
        ("resource in Lockgate::Tool::\"crm/read\"", true),
        ("resource in Lockgate::Server::\"crm\"", true),
        ("resource is Lockgate::Tool", true),
        ("resource is Lockgate::Tool in Lockgate::Server::\"crm\"", true),
        ("resource == Lockgate::Tool::\"crm/write\"", false),
        ("resource in Lockgate::Server::\"mail\"", false),
        ("resource is Lockgate::Tool in Lockgate::Server::\"mail\"", false),
    ];
    let (caller, link) = (agent(AGENT), hybrid());
    let message = request("tools/call", Some("read"));
    let call = Call { caller: &caller, server: "crm", message, posture: Some(&link), loopback: false };
    for (principal, principal_fits) in principals {
        for (action, action_fits) in actions {
            for (resource, resource_fits) in resources {
                let text = format!("permit({principal}, {action}, {resource});");
                let policies = policies(&text);
                let fits = principal_fits && action_fits && resource_fits;
                assert_eq!(policies.considered(&call.query()), usize::from(fits), "{text}");
                assert_eq!(call.decide(&policies).is_ok(), fits, "{text}");
            }
        }
    }
}

proptest::proptest! {
    /// Whatever a set looks like, looking only at a slice of it decides as a
    /// look at the whole set does.
    #[test]
    fn a_slice_decides_as_the_whole_set_does(
        scopes in proptest::collection::vec((0usize..6, 0usize..6, 0usize..6, proptest::bool::ANY), 0..12),
        role in proptest::bool::ANY,
    ) {
        let principals = ["principal", "principal in Lockgate::Role::\"r\"", "principal is Lockgate::Agent",
            "principal == Lockgate::Agent::\"spiffe://example.org/agent/billing\"",
            "principal is Lockgate::Agent in Lockgate::Role::\"r\"", "principal is Lockgate::Anonymous"];
        let actions = ["action", "action in Lockgate::Action::\"use\"", "action in Lockgate::Action::\"tools/call\"",
            "action == Lockgate::Action::\"tools/call:crm/read\"", "action in Lockgate::Action::\"session\"",
            "action in [Lockgate::Action::\"list\", Lockgate::Action::\"tools/call:crm/write\"]"];
        let resources = ["resource", "resource in Lockgate::Server::\"crm\"", "resource == Lockgate::Tool::\"crm/read\"",
            "resource is Lockgate::Tool", "resource in Lockgate::ServerGroup::\"g\"", "resource in Lockgate::Server::\"mail\""];
        let fits = |(p, a, r, _): &(usize, usize, usize, bool)| {
            (role || !matches!(p, 1 | 4)) && *p != 5 && *a < 4 && *r < 5
        };
        let groups = std::collections::BTreeMap::from([("g".to_owned(), vec!["crm".to_owned()])]);
        let options = lockgate_policy::Options { groups: &groups, ..lockgate_policy::Options::bare(1) };
        let mut kept = Vec::new();
        let mut text = String::new();
        for scope in scopes {
            let (p, a, r, permit) = scope;
            let effect = if permit { "permit" } else { "forbid" };
            let one = format!("{effect}({}, {}, {});\n", principals[p], actions[a], resources[r]);
            let source = lockgate_policy::Source { name: "p", text: &one };
            // Some scopes fit nothing at all, and are refused.
            if lockgate_policy::Policies::parse(&[source], &options).is_ok() {
                text.push_str(&one);
                kept.push(scope);
            }
        }
        let source = lockgate_policy::Source { name: "p", text: &text };
        let policies = lockgate_policy::Policies::parse(&[source], &options).unwrap();
        let caller = agent(AGENT);
        let caller = if role { caller.with_roles(["r".to_owned()].into()) } else { caller };
        let message = request("tools/call", Some("read"));
        let call = Call { caller: &caller, server: "crm", message, posture: None, loopback: false };
        let forbidden = kept.iter().any(|scope| !scope.3 && fits(scope));
        let permitted = kept.iter().any(|scope| scope.3 && fits(scope));
        proptest::prop_assert_eq!(call.decide(&policies).is_ok(), permitted && !forbidden, "{}", text);
        proptest::prop_assert_eq!(policies.allows(&call.query()), permitted && !forbidden, "{}", text);
    }
}

/// Not a check but a measurement: `cargo test --release -p lockgate-policy -- --ignored --nocapture costs`.
#[test]
#[ignore = "prints times"]
fn costs() {
    use std::time::Instant;

    use lockgate_policy::{Circumstances, Definition, Definitions, Options, Policies, Query, Source};

    let definition = |n: usize| Definition {
        server: format!("s{}", n / 100),
        tool: format!("t{}", n % 100),
        json: serde_json::json!({"name": format!("t{}", n % 100), "inputSchema": {"type": "object",
            "properties": {format!("own{n}"): {"type": "string"}, "limit": {"type": "integer"},
            "fields": {"type": "array", "items": {"type": "string"}}}}})
        .to_string(),
        sha256: n.to_string(),
    };
    let definitions = Definitions::new((0..1_000).map(definition));
    let options = Options { definitions: &definitions, ..Options::bare(1) };
    for count in [10, 100, 1_000, 10_000] {
        let text = |changed: usize| {
            let mut text = String::new();
            for n in 0..count {
                let tool = n % 1_000;
                let limit = 50 + usize::from(n < changed);
                writeln!(
                    text,
                    "@id(\"p{n}\") permit(principal in Lockgate::Role::\"r{}\", action in Lockgate::Action::\"tools/call\", \
                     resource == Lockgate::Tool::\"s{}/t{}\") when {{ context has input && context.input has limit && \
                     context.input.limit <= {limit} && [\"name\", \"email\"].containsAll(context.names) || \
                     context.link.resumed }};",
                    n / 1_000,
                    tool / 100,
                    tool % 100
                )
                .unwrap();
            }
            text.push_str("@id(\"never\") forbid(principal, action, resource) when { context.touched.contains(\"system_config\") };");
            text
        };
        let (first, second) = (text(0), text(10));
        let begin = Instant::now();
        let policies = Policies::parse(&[Source { name: "p.cedar", text: &first }], &options).unwrap();
        let load = begin.elapsed();
        let begin = Instant::now();
        let policies = policies.parse_again(&[Source { name: "p.cedar", text: &second }], &options).unwrap();
        let reload = begin.elapsed();
        let caller = agent(AGENT).with_roles(["r0".to_owned()].into());
        let link = hybrid();
        let mut times = Vec::new();
        let mut lists = Vec::new();
        for round in 0..20 {
            let begin = Instant::now();
            for n in 0..1_000 {
                let (server, tool) = (format!("s{}", n / 100), format!("t{}", n % 100));
                let query = Query {
                    caller: &caller,
                    server: &server,
                    method: "tools/call",
                    name: Some(&tool),
                    posture: Some(&link),
                    loopback: false,
                };
                policies.allows(&query);
            }
            lists.push(begin.elapsed());
            for n in 0..count.min(100) {
                let (server, tool) = (format!("s{}", n / 100), format!("t{}", n % 100));
                let arguments = serde_json::json!({"limit": 5, "name": "Ann", "email": "a@example.org"});
                let message = crate::subjects::request_with("tools/call", &tool, arguments);
                let query = Query {
                    caller: &caller,
                    server: &server,
                    method: "tools/call",
                    name: Some(&tool),
                    posture: Some(&link),
                    loopback: false,
                };
                let begin = Instant::now();
                let answer = policies.decide(query, &Circumstances::at(1_800_000_000_000), message);
                if round > 0 {
                    times.push(begin.elapsed());
                }
                drop(answer);
            }
        }
        times.sort();
        println!(
            "{count} policies: load {load:?}, reload {reload:?}, decision p50 {:?} p99 {:?}, list of 1,000 first {:?} then {:?}",
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            lists[0],
            lists[10]
        );
    }
}

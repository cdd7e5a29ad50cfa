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
            "permit(principal == Lockgate::Agent::\"{AGENT}\", action == Lockgate::Action::\"tools/call\", \
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
        ("action == Lockgate::Action::\"tools/call\"", true),
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

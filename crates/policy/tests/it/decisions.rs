//! Who may do what: tables of calls against small policy sets.

use lockgate_policy::{Cause, Circumstances, Options, Policies, Query, RESPONSE, starter};

use crate::subjects::{
    AGENT, Call, agent, anonymous, classical, foreign, hybrid, local_user, notification, policies, request,
    response,
};

const LOCAL: &str = "spiffe://example.org/agent/local";

#[test]
fn nothing_is_permitted_by_nothing() {
    let policies = Policies::parse(&[], &Options::bare(1)).unwrap();
    assert!(policies.is_empty());
    let (caller, link) = (agent(LOCAL), hybrid());
    for (method, name) in [("initialize", None), ("tools/list", None), ("tools/call", Some("echo"))] {
        let message = request(method, name);
        let call = Call { caller: &caller, server: "files", message, posture: Some(&link), loopback: true };
        let denial = call.decide(&policies).unwrap_err();
        assert_eq!((denial.cause, denial.policy), (Cause::NotPermitted, None), "{method}");
        assert!(!policies.allows(&call.query()), "{method}");
    }
    let message = request("vendor/unheard-of", None);
    let call = Call { caller: &caller, server: "files", message, posture: Some(&link), loopback: true };
    assert_eq!(call.decide(&policies).unwrap_err().cause, Cause::UnknownMethod);
}

#[test]
fn the_starter_lets_the_local_agent_in_and_nobody_else() {
    let policies = policies(&starter("example.org"));
    let (own, other, elsewhere) = (agent(LOCAL), agent(AGENT), agent("spiffe://example.com/agent/local"));
    let (user, nobody) = (local_user(), anonymous());
    let (hybrid, foreign, classical) = (hybrid(), foreign(), classical());
    let table = [
        ("own agent, quantum-safe", &own, Some(&hybrid), false, true),
        ("own agent, classical", &own, Some(&classical), true, false),
        ("own agent, classical certificates", &own, Some(&foreign), true, false),
        ("own agent, plain", &own, None, true, false),
        ("other agent", &other, Some(&hybrid), true, false),
        ("same name, other trust domain", &elsewhere, Some(&hybrid), true, false),
        ("local user, hybrid group", &user, Some(&foreign), true, true),
        ("local user, quantum-safe", &user, Some(&hybrid), true, true),
        ("local user, classical group", &user, Some(&classical), true, false),
        ("local user, not on loopback", &user, Some(&hybrid), false, false),
        ("local user, plain", &user, None, true, false),
        ("anonymous on loopback", &nobody, Some(&foreign), true, false),
        ("anonymous, quantum-safe", &nobody, Some(&hybrid), false, false),
    ];
    let messages = [
        request("initialize", None),
        request("server/discover", None),
        notification("notifications/initialized"),
        response(),
        request("tools/list", None),
        request("tools/call", Some("echo")),
        request("resources/read", Some("file:///etc/hosts")),
        request("prompts/get", Some("greet")),
        request("tasks/cancel", Some("t-1")),
    ];
    for (who, caller, posture, loopback, permitted) in table {
        for message in &messages {
            let call = Call { caller, server: "files", message: message.clone(), posture, loopback };
            let text = message.text();
            assert_eq!(call.decide(&policies).is_ok(), permitted, "{who}: {text}");
            assert_eq!(policies.allows(&call.query()), permitted, "{who}: {text}");
        }
    }
}

#[test]
fn methods_that_the_schema_does_not_know_are_in_no_group() {
    let groups = policies(&starter("example.org"));
    let named = policies(&format!(
        "{}\n@id(\"vendor\") permit(principal, action == Lockgate::Action::\"other\", resource)
         when {{ context.method == \"vendor/reset\" }};\n// end\n",
        starter("example.org").replace("// end", "")
    ));
    let everything = policies("permit(principal, action, resource);");
    let (caller, link) = (agent(LOCAL), hybrid());
    for (method, in_groups, in_named) in [
        ("tools/call", true, true),
        ("notifications/vendor", true, true),
        ("vendor/reset", false, true),
        ("vendor/other", false, false),
        ("tools/call2", false, false),
        ("Tools/call", false, false),
        ("other", false, false),
        ("session", false, false),
        ("use", false, false),
        // A request that calls itself a response is not one.
        (RESPONSE, false, false),
    ] {
        let message = request(method, (method == "tools/call").then_some("echo"));
        let call = Call { caller: &caller, server: "files", message, posture: Some(&link), loopback: true };
        assert_eq!(call.decide(&groups).is_ok(), in_groups, "{method}");
        assert_eq!(call.decide(&named).is_ok(), in_named, "{method}");
        assert_eq!(call.decide(&everything).is_ok(), method != RESPONSE, "{method}");
    }
}

#[test]
fn forbid_beats_permit() {
    let policies = policies(
        "@id(\"all\") permit(principal, action, resource);
         @id(\"no-delete\") @reason(\"deleting needs a person\")
         forbid(principal, action in Lockgate::Action::\"tools/call\", resource is Lockgate::Tool)
         when { resource.name like \"delete*\" };",
    );
    let caller = anonymous();
    for (tool, policy) in [("read", None), ("delete_all", Some("no-delete"))] {
        let message = request("tools/call", Some(tool));
        let call = Call { caller: &caller, server: "files", message, posture: None, loopback: false };
        match (call.decide(&policies), policy) {
            (Ok(permit), None) => {
                assert_eq!(permit.policies(), ["all"]);
                assert_eq!((permit.server(), permit.generation()), ("files", 7));
                assert_eq!(permit.message().name(), Some(tool));
            }
            (Err(denial), Some(id)) => {
                assert_eq!((denial.cause, denial.policy.as_deref()), (Cause::Forbidden, Some(id)));
                assert!(denial.reason.contains("deleting needs a person"), "{}", denial.reason);
                assert_eq!(denial.message.name(), Some(tool));
            }
            (answer, _) => panic!("{tool}: {answer:?}"),
        }
    }
}

/// Validation cannot see that a sum overflows; Cedar would skip the policy.
#[test]
fn a_policy_that_fails_denies_although_another_permits() {
    const FAILS: &str = "9223372036854775807 + 1 == 0 || true";
    let caller = anonymous();
    for (failing, hit) in [
        (format!("@id(\"bad\") forbid(principal, action, resource) when {{ {FAILS} }};"), true),
        (format!("@id(\"bad\") permit(principal, action, resource) when {{ {FAILS} }};"), true),
        (
            format!(
                "@id(\"bad\") permit(principal, action, resource == Lockgate::Tool::\"mail/send\") \
                 when {{ {FAILS} }};"
            ),
            false,
        ),
    ] {
        let policies = policies(&format!("@id(\"all\") permit(principal, action, resource);\n{failing}"));
        let message = request("tools/call", Some("read"));
        let call = Call { caller: &caller, server: "files", message, posture: None, loopback: false };
        assert_eq!(policies.allows(&call.query()), !hit, "{failing}");
        let answer = call.decide(&policies);
        if hit {
            let denial = answer.unwrap_err();
            assert_eq!((denial.cause, denial.policy.as_deref()), (Cause::PolicyFailed, Some("bad")));
            assert!(denial.reason.contains("overflow"), "{}", denial.reason);
            assert!(denial.hint.contains("policy.cedar at line 2"), "{}", denial.hint);
        } else {
            assert!(answer.is_ok(), "{failing}");
        }
    }
}

#[test]
fn policies_see_the_agent_the_link_and_the_name() {
    let agents = [agent(AGENT), agent("spiffe://example.org/agent/billing-test")];
    let (hybrid, classical) = (hybrid(), classical());
    let resumed = lockgate_crypto::Posture { resumed: true, ..hybrid.clone() };
    for (condition, permitted) in [
        ("principal.path like \"/agent/billing\"", [true, false]),
        ("principal.path like \"/agent/billing*\"", [true, true]),
        ("principal.trust_domain == \"example.org\" && principal.role == \"agent\"", [true, true]),
        ("principal.trust_domain == \"example.com\"", [false, false]),
        ("resource.server == \"files\" && resource.name like \"re?d*\"", [false, false]),
        ("resource.server == \"files\" && resource.name like \"re*\"", [true, true]),
        ("context.link.group == \"X25519MLKEM768\"", [true, true]),
        ("context.link.peer_signature == \"none\"", [false, false]),
        ("context.link.own_signature like \"MLDSA*\"", [true, true]),
        ("context.link.profile like \"pq-hybrid@*\"", [true, true]),
        ("context.link.encrypted && !context.link.resumed && !context.link.loopback", [true, true]),
    ] {
        let policies = policies(&format!(
            "permit(principal is Lockgate::Agent, action, resource is Lockgate::Tool) when {{ {condition} }};"
        ));
        for (caller, permitted) in agents.iter().zip(permitted) {
            let message = request("tools/call", Some("read"));
            let call = Call { caller, server: "files", message, posture: Some(&hybrid), loopback: false };
            assert_eq!(call.decide(&policies).is_ok(), permitted, "{condition}");
        }
    }
    // The same call over another link is another decision, remembered apart.
    let policies = policies(
        "permit(principal, action, resource) when { context.link.quantum_safe && !context.link.resumed };",
    );
    for _ in 0..2 {
        for (posture, permitted) in [(&hybrid, true), (&classical, false), (&resumed, false)] {
            let message = request("tools/call", Some("read"));
            let call = Call {
                caller: &agents[0],
                server: "files",
                message,
                posture: Some(posture),
                loopback: false,
            };
            assert_eq!(call.decide(&policies).is_ok(), permitted, "{posture:?}");
        }
    }
}

/// The decision is about the message that the permit will carry, or there is
/// none.
#[test]
fn a_query_about_another_message_denies() {
    let policies = policies("permit(principal, action, resource);");
    let caller = anonymous();
    let message = request("tools/call", Some("read"));
    for (method, name) in [
        ("tools/call", Some("write")),
        ("tools/call", None),
        ("tools/list", Some("read")),
        (RESPONSE, Some("read")),
    ] {
        let query = Query { caller: &caller, server: "files", method, name, posture: None, loopback: false };
        let denial = policies.decide(query, &Circumstances::at(0), message.clone()).unwrap_err();
        assert_eq!(denial.cause, Cause::Mismatch, "{method} {name:?}");
    }
    let query = Query {
        caller: &caller,
        server: "files",
        method: RESPONSE,
        name: None,
        posture: None,
        loopback: false,
    };
    assert!(policies.decide(query, &Circumstances::at(0), response()).is_ok());
    // A list asked about without a name to use is a denial, not a panic.
    assert!(!policies.allows(&Query { method: "tools/call", ..query }));
}

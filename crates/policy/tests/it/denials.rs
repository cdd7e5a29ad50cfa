//! A denial says who, what, where and what would allow it, and its advice works.

use lockgate_policy::{Cause, Options, Policies, Source};
use proptest::prelude::*;

use crate::subjects::{AGENT, Call, agent, anonymous, classical, hybrid, local_user, policies, request};

/// The policy line in a hint.
fn line(hint: &str) -> &str {
    let start = hint.find("permit(").expect("the hint holds a policy");
    &hint[start..]
}

#[test]
fn denials_name_everything() {
    let policies = policies("");
    let (workload, user, nobody) = (agent(AGENT), local_user(), anonymous());
    for (caller, method, name, reason, hint) in [
        (
            &workload,
            "tools/call",
            Some("drop_table"),
            "agent spiffe://example.org/agent/billing may not call tool \"drop_table\" on server \"crm\": \
             no policy permits it",
            "to allow it, add this line to policy.cedar: \
             permit(principal == Lockgate::Agent::\"spiffe://example.org/agent/billing\", \
             action in Lockgate::Action::\"tools/call\", resource == Lockgate::Tool::\"crm/drop_table\");",
        ),
        (
            &user,
            "initialize",
            None,
            "the local user 1000 may not use initialize on server \"crm\": no policy permits it",
            "to allow it, add this line to policy.cedar: permit(principal == Lockgate::LocalUser::\"1000\", \
             action in [Lockgate::Action::\"session\", Lockgate::Action::\"list\"], \
             resource == Lockgate::Server::\"crm\");",
        ),
        (
            &nobody,
            "vendor/reset",
            None,
            "an anonymous caller may not use \"vendor/reset\" (a method that no group holds) on server \
             \"crm\": no policy permits it",
            "to allow it, add this line to policy.cedar: \
             permit(principal == Lockgate::Anonymous::\"anonymous\", \
             action == Lockgate::Action::\"other\", resource == Lockgate::Server::\"crm\") \
             when { context.method == \"vendor/reset\" };",
        ),
    ] {
        let message = request(method, name);
        let call = Call { caller, server: "crm", message, posture: None, loopback: true };
        let denial = call.decide(&policies).unwrap_err();
        assert_eq!(denial.reason, reason);
        assert_eq!(denial.hint, hint);
        assert_eq!(denial.to_string(), format!("{reason} (hint: {hint})"));
    }
}

#[test]
fn a_permit_whose_condition_is_not_met_is_named_with_the_link() {
    let policies = policies(
        "// first line\n@id(\"safe-only\")\npermit(principal, action, resource)\n\
         when { context.link.quantum_safe };",
    );
    let (caller, link) = (agent(AGENT), classical());
    let message = request("tools/call", Some("read"));
    let call = Call { caller: &caller, server: "crm", message, posture: Some(&link), loopback: false };
    let denial = call.decide(&policies).unwrap_err();
    assert_eq!((denial.cause, denial.policy.as_deref()), (Cause::NotPermitted, None));
    for part in ["`safe-only` (policy.cedar:2)", "group X25519", "not quantum-safe", "condition"] {
        assert!(denial.reason.contains(part), "{part}: {}", denial.reason);
    }
    assert!(denial.hint.contains("meet that condition"), "{}", denial.hint);
}

#[test]
fn names_in_denials_are_cut_and_escaped() {
    let policies = policies("");
    let caller = anonymous();
    let name = format!("a\n\u{202e}{}", "x".repeat(5_000));
    let message = request("tools/call", Some(&name));
    let call = Call { caller: &caller, server: "crm", message, posture: None, loopback: false };
    let denial = call.decide(&policies).unwrap_err();
    assert!(denial.reason.contains("\"a\\n\\u{202e}xxx"), "{}", denial.reason);
    assert!(denial.to_string().len() < 1_000, "{} bytes", denial.to_string().len());
}

#[test]
fn only_callers_on_this_machine_learn_where_files_are() {
    let path = "/home/alice/.local/state/lockgate/policy/local.cedar";
    let text = "forbid(principal, action, resource in Lockgate::Server::\"crm\");\n\
                permit(principal, action, resource) when { context.link.quantum_safe };";
    let policies = Policies::parse(&[Source { name: path, text }], &Options::bare(1)).unwrap();
    let caller = anonymous();
    for server in ["crm", "mail"] {
        for loopback in [true, false] {
            let message = request("tools/call", Some("read"));
            let call = Call { caller: &caller, server, message, posture: None, loopback };
            let denial = call.decide(&policies).unwrap_err();
            let said = format!("{denial} {:?}", denial.policy);
            assert_eq!(said.contains("alice"), loopback, "{said}");
            assert!(said.contains("local.cedar"), "{said}");
        }
    }
}

proptest! {
    /// Whatever the names hold, the advised line is valid Cedar and permits
    /// exactly that call.
    #[test]
    fn the_advised_line_permits_the_call(
        server in "[a-z/%\"\\\\é\u{7f}\n]{1,6}",
        name in any::<String>().prop_filter("bidirectional controls are refused in policies", |name| {
            !name.contains(|c| matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        }),
        method in prop::sample::select(vec!["tools/call", "resources/read", "prompts/get", "vendor/x", "ping"]),
    ) {
        let named = !matches!(method, "vendor/x" | "ping");
        let (caller, link) = (agent(AGENT), hybrid());
        let message = request(method, named.then_some(name.as_str()));
        let call = Call { caller: &caller, server: &server, message, posture: Some(&link), loopback: false };
        let denial = call.decide(&policies("")).unwrap_err();
        let advised = line(&denial.hint).to_owned();
        let set = Policies::parse(&[Source { name: "advice.cedar", text: &advised }], &Options::bare(1));
        let set = set.map_err(|errors| TestCaseError::fail(format!("{advised}: {errors:?}")))?;
        prop_assert!(call.decide(&set).is_ok(), "{}", advised);

        let other = request(method, named.then(|| format!("{name}x")).as_deref());
        let other = Call { message: other, ..call };
        prop_assert_eq!(other.decide(&set).is_ok(), !named, "{}", advised);
    }
}

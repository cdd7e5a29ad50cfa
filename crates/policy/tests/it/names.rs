//! Names of every kind stay names: no quote, slash or letter of another script
//! makes one tool pass for another.

use lockgate_policy::{Options, Policies, Source};
use proptest::prelude::*;

use crate::subjects::{Call, anonymous, policies, request};

/// A policy set that permits one tool, given by its entity id.
fn only(id: &str) -> Policies {
    policies(&format!(
        "permit(principal, action in Lockgate::Action::\"tools/call\", resource == Lockgate::Tool::\"{id}\");"
    ))
}

fn permits(policies: &Policies, server: &str, tool: &str) -> bool {
    let caller = anonymous();
    let message = request("tools/call", Some(tool));
    Call { caller: &caller, server, message, posture: None, loopback: false }.decide(policies).is_ok()
}

#[test]
fn a_slash_moves_no_boundary() {
    for (id, server, tool) in [
        ("a/b/c", "a", "b/c"),
        ("a%2Fb/c", "a/b", "c"),
        ("a%252Fb/c", "a%2Fb", "c"),
        ("a/%2Fb/c", "a", "%2Fb/c"),
        ("/a", "", "a"),
        ("a/", "a", ""),
    ] {
        let policies = only(id);
        for (other_server, other_tool) in
            [("a", "b/c"), ("a/b", "c"), ("a%2Fb", "c"), ("a", "%2Fb/c"), ("", "a"), ("a", ""), ("a/b/c", "")]
        {
            let same = (other_server, other_tool) == (server, tool);
            assert_eq!(
                permits(&policies, other_server, other_tool),
                same,
                "{id}: {other_server} {other_tool}"
            );
        }
    }
}

#[test]
fn a_server_permit_covers_its_own_tools_only() {
    let policies = policies("permit(principal, action, resource in Lockgate::Server::\"a\");");
    for (server, tool, permitted) in
        [("a", "b/c", true), ("a/b", "c", false), ("a ", "b", false), ("A", "b", false), ("", "a/b", false)]
    {
        assert_eq!(permits(&policies, server, tool), permitted, "{server} {tool}");
    }
}

#[test]
fn look_alikes_are_others() {
    let policies = only("crm/read");
    // Cyrillic е, a combining mark, a zero-width space, a trailing NUL.
    for tool in ["r\u{435}ad", "re\u{301}ad", "re\u{200b}ad", "read\0", "READ", " read"] {
        assert!(!permits(&policies, "crm", tool), "{tool:?}");
    }
    assert!(permits(&policies, "crm", "read"));
}

proptest! {
    /// Two (server, tool) pairs are the same to policy only if they are equal.
    #[test]
    fn pairs_are_told_apart(
        one in ("[ab/%2F\"\\\\ ;é]{0,4}", "[ab/%2F\"\\\\ ;é]{0,4}"),
        two in ("[ab/%2F\"\\\\ ;é]{0,4}", "[ab/%2F\"\\\\ ;é]{0,4}"),
    ) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let text = format!(
            "permit(principal, action, resource is Lockgate::Tool) \
             when {{ resource == Lockgate::Tool::\"{}/{}\" }};",
            escaped(&one.0.replace('%', "%25").replace('/', "%2F")),
            escaped(&one.1),
        );
        let policies = Policies::parse(&[Source { name: "p", text: &text }], &Options::bare(1)).unwrap();
        prop_assert!(permits(&policies, &one.0, &one.1), "{}", text);
        prop_assert_eq!(permits(&policies, &two.0, &two.1), one == two, "{}", text);
    }

    /// Policy text is outside input too: whatever it holds, loading returns.
    #[test]
    fn any_text_loads_or_says_why(text in "[a-z \n\"\\\\;/(){}@,=é]{0,60}|(?s).{0,40}") {
        if let Err(errors) = Policies::parse(&[Source { name: "p", text: &text }], &Options::bare(1)) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                prop_assert!(error.line >= 1 && error.column >= 1);
            }
        }
    }
}

//! Resources and scopes.

use proptest::prelude::*;

use super::*;

#[test]
fn a_resource_has_one_form() {
    for (text, canonical) in [
        ("https://gw.example.org/mcp", "https://gw.example.org/mcp"),
        ("HTTPS://GW.Example.ORG:443/mcp/", "https://gw.example.org/mcp"),
        ("https://gw.example.org", "https://gw.example.org"),
        ("https://gw.example.org/", "https://gw.example.org"),
        ("http://127.0.0.1:8080/Mcp", "http://127.0.0.1:8080/Mcp"),
        ("http://localhost:80/", "http://localhost"),
        ("https://[::1]:8443/mcp", "https://[::1]:8443/mcp"),
        ("https://[2001:DB8:0::1]/mcp", "https://[2001:db8::1]/mcp"),
        ("https://a/b%20c", "https://a/b%20c"),
    ] {
        assert_eq!(Resource::parse(text).unwrap().as_str(), canonical, "{text}");
    }
    assert_eq!(Resource::of_target("https://a/b?c=/../#d").unwrap().as_str(), "https://a/b");
    for text in [
        "",
        "mcp",
        "/mcp",
        "//gw/mcp",
        "https:/gw/mcp",
        "https://",
        "https:///mcp",
        "ftp://gw/mcp",
        "spiffe://td/x",
        "https://gw/mcp?x=1",
        "https://gw/mcp#x",
        "https://user@gw/mcp",
        "https://u:p@gw/mcp",
        "https://gw:/mcp",
        "https://gw:0/mcp",
        "https://gw:99999/mcp",
        "https://gw:08/mcp",
        "https://gw:+80/mcp",
        "https://gw:80:80/mcp",
        "https://gw/a/../b",
        "https://gw/./b",
        "https://gw/a//b",
        "https://gw/a/..",
        "https://gw/%2e%2e/b",
        "https://gw/%2F",
        "https://gw/%5C",
        "https://gw/%41",
        "https://gw/%c3%a9",
        "https://gw/%",
        "https://gw/%G0",
        "https://gw/%00",
        "https://gw\\mcp",
        "https://gw/a\\b",
        "https://gw/a b",
        "https://gw/é",
        "https://gé/",
        "https://gw\n/",
        "https://[::1/mcp",
        "https://[x]/mcp",
        "https://[::1]x/mcp",
        "https://gw./mcp",
        "https://g%77/mcp",
        "javascript://gw/mcp",
    ] {
        assert!(Resource::parse(text).is_err(), "{text}");
    }
    assert!(Resource::parse(&format!("https://gw/{}", "a".repeat(RESOURCE_BYTES_MAX))).is_err());
}

#[test]
fn a_resource_contains_what_is_beneath_it() {
    let resource = |text: &str| Resource::parse(text).unwrap();
    let gateway = resource("https://gw/mcp");
    for (inner, contained) in [
        ("https://gw/mcp", true),
        ("https://gw/mcp/crm", true),
        ("https://gw/mcpx", false),
        ("https://gw", false),
        ("https://gw.evil/mcp", false),
        ("https://gw:1/mcp", false),
    ] {
        assert_eq!(gateway.contains(&resource(inner)), contained, "{inner}");
    }
    assert!(!resource("https://gw").contains(&resource("https://gw.evil/mcp")));
    let json = serde_json::to_string(&gateway).unwrap();
    assert_eq!(serde_json::from_str::<Resource>(&json).unwrap(), gateway);
}

#[test]
fn scopes_are_words() {
    let scope = Scope::parse("b a").unwrap();
    assert_eq!(scope.to_string(), "a b");
    assert!(scope.has("a") && !scope.has("c") && !scope.is_empty());
    scope.covers(&Scope::parse("a").unwrap()).unwrap();
    let refused = scope.covers(&Scope::parse("a c d").unwrap()).unwrap_err();
    assert_eq!(refused, TokenRefused::Scope { needed: "a c d".to_owned() });
    assert_eq!(refused.oauth_error(), "insufficient_scope");
    assert_eq!(scope.and(&Scope::parse("c b").unwrap()).to_string(), "b");
    assert!(Scope::parse("").unwrap().is_empty());
    let many = (0..=SCOPES_MAX).map(|at| at.to_string()).collect::<Vec<_>>().join(" ");
    for text in [" ", "a ", " a", "a  b", "a a", "a\tb", "a\"b", "é", many.as_str(), &"a".repeat(3000)] {
        assert!(Scope::parse(text).is_err(), "{text:.40}");
    }
}

proptest! {
    #[test]
    fn a_canonical_resource_stays_as_it_is(text in "https?://[A-Za-z0-9.:@%\\[\\]-]{1,20}(/[a-zA-Z0-9.%~_-]{0,6}){0,4}[?#]?") {
        if let Ok(resource) = Resource::of_target(&text) {
            prop_assert_eq!(Resource::parse(resource.as_str()).unwrap(), resource);
        }
    }

    #[test]
    fn any_text_is_a_resource_or_not(text in "\\PC{0,60}") {
        let _ = Resource::parse(&text);
        let _ = Resource::of_target(&format!("https://{text}"));
        let _ = Scope::parse(&text);
    }
}

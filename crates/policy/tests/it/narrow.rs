//! No file means anything wider than it reads.

use lockgate_identity::Caller;
use lockgate_policy::{
    Circumstances, Definition, Definitions, Fault, Options, Policies, PolicyError, Query, Source,
};
use serde_json::{Value, json};

use crate::subjects::{agent, anonymous, local_user, request_with};

fn definition(tool: &str, properties: Value) -> Definition {
    let json = json!({"name": tool, "inputSchema": {"type": "object", "properties": properties}}).to_string();
    Definition { server: "crm".into(), tool: tool.into(), sha256: "1".into(), json }
}

fn parse_all(files: &[(&str, &str)], definitions: &[Definition]) -> Result<Policies, Vec<PolicyError>> {
    let definitions = Definitions::new(definitions.iter().cloned());
    let options = Options { definitions: &definitions, trust_domain: "example.org", ..Options::bare(1) };
    let sources: Vec<Source<'_>> = files.iter().map(|(name, text)| Source { name, text }).collect();
    Policies::parse(&sources, &options)
}

fn role(rules: &str) -> String {
    format!("[role]\nname = \"r\"\nagents = [\"agent/a\"]\n{rules}\n[end]\n")
}

fn parse(rules: &str, definitions: &[Definition]) -> Policies {
    let text = role(rules);
    match parse_all(&[("r.toml", &text)], definitions) {
        Ok(policies) => policies,
        Err(errors) => panic!("{rules}\n{errors:#?}"),
    }
}

fn allowed(policies: &Policies, caller: &Caller, tool: &str, arguments: &Value) -> bool {
    let message = request_with("tools/call", tool, arguments.clone());
    let query = Query {
        caller,
        server: "crm",
        method: "tools/call",
        name: Some(tool),
        posture: None,
        loopback: false,
    };
    policies.decide(query, &Circumstances::at(0), message).is_ok()
}

#[test]
fn a_dot_in_a_name_is_no_way_into_a_record() {
    let tool = [definition(
        "get",
        json!({"a.b": {"type": "string"}, "a": {"type": "object", "properties": {"b": {"type": "string"}}}}),
    )];
    let nested = r#"arguments."a.b" = "yes""#;
    let dotted = r#"arguments.'a\.b' = "yes""#;
    for definitions in [&tool[..], &[]] {
        for (argument, call, expected) in [
            (nested, json!({"a": {"b": "yes"}}), true),
            (nested, json!({"a.b": "yes"}), false),
            (nested, json!({"a": {"b": "yes"}, "a.b": "anything"}), false),
            (nested, json!({"a": {"b": "yes", "c": 1}}), false),
            (dotted, json!({"a.b": "yes"}), true),
            (dotted, json!({"a.b": "no"}), false),
            (dotted, json!({"a": {"b": "yes"}}), false),
            (dotted, json!({"a.b": "yes", "a": {"b": "anything"}}), false),
            // Merely there.
            (r#"arguments."a.b" = { required = true }"#, json!({"a.b": "yes"}), false),
            (r#"arguments.'a\.b' = { required = true }"#, json!({"a": {"b": "yes"}}), false),
            (r#"arguments.'a\.b' = { required = true }"#, json!({"a.b": "yes"}), true),
        ] {
            let policies = parse(&format!("[[allow]]\ntools = [\"crm/get\"]\n{argument}"), definitions);
            let known = !definitions.is_empty();
            assert_eq!(
                allowed(&policies, &agent("spiffe://example.org/agent/a"), "get", &call),
                expected,
                "{argument} {call} {known}"
            );
        }
    }
    // Three deep: a member whose name has a dot is not the way to a member.
    let deep = parse("[[allow]]\ntools = [\"crm/new\"]\narguments.\"a.b.c\" = \"yes\"", &[]);
    let caller = agent("spiffe://example.org/agent/a");
    assert!(allowed(&deep, &caller, "new", &json!({"a": {"b": {"c": "yes"}}})));
    assert!(!allowed(&deep, &caller, "new", &json!({"a": {"b": {"c": "yes"}, "b.c": "anything"}})));
}

#[test]
fn a_path_that_is_none_is_refused() {
    for path in [r"a\\b", r"a\\", "a..b", ".a", "a."] {
        let text = role(&format!("[[allow]]\ntools = [\"crm/get\"]\narguments.\"{path}\" = 1"));
        let errors = parse_all(&[("r.toml", &text)], &[]).expect_err(path);
        assert!(errors[0].what.contains("no path of an argument"), "{path}: {errors:#?}");
        assert!(errors[0].hint.contains(r"'a\.b'"), "{errors:#?}");
    }
}

/// `5` and `"5"` are unequal, and many servers take either.
#[test]
fn another_type_is_no_way_past_a_prohibition() {
    let caller = agent("spiffe://example.org/agent/a");
    for (argument, calls) in [
        ("5", [(json!(5), false), (json!("5"), false), (json!(6), true), (json!(5.5), false)]),
        ("\"5\"", [(json!("5"), false), (json!(5), false), (json!("6"), true), (json!(["5"]), false)]),
        ("\"a*b\"", [(json!("a*b"), false), (json!(1), false), (json!("axb"), true), (json!("6"), true)]),
        ("true", [(json!(true), false), (json!("true"), false), (json!(false), true), (json!(1), false)]),
        ("false", [(json!(false), false), (json!("false"), false), (json!(true), true), (json!(0), false)]),
        ("1.5", [(json!(1.5), false), (json!("1.5"), false), (json!(2.5), true), (json!(1), false)]),
        ("[5, 7]", [(json!(7), false), (json!("7"), false), (json!(6), true), (json!(null), true)]),
        ("[\"x\", \"y\"]", [(json!("y"), false), (json!(7), false), (json!("z"), true), (json!({}), false)]),
    ] {
        let rules = format!(
            "[[allow]]\ntools = [\"crm/new\"]\n[[never]]\ntools = [\"crm/new\"]\narguments.x = {argument}"
        );
        let policies = parse(&rules, &[]);
        for (value, expected) in calls {
            let call = json!({"x": value});
            assert_eq!(allowed(&policies, &caller, "new", &call), expected, "never {argument}, {call}");
        }
    }
}

/// Found by reading: the rule on the tool that nobody has shown speaks of all of `tools/call` in its scope.
#[test]
fn a_rule_on_an_unseen_tool_is_not_held_to_the_types_of_another() {
    let pinned = [definition(
        "get",
        json!({"x": {"type": "integer"}, "y": {"type": "array", "items": {"type": "string"}}}),
    )];
    let caller = agent("spiffe://example.org/agent/a");
    for effect in ["allow", "never"] {
        let opposite = if effect == "allow" { "" } else { "[[allow]]\nservers = [\"crm\"]\n" };
        let rules = format!(
            "{opposite}[[{effect}]]\ntools = [\"crm/get\"]\narguments.x = 5\n\
             [[{effect}]]\nid = \"new\"\ntools = [\"crm/new\"]\narguments.x = \"c-1\"\narguments.y = {{ min = 3 }}\n"
        );
        let policies = parse(&rules, &pinned);
        let matching = effect == "allow";
        for (tool, call, expected) in [
            ("get", json!({"x": 5}), matching),
            ("new", json!({"x": "c-1", "y": 3}), matching),
            ("new", json!({"x": "c-2", "y": 3}), !matching),
        ] {
            assert_eq!(allowed(&policies, &caller, tool, &call), expected, "{effect} {tool} {call}");
        }
        let warned: Vec<Fault> = policies.warnings().iter().map(|warning| warning.fault).collect();
        assert_eq!(warned, [Fault::NotSeen], "{:#?}", policies.warnings());
    }
}

#[test]
fn who_has_no_identity_is_in_the_roles_that_say_so() {
    let text = |agents: &str| {
        let agents = if agents.is_empty() { String::new() } else { format!("agents = [{agents}]\n") };
        format!("[role]\nname = \"r\"\n{agents}[[allow]]\ntools = [\"crm/get\"]\n[end]\n")
    };
    let mut registered = anonymous();
    registered.roles = ["r".to_owned()].into();
    for (agents, is_anonymous, is_local, is_agent) in [
        ("\"anonymous\"", true, false, false),
        ("\"**\"", false, false, true),
        ("\"local-user\"", false, true, false),
        ("\"agent/a\", \"anonymous\"", true, false, true),
        ("", false, false, false),
    ] {
        let policies = parse_all(&[("r.toml", &text(agents))], &[]).unwrap();
        let call = json!({});
        let found = [anonymous(), local_user(), agent("spiffe://example.org/agent/a")]
            .map(|caller| allowed(&policies, &caller, "get", &call));
        assert_eq!(found, [is_anonymous, is_local, is_agent], "{agents}");
        // Registration gives nothing to who has no identity.
        assert_eq!(allowed(&policies, &registered, "get", &call), is_anonymous, "{agents}");
        assert_eq!(policies.roles(&registered).len(), usize::from(is_anonymous));
    }
    let nobody = "permit(principal == Lockgate::Anonymous::\"anon\", action, resource);";
    let errors = parse_all(&[("a.cedar", nobody)], &[]).unwrap_err();
    assert!(errors[0].what.contains("nobody is") && errors[0].hint.contains("Anonymous"), "{errors:#?}");
}

#[test]
fn a_name_is_one_files() {
    let (a, b) = (role("[[allow]]\nservers = [\"crm\"]"), role("[[never]]\nservers = [\"billing\"]"));
    let upper = b.replace("name = \"r\"", "name = \"R\"");
    let everyone = b.replace("[role]", "[everyone]").replace("agents = [\"agent/a\"]\n", "");
    for (other, what) in [
        (&b, "the name `r` is taken by one.toml"),
        (&upper, "the name `R` differs from `r` in one.toml by case alone"),
        (&everyone, "the name `r` is taken by one.toml"),
    ] {
        let errors = parse_all(&[("one.toml", &a), ("two.toml", other)], &[]).expect_err(what);
        let found: Vec<_> =
            errors.iter().map(|e| (e.fault, e.file.as_str(), e.line, e.what.as_str())).collect();
        assert_eq!(found, [(Fault::Id, "two.toml", 2, what)]);
    }
}

#[test]
fn a_file_of_cedar_that_promises_its_end_has_one() {
    let policies =
        "permit(principal, action, resource);\nforbid(principal, action, resource is Lockgate::Task);";
    for (text, wrong) in [
        (format!("{policies}\n"), None),
        (format!("{policies}\n// end\n"), None),
        (format!("// begin\n{policies}\n// end"), None),
        (format!("\n  // begin  \r\n{policies}\r\n// end\r\n\r\n"), None),
        (format!("// begin\n{policies}\n"), Some((4, "it was cut off"))),
        ("// begin".to_owned(), Some((1, "it was cut off"))),
        (format!("// end\n{policies}"), Some((1, "not the last line"))),
        (format!("// begin\n{policies}\n// end\n// more\n"), Some((4, "not the last line"))),
    ] {
        match (parse_all(&[("a.cedar", &text)], &[]), wrong) {
            (Ok(policies), None) => {
                let faults: Vec<Fault> = policies.warnings().iter().map(|warning| warning.fault).collect();
                let expected = if text.contains("begin") { &[][..] } else { &[Fault::Unpromised] };
                assert_eq!(faults, expected, "{text:?}");
            }
            (Err(errors), Some((line, what))) => {
                assert_eq!(
                    (errors[0].fault, errors[0].line),
                    (Fault::Unfinished, line),
                    "{text:?} {errors:#?}"
                );
                assert!(errors[0].what.contains(what), "{text:?} {errors:#?}");
            }
            (found, _) => panic!("{text:?}: {found:#?}"),
        }
    }
    // Wherever it is cut.
    let whole = format!("// begin\n@id(\"a\") {policies}\n// end\n");
    for cut in "// begin\n".len()..whole.len() - 1 {
        let found = parse_all(&[("a.cedar", &whole[..cut])], &[]);
        assert_eq!(found.is_ok(), whole[..cut].ends_with("// end"), "{cut}");
    }
}

/// A rule that is misspelt, or spelt with a letter that merely looks alike, is about nothing; that is told.
#[test]
fn a_server_that_is_not_there_is_told() {
    let servers = ["billing".to_owned(), "crm".to_owned()];
    let told = |rules: &str, servers: &[String]| {
        let options = Options { trust_domain: "example.org", servers, ..Options::bare(1) };
        let text = role(rules);
        let policies = Policies::parse(&[Source { name: "r.toml", text: &text }], &options).unwrap();
        let told: Vec<String> =
            policies.warnings().iter().map(|w| format!("{}: {}", w.what, w.hint)).collect();
        told.join("; ")
    };
    for rules in [
        "[[never]]\nservers = [\"biling\"]",
        "[[never]]\ntools = [\"b\u{456}lling/*\"]",
        "[[never]]\ntools = [\"Billing/pay\"]",
        "[[never]]\nresources = [\"biling/file:///x\"]",
    ] {
        assert!(told(rules, &servers).contains("there is no server named"), "{rules}");
        assert!(!told(rules, &[]).contains("no server named"), "{rules}");
    }
    assert!(told("[[never]]\nservers = [\"biling\"]", &servers).contains("did you mean `billing`?"));
    for rules in ["[[never]]\nservers = [\"billing\", \"*\"]", "[[never]]\ntools = [\"crm/a\", \"*/b\"]"] {
        assert_eq!(told(rules, &servers), "", "{rules}");
    }
}

#[test]
fn a_role_that_nobody_has_is_told() {
    let registered = ["retail-bot".to_owned(), "clinic".to_owned()];
    let told = |cedar: &str, roles: Option<&[String]>| {
        let options = Options { trust_domain: "example.org", roles, ..Options::bare(1) };
        let file = role("[[allow]]\nservers = [\"crm\"]");
        let sources = [Source { name: "r.toml", text: &file }, Source { name: "x.cedar", text: cedar }];
        let policies = Policies::parse(&sources, &options).unwrap();
        let of_roles = policies.warnings().iter().filter(|warning| warning.what.contains("the role"));
        of_roles
            .map(|w| format!("{}:{} {}: {}", w.file, w.line, w.what, w.hint))
            .collect::<Vec<_>>()
            .join("; ")
    };
    let of = |role: &str| format!("\npermit(principal in Lockgate::Role::\"{role}\", action, resource);");
    for right in ["retail-bot", "clinic", "r"] {
        assert_eq!(told(&of(right), Some(&registered)), "", "{right}");
    }
    let wrong = told(&of("retail-bott"), Some(&registered));
    assert!(wrong.contains("x.cedar:2") && wrong.contains("did you mean `retail-bot`?"), "{wrong}");
    assert!(told(&of("r\u{435}tail-bot"), Some(&registered)).contains("did you mean `retail-bot`?"));
    assert!(told(&of("ops"), Some(&[])).contains("give it by a [[register]]"));
    // A role in a condition is one, too: a misspelt prohibition forbids nobody anything.
    let condition = "permit(principal, action, resource) unless { principal in Lockgate::Role::\"klinic\" };";
    assert!(told(condition, Some(&registered)).contains("did you mean `clinic`?"));
    assert_eq!(told(&of("ops"), None), "");
}

#[test]
fn a_slash_in_a_servers_name_is_escaped_wherever_it_stands() {
    let caller = agent("spiffe://example.org/agent/a");
    for target in ["servers = [\"a%2Fb\"]", "tools = [\"a%2Fb/*\"]", "tools = [\"a%2Fb/get\"]"] {
        let policies = parse(&format!("[[allow]]\nservers = [\"*\"]\n[[never]]\n{target}"), &[]);
        let message = request_with("tools/call", "get", json!({}));
        let query = Query {
            caller: &caller,
            server: "a/b",
            method: "tools/call",
            name: Some("get"),
            posture: None,
            loopback: false,
        };
        assert!(policies.decide(query, &Circumstances::at(0), message).is_err(), "{target}");
    }
}

#[test]
fn what_says_nothing_is_refused() {
    for (rules, what) in [
        ("[[allow]]\ntools = [\"crm/get\"]\narguments.x = { starts_with = \"\" }", "empty"),
        ("[[allow]]\ntools = [\"crm/get\"]\narguments.x = { max = 9223372036854775808 }", ""),
        ("[[allow]]\ntools = [\"crm/get\"]\narguments.x = { max = 0.00001 }", ""),
        ("[[allow]]\ntools = [\"crm/get\"]\narguments.x = { max = inf }", ""),
        ("[[allow]]\ntools = [\"crm/get\"]\narguments.x = { min = nan }", ""),
        ("[[allow]]\ntools = [\"crm/get\"]\narguments.x = { max = \"5\" }", ""),
        ("[[allow]]\ntools = [\"crm/get\"]\nhours = \"08:00-08:00\"\nzone = \"UTC\"", "no time at all"),
        (
            "[[allow]]\ntools = [\"crm/get\"]\nhours = \"08:00-09:00\"\nzone = \"europe/berlin\"",
            "no time zone",
        ),
        ("[[allow]]\ntools = [\"crm/get\"]\nfacts.frieze.on = true", "fact"),
        ("[[never]]\nservers = []", "empty"),
        ("[[never]]\ntouching = [\"\"]", ""),
    ] {
        let text = role(rules);
        let errors = parse_all(&[("r.toml", &text)], &[]).expect_err(rules);
        assert!(errors.iter().any(|error| error.what.contains(what)), "{rules}: {errors:#?}");
    }
}

//! Every mistake of every file at once, each with its place and a next step.

use lockgate_policy::{Fault, Options, Policies, SCHEMA_TEXT, Source, starter};

fn faults(text: &str) -> Vec<(Fault, u32, u32)> {
    match Policies::parse(&[Source { name: "p.cedar", text }], &Options::bare(1)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(|e| (e.fault, e.line, e.column)).collect(),
    }
}

#[test]
fn mistakes_are_found_where_they_are() {
    use Fault::*;
    for (text, expected) in [
        ("", vec![]),
        ("// only a comment; with a semicolon\n", vec![]),
        ("permit(principal, action, resource);", vec![]),
        ("permit(principal, action, resource)", vec![(Syntax, 1, 36)]),
        ("permit(principal, action resource);", vec![(Syntax, 1, 26)]),
        ("\n\n  permitt(principal, action, resource);", vec![(Syntax, 3, 3)]),
        ("permit(principal, action, resource);;", vec![(Syntax, 1, 37)]),
        ("permit(principal, action, resource) when { \"open };", vec![(Syntax, 1, 44)]),
        ("permit(principal == ?principal, action, resource);", vec![(Syntax, 1, 21)]),
        // Strings and comments may hold semicolons and quotes.
        ("@id(\"a;b\\\";c\") permit(principal, action, resource); // it's \"fine;", vec![]),
        // Unknown names.
        ("permit(principal is Lockgate::Agnet, action, resource);", vec![(Schema, 1, 21)]),
        ("permit(principal, action == Lockgate::Action::\"tools/cal\", resource);", vec![(Schema, 1, 29)]),
        // Missing attributes, wrong types.
        ("permit(principal, action, resource) when { context.link.quantumsafe };", vec![(Schema, 1, 44)]),
        ("permit(principal, action, resource)\nwhen { context.link.group == true };", vec![(Schema, 2, 8)]),
        ("permit(principal, action, resource) when { principal.path == \"/\" };", vec![(Schema, 1, 44)]),
        ("permit(principal == Lockgate::Anonymous::\"root\", action, resource);", vec![(Schema, 1, 21)]),
        // Scopes that can never fit.
        (
            "permit(principal, action in Lockgate::Action::\"tools/call\", resource is Lockgate::Server);",
            vec![(NeverApplies, 1, 1)],
        ),
        ("permit(principal, action == Lockgate::Action::\"session\", resource);", vec![(NeverApplies, 1, 1)]),
        ("permit(principal, action, resource) when { false };", vec![(NeverApplies, 1, 1)]),
        // Ids.
        (
            "@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);",
            vec![(Id, 2, 1)],
        ),
        ("@id(\" \") permit(principal, action, resource);", vec![(Id, 1, 1)]),
        // Text that shows something else than it says.
        (
            "permit(principal, action, resource == Lockgate::Tool::\"a/\u{202e}cod\");",
            vec![(Deceptive, 1, 1)],
        ),
    ] {
        let found = faults(text);
        let kinds: Vec<_> = found.iter().map(|(fault, ..)| *fault).collect();
        let wanted: Vec<_> = expected.iter().map(|(fault, ..)| *fault).collect();
        assert_eq!(kinds, wanted, "{text}: {found:?}");
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn one_mistake_hides_no_other() {
    let first = "permit(principal, action resource);\n\
                 permit(principal, action, resource);\n\
                 permit(principal is Lockgate::Nobody, action, resource);\n";
    let second = "forbid(principal, action, resource) when { context.nothing };\n@id(\"\") permit(principal";
    let sources = [Source { name: "a.cedar", text: first }, Source { name: "b.cedar", text: second }];
    let errors = Policies::parse(&sources, &Options::bare(1)).unwrap_err();
    let places: Vec<_> = errors.iter().map(|e| (e.file.as_str(), e.line, e.fault)).collect();
    assert_eq!(
        places,
        [
            ("a.cedar", 1, Fault::Syntax),
            ("a.cedar", 3, Fault::Schema),
            ("b.cedar", 1, Fault::Schema),
            ("b.cedar", 2, Fault::Syntax),
        ],
        "{errors:?}"
    );
    for error in &errors {
        assert!(!error.what.is_empty() && !error.hint.is_empty(), "{error}");
        assert!(error.to_string().starts_with(&format!("{}:{}:", error.file, error.line)), "{error}");
    }
}

#[test]
fn a_misspelt_name_is_answered_with_the_right_one() {
    for (scope, hint) in [
        (
            "principal, action == Lockgate::Action::\"tools/cal\", resource",
            "Lockgate::Action::\"tools/call\"?",
        ),
        ("principal, action in Lockgate::Action::\"sesion\", resource", "Lockgate::Action::\"session\"?"),
        ("principal is Lockgate::Agnet, action, resource", "Lockgate::Agent?"),
        ("principal, action, resource is Lockgate::Tools", "Lockgate::Tool?"),
        ("principal, action, resource in Server::\"crm\"", "Lockgate::Server?"),
    ] {
        let text = format!("permit({scope});");
        let errors =
            Policies::parse(&[Source { name: "p.cedar", text: &text }], &Options::bare(1)).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].hint, format!("did you mean {hint}"), "{text}");
    }
}

#[test]
fn ids_are_the_annotation_or_the_place() {
    let sources = [
        Source { name: "a.cedar", text: "permit(principal, action, resource);" },
        Source {
            name: "b.cedar",
            text: "// one; two\npermit(principal, action, resource);\n@id(\"named\") forbid(principal, action, resource);\nforbid(principal, action, resource);",
        },
    ];
    let policies = Policies::parse(&sources, &Options::bare(3)).unwrap();
    let ids: Vec<&str> = policies.ids().collect();
    assert_eq!(ids, ["a.cedar#1", "b.cedar#1", "named", "b.cedar#3"]);
    assert_eq!((policies.len(), policies.generation()), (4, 3));
}

#[test]
fn the_examples_in_the_starter_are_valid_too() {
    let text = starter("example.org");
    // Each comment after the last policy that looks like Cedar is an example.
    let examples: String = text
        .split("Nobody else.")
        .nth(1)
        .unwrap()
        .lines()
        .skip(2)
        .take_while(|line| *line != "// end")
        .map(|line| line.trim_start_matches("//").to_owned() + "\n")
        .collect();
    let sources = [Source { name: "starter", text: &text }, Source { name: "examples", text: &examples }];
    let policies = Policies::parse(&sources, &Options::bare(1)).unwrap();
    let ids: Vec<&str> = policies.ids().collect();
    assert_eq!(ids, ["local-agent", "local-user", "billing-invoices", "billing-session"]);
    assert!(SCHEMA_TEXT.contains("namespace Lockgate"));
}

#[test]
fn a_trust_domain_cannot_write_policy() {
    let text = starter("x\"); permit(principal, action, resource); //");
    let policies = Policies::parse(&[Source { name: "starter", text: &text }], &Options::bare(1)).unwrap();
    assert_eq!(policies.ids().collect::<Vec<_>>(), ["local-agent", "local-user"]);
}

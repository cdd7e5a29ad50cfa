//! Role files and the Cedar that they become.

use super::*;

/// What the only statement, or the one of this id, is.
fn becomes(text: &str, id: &str, expected: &str) {
    let compiled = compiled(text).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
    let all: Vec<&str> = compiled.statements.iter().map(|statement| statement.id.as_str()).collect();
    let found = compiled.statements.iter().find(|statement| statement.id == id);
    let found = found.unwrap_or_else(|| panic!("no {id} in {all:?}"));
    assert_eq!(found.cedar, expected, "{text}");
}

#[test]
fn a_rule_on_a_known_tool() {
    let text = file(
        "[[allow]]\nid = \"read\"\ntools = [\"crm/get_customer\"]\narguments.fields = { only = [\"name\", \"email\"] }\n\
         link = { quantum_safe = true }\nrate = \"30 / minute\"\nresult = { only = [\"name\", \"a.b\"], hide = [\"ssn\"] }\n\
         approval = true\non_violation = \"hold\"\nmode = \"shadow\"\nreason = \"it's \\\"so\\\"\"\nhint = \"é\"",
    );
    becomes(
        &text,
        "r.read",
        r#"@id("r.read")
@source("f.toml:6")
@reason("it's \"so\"")
@hint("é")
@on_violation("hold")
@approval("required")
@result_fields("name,a.b")
@result_hidden("ssn")
@rate("30/minute")
@mode("shadow")
permit (
  principal in Lockgate::Role::"r",
  action == Lockgate::Action::"tools/call:crm/get_customer",
  resource == Lockgate::Tool::"crm/get_customer"
)
when { context.link.quantum_safe }
when { context has input && context.input has fields && ["name", "email"].containsAll(context.input.fields) }
when { context has names && ["fields"].containsAll(context.names) };
"#,
    );
}

#[test]
fn what_opens_a_server() {
    let text = file(
        "[[allow]]\ntools = [\"crm/a\", \"crm/b\", \"ehr/c\"]\n[[allow]]\ngroups = [\"g\"]\nmethods = [\"tools/list\"]",
    );
    let compiled = compiled(&text).expect("well-formed");
    let ids: Vec<&str> = compiled.statements.iter().map(|statement| statement.id.as_str()).collect();
    let expected = [
        "r.allow-1:crm/a",
        "r.allow-1:crm/b",
        "r.allow-1:ehr/c",
        "r.allow-2",
        "r.open:crm",
        "r.open:ehr",
        "r.open:group g",
    ];
    assert_eq!(ids, expected);
    assert!(compiled.statements[..3].iter().all(|statement| statement.rule == "r.allow-1"));
    becomes(
        &text,
        "r.open:crm",
        r#"@id("r.open:crm")
@rule("r.open")
@source("f.toml:7")
permit (
  principal in Lockgate::Role::"r",
  action in [Lockgate::Action::"session", Lockgate::Action::"list"],
  resource in Lockgate::Server::"crm"
);
"#,
    );
    becomes(
        &text,
        "r.open:group g",
        r#"@id("r.open:group g")
@rule("r.open")
@source("f.toml:9")
permit (
  principal in Lockgate::Role::"r",
  action in Lockgate::Action::"session",
  resource in Lockgate::ServerGroup::"g"
);
"#,
    );
}

#[test]
fn tools_that_are_not_known_are_typed_by_the_file() {
    let text = file(
        "[[allow]]\ntools = [\"crm/new\"]\narguments.n = { max = 5 }\narguments.x = { max = 1.5 }\nothers = \"allow\"",
    );
    let statement = compiled(&text).expect("well-formed").statements.remove(0);
    assert_eq!(statement.unseen.as_deref(), Some("crm/new"));
    becomes(
        &text,
        "r.allow-1",
        r#"@id("r.allow-1")
@source("f.toml:6")
permit (
  principal in Lockgate::Role::"r",
  action == Lockgate::Action::"tools/call",
  resource == Lockgate::Tool::"crm/new"
)
when { context has input && context.input has n && context.input.n <= 5 }
when { context has input && context.input has x && context.input.x.lessThanOrEqual(decimal("1.5")) };
"#,
    );
}

#[test]
fn prohibitions() {
    let text = file(
        "[[never]]\nservers = [\"billing\"]\n[[never]]\ntouching = [\"aa_b\", \"cc\\\"dd\"]\n[[never]]\nfacts.incident.open = true",
    );
    becomes(
        &text,
        "r.never-1",
        "@id(\"r.never-1\")\n@source(\"f.toml:6\")\nforbid (\n  principal in Lockgate::Role::\"r\",\n  action,\n  \
         resource in Lockgate::Server::\"billing\"\n);\n",
    );
    becomes(
        &text,
        "r.never-2",
        "@id(\"r.never-2\")\n@source(\"f.toml:8\")\nforbid (\n  principal in Lockgate::Role::\"r\",\n  action,\n  \
         resource\n)\nwhen { context has touched && context.touched.containsAny([\"aa_b\", \"cc\\\"dd\"]) };\n",
    );
    becomes(
        &text,
        "r.never-3",
        "@id(\"r.never-3\")\n@source(\"f.toml:10\")\nforbid (\n  principal in Lockgate::Role::\"r\",\n  \
         action in [Lockgate::Action::\"use\", Lockgate::Action::\"other\"],\n  resource\n)\n\
         when { if context has facts && context.facts has incident && context.facts.incident has open \
         then context.facts.incident.open == true else true };\n",
    );
}

#[test]
fn zones_that_are_read_are_named() {
    let text = file(
        "[[allow]]\nservers = [\"a\"]\nhours = \"08:00-09:00\"\n[[allow]]\nservers = [\"b\"]\ndays = \"sun\"\nzone = \"UTC\"",
    );
    assert_eq!(compiled(&text).expect("well-formed").zones, ["Europe/Berlin", "UTC"]);
    assert!(compiled(&file("[[allow]]\nservers = [\"a\"]")).expect("well-formed").zones.is_empty());
}

/// The example files are whole and sound.
#[test]
fn examples() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/policy");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder of examples") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if !name.ends_with(".toml") || name.ends_with(".test.toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("readable");
        let known = Known { trust_domain: "example.org", arguments: &|_, _| None, facts: None };
        let compiled = compile(&name, &text, &known).unwrap_or_else(|errors| panic!("{errors:#?}"));
        for statement in &compiled.statements {
            let parsed: Result<cedar_policy::Policy, _> = statement.cedar.parse();
            assert!(parsed.is_ok(), "{}", statement.cedar);
        }
        // Cut anywhere before its end, it is refused.
        let end = text.find("\n[end]").expect("an end") + "\n[end".len();
        for cut in (0..=end).filter(|cut| text.is_char_boundary(*cut)) {
            assert!(compile(&name, &text[..cut], &known).is_err(), "{name} {cut}");
        }
        assert!(std::path::Path::new(&format!("{folder}/{}.test.toml", compiled.name)).exists(), "{name}");
        names.push(compiled.name);
    }
    names.sort();
    assert_eq!(names, ["clinic-assistant", "customer-service", "guard-rails", "retail-bot"]);
}

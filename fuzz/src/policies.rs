//! What people and programs write into the policy folder.

use lockgate_policy::role::{self, Known};
use lockgate_policy::{Fault, Options, Policies, Source};

/// Inputs to start from: the examples, and a rule with every key.
pub const ROLE_FILE_SEEDS: &[&[u8]] = &[
    include_bytes!("../../examples/policy/clinic-assistant.toml"),
    include_bytes!("../../examples/policy/customer-service.toml"),
    include_bytes!("../../examples/policy/guard-rails.toml"),
    include_bytes!("../../examples/policy/retail-bot.toml"),
    b"[role]\nname = \"r\"\nagents = [\"agent/*\", \"local-user\", \"anonymous\"]\nzone = \"Europe/Berlin\"\n[[allow]]\n\
      id = \"a\"\ntools = [\"crm/pay\"]\narguments.amount = { min = 0.01, max = 100 }\narguments.'a\\.b' = [\"x\"]\n\
      arguments.\"c.d\" = { inside = \"/srv\", optional = true }\nothers = \"allow\"\nhours = [\"22:00-06:00\"]\n\
      days = \"fri-mon\"\nfacts.staff.on_duty = { min = 1 }\nlink = { quantum_safe = true, group = \"X25519MLKEM768\" }\n\
      rate = \"30/minute\"\nresult = { only = [\"a.b\"], hide = [\"c\"] }\napproval = true\non_violation = \"hold\"\n\
      mode = \"shadow\"\nreason = \"r\"\nhint = \"h\"\n[[never]]\nservers = [\"*\"]\ntouching = \"system_config\"\n[end]\n",
];

/// Inputs to start from.
pub const CEDAR_FILE_SEEDS: &[&[u8]] = &[
    b"// begin\n@id(\"a\") @rate(\"1/day\") permit(principal in Lockgate::Role::\"r\", action, resource) when { context.link.resumed };\n// end\n",
    b"@on_violation(\"kill\")\nforbid(principal, action in Lockgate::Action::\"tools/call\", resource == Lockgate::Tool::\"s/t\")\n\
      when { context has input && context.input has a && context.input.a == 1 || context.touched.contains(\"secretword\") };",
    b"permit(principal == Lockgate::Anonymous::\"anonymous\", action, resource is Lockgate::Tool in Lockgate::Server::\"s\")\n\
      unless { context.local[\"UTC\"].hour < 8 || context.scan.paths.contains(\"a.b\") }; // \"; \\",
];

/// Any bytes are a role file or not. What is one has its end in it, becomes Cedar that can be read, with ids of its own
/// name, and permits something only where it says so; and no beginning of it is one.
pub fn role_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let known = Known { trust_domain: "example.org", arguments: &|_, _| None, facts: None };
    let options = Options { trust_domain: "example.org", ..Options::bare(1) };
    let parsed = Policies::parse(&[Source { name: "f.toml", text }], &options);
    let compiled = match role::compile("f.toml", text, &known) {
        Ok(compiled) => compiled,
        Err(errors) => {
            assert!(!errors.is_empty() && errors.iter().all(|error| error.line > 0 && error.column > 0));
            assert!(parsed.is_err(), "what does not compile is not loaded");
            return;
        }
    };
    let end = text.rfind("[end]").expect("a role file has an end");
    assert!(role::compile("f.toml", &text[..end], &known).is_err(), "half a file is no file");
    let own = format!("{}.", compiled.name);
    for statement in &compiled.statements {
        assert!(statement.id.starts_with(&own) && statement.rule.starts_with(&own), "{}", statement.id);
        let permits = statement.cedar.contains("\npermit (\n");
        assert!(permits != statement.cedar.contains("\nforbid (\n"), "{}", statement.cedar);
        assert!(!permits || compiled.members.is_some(), "a file for everyone allows nothing");
    }
    match parsed {
        Ok(policies) => assert_eq!(policies.len(), compiled.statements.len()),
        // What it says may not be true of any call, or of no fact; but it is Cedar.
        Err(errors) => assert!(errors.iter().all(|error| error.fault != Fault::Syntax), "{errors:#?}"),
    }
}

/// Any bytes are a file of Cedar or not, and one that promises its end has it.
pub fn cedar_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parse = |text: &str| Policies::parse(&[Source { name: "f.cedar", text }], &Options::bare(1));
    match parse(text) {
        Ok(policies) => {
            let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
            if lines().next() == Some("// begin") {
                assert_eq!(lines().next_back(), Some("// end"));
            }
            assert_eq!(policies.ids().count(), policies.len());
            let again = policies.parse_again(&[Source { name: "f.cedar", text }], &Options::bare(2));
            assert!(policies.lost_in(&again.expect("what was read is read again")).is_empty());
        }
        Err(errors) => assert!(!errors.is_empty() && errors.iter().all(|error| error.line > 0)),
    }
}

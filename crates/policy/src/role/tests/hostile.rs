//! Whatever a file holds, its text stays text, and half of it is nothing.

use cedar_policy::PolicySet;
use proptest::prelude::*;

use super::*;

/// Texts that try to leave their literal.
const HOSTILE: &[&str] = &[
    "\"); permit(principal, action, resource); //",
    "x\") when { true }; permit(principal,action,resource);",
    "\\\"); permit(principal, action, resource);",
    "\\",
    "\\\\",
    "\\u{22}",
    "*/ permit",
    "// x",
    "@id(\"y\")",
    "é\"",
    "a*b",
    "\\*",
    "${x}",
    "]]",
];

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn check(text: &str) {
    let reason = quoted(text);
    let source = file(&format!(
        "[[allow]]\nid = \"x\"\ntools = [\"crm/unknown\"]\narguments.{reason} = {{ is = {reason} }}\nreason = {reason}\nhint = {reason}\n\
         [[allow]]\nid = \"y\"\ntools = [{0}]\n[[never]]\nid = \"z\"\ntouching = [{1}]",
        quoted(&format!("crm/{text}")),
        quoted(&format!("word{text}"))
    ));
    let Ok(compiled) = compiled(&source) else { return };
    for statement in &compiled.statements {
        let set: PolicySet = statement.cedar.parse().unwrap_or_else(|e| panic!("{}\n{e:?}", statement.cedar));
        assert_eq!(set.policies().count(), 1, "{}", statement.cedar);
        let policy = set.policies().next().expect("one policy");
        let names = ["id", "rule", "source", "reason", "hint", "mode"];
        assert!(policy.annotations().all(|(name, _)| names.contains(&name)), "{}", statement.cedar);
        assert_eq!(policy.annotation("id"), Some(statement.id.as_str()));
        if statement.rule == "r.x" {
            assert_eq!(policy.annotation("reason"), Some(text));
            let json = policy.to_json().expect("Cedar JSON").to_string();
            let value = serde_json::json!({"==": {"left": 0, "right": {"Value": text}}});
            let right = value["=="]["right"].to_string();
            assert!(json.contains(&right), "{json}\n{right}");
        }
        let permits = compiled.statements.iter().filter(|s| s.cedar.contains("\npermit (")).count();
        assert!(permits >= 2);
    }
}

#[test]
fn text_stays_text() {
    HOSTILE.iter().for_each(|text| check(text));
}

proptest! {
    #[test]
    fn any_text_stays_text(text in "[\"\\\\*a-z();@{}\\[\\]/ é\u{1F600}%.,=|&!$'`#-]{1,24}") {
        check(&text);
    }

    #[test]
    fn any_file_is_read_or_refused(text in ".{0,400}") {
        let _ = compiled(&text);
        let _ = compiled(&file(&text));
    }
}

const WHOLE: &str = "[role]
name = \"clinic\" # a comment
agents = [\"agent/clinic-*\", \"local-user\"]
zone = \"Europe/Berlin\"

[[allow]]
id = \"read\"
tools = [\"ehr/read_record\"]
arguments.patient = { like = \"p-*\" }
facts.staff.on_duty = { min = 1 }
hours = [\"08:00-12:00\", \"22:00-06:00\"]
days = \"mon-fri\"
link = { quantum_safe = true }
rate = \"30/minute\"
result = { only = [\"name\"], hide = [\"ssn\"] }
on_violation = \"hold\"

[[never]]
touching = [\"system_config\", \"größe\"]
on_violation = \"kill\"

[end]
# nothing follows
";

#[test]
fn half_a_file_is_no_file() {
    assert!(compiled(WHOLE).is_ok(), "{:#?}", compiled(WHOLE));
    let end = WHOLE.find("[end]").expect("the file has an end") + "[end]".len();
    for cut in (0..WHOLE.len()).filter(|cut| WHOLE.is_char_boundary(*cut)) {
        let read = compiled(&WHOLE[..cut]);
        assert_eq!(read.is_ok(), cut >= end, "{}\n{read:#?}", &WHOLE[..cut]);
    }
}

#[test]
fn a_missing_piece_in_the_middle_does_not_pass_unseen() {
    // A block that a file system lost and gave back as zeros.
    for start in (0..WHOLE.len() - 64).step_by(7) {
        let mut bytes = WHOLE.as_bytes().to_vec();
        bytes[start..start + 16].fill(0);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let in_comment = text.lines().all(|line| !line.contains('\0') || line.starts_with('#'));
            assert!(compiled(text).is_err() || in_comment, "{text}");
        }
    }
}

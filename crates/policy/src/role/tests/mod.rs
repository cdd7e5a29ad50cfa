//! Role files as a whole: what they become, what is refused, what is decided.

mod errors;
mod golden;
mod hostile;
mod meaning;

use std::collections::BTreeMap;

use super::*;

/// The tools that tests know.
pub(super) fn arguments(server: &str, tool: &str) -> Option<Arguments> {
    use ValueType::*;
    let fields: &[(&str, ValueType)] = match (server, tool) {
        ("crm", "get_customer") => {
            &[("customer_id", Text), ("fields", Texts), ("limit", Integer), ("blob", Other)]
        }
        ("crm", "pay") => &[
            ("amount", Number),
            ("currency", Text),
            ("urgent", Flag),
            ("customer", Record),
            ("customer.id", Text),
            ("customer.ssn", Text),
        ],
        ("ehr", "read_record") => &[("patient", Text)],
        _ => return None,
    };
    Some(fields.iter().map(|(name, of)| ((*name).to_owned(), *of)).collect())
}

/// The facts that tests know.
pub(super) fn facts() -> Facts {
    use ValueType::*;
    let fact = |fields: &[(&str, ValueType)]| -> BTreeMap<String, ValueType> {
        fields.iter().map(|(name, of)| ((*name).to_owned(), *of)).collect()
    };
    Facts::from([
        ("appointment".to_owned(), fact(&[("patient", Text), ("start", Time), ("end", Time)])),
        ("staff".to_owned(), fact(&[("on_duty", Integer), ("names", Texts)])),
        ("incident".to_owned(), fact(&[("open", Flag)])),
    ])
}

/// Compiles against the known tools and facts.
pub(super) fn compiled(text: &str) -> Result<Compiled, Vec<PolicyError>> {
    let facts = facts();
    compile(
        "f.toml",
        text,
        &Known { trust_domain: "example.org", arguments: &arguments, facts: Some(&facts) },
    )
}

/// A role file around some rules.
pub(super) fn file(rules: &str) -> String {
    format!("[role]\nname = \"r\"\nzone = \"Europe/Berlin\"\nagents = [\"agent/a\"]\n\n{rules}\n[end]\n")
}

//! Rego by regorus, the way it is meant: one policy, and the rules as data that it looks up. Interpreted, and compiled
//! for its virtual machine.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::vm::RegoVM;
use regorus::{Engine as Rego, Value};
use serde_json::{Map, json};

use super::{Engine, input};
use crate::clock::timed;
use crate::workload::{Call, FIELDS, FORBIDDEN, Rule};

const RULE: &str = "data.lockgate.allow";

const POLICY: &str = r#"
package lockgate

default allow := false

allow if {
    not forbidden
    some grant in data.grants[input.role][input.tool]
    every field in input.input.fields { field in grant.fields }
    input.input.limit <= grant.limit
    input.hour >= grant.from
    input.hour < grant.to
    input.facts.staff.on_duty > 0
}

forbidden if {
    some word in data.forbidden
    word in input.keys
}
"#;

fn data(rules: usize) -> Value {
    let mut grants = Map::new();
    for rule in Rule::all(rules) {
        let tool = format!("{}/{}", rule.server(), rule.tool());
        let grant = json!({"fields": FIELDS, "limit": rule.limit(), "from": 8, "to": 18});
        grants.entry(rule.role()).or_insert_with(|| json!({}))[tool] = json!([grant]);
    }
    Value::from(json!({"grants": grants, "forbidden": FORBIDDEN}))
}

fn engine(rules: usize) -> Result<Rego> {
    let mut engine = Rego::new();
    engine.add_policy("lockgate.rego".to_owned(), POLICY.to_owned())?;
    engine.add_data(data(rules))?;
    Ok(engine)
}

pub(super) struct Interpreter(Rego);

impl Interpreter {
    pub(super) fn new(rules: usize) -> Result<Self> {
        Ok(Self(engine(rules)?))
    }
}

impl Engine for Interpreter {
    fn name(&self) -> &'static str {
        "regorus, rules as data, interpreted"
    }

    fn decide(&mut self, call: &Call) -> Result<(Duration, bool)> {
        let (time, outcome) = timed(|| -> Result<bool> {
            self.0.set_input(Value::from(input(call)?));
            Ok(*self.0.eval_rule(RULE.to_owned())?.as_bool()?)
        });
        Ok((time, outcome?))
    }
}

pub(super) struct Machine(RegoVM);

impl Machine {
    pub(super) fn new(rules: usize) -> Result<Self> {
        let compiled = engine(rules)?.compile_with_entrypoint(&Arc::from(RULE))?;
        let program =
            Compiler::compile_from_policy(&compiled, &[RULE]).map_err(|error| anyhow!("{error}"))?;
        let mut machine = RegoVM::new_with_policy(compiled);
        machine.load_program(program);
        machine.set_data(data(rules)).map_err(|error| anyhow!("{error}"))?;
        Ok(Self(machine))
    }
}

impl Engine for Machine {
    fn name(&self) -> &'static str {
        "regorus, rules as data, compiled"
    }

    fn decide(&mut self, call: &Call) -> Result<(Duration, bool)> {
        let (time, outcome) = timed(|| -> Result<bool> {
            self.0.set_input(Value::from(input(call)?));
            let value = self.0.execute_entry_point_by_name(RULE).map_err(|error| anyhow!("{error}"))?;
            Ok(*value.as_bool()?)
        });
        Ok((time, outcome?))
    }
}

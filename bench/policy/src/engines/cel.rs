//! CEL: an expression for each rule, run one after another, or found by an index that a user would have to write.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Result, anyhow};
use cel::{Context, Program, Value};

use super::{Engine, input};
use crate::clock::timed;
use crate::workload::{Call, FORBIDDEN, Rule};

pub(super) struct Rules {
    name: &'static str,
    forbids: Vec<Program>,
    permits: Vec<Program>,
    /// By role and tool, if there is an index.
    index: Option<HashMap<(String, String), Vec<usize>>>,
}

impl Rules {
    pub(super) fn linear(rules: usize) -> Result<Self> {
        Self::new("CEL, one rule after another", rules, None)
    }

    pub(super) fn indexed(rules: usize) -> Result<Self> {
        let mut index: HashMap<_, Vec<usize>> = HashMap::new();
        for rule in Rule::all(rules) {
            let tool = format!("{}/{}", rule.server(), rule.tool());
            index.entry((rule.role(), tool)).or_default().push(rule.number);
        }
        Self::new("CEL, behind an index by role and tool", rules, Some(index))
    }

    fn new(
        name: &'static str,
        rules: usize,
        index: Option<HashMap<(String, String), Vec<usize>>>,
    ) -> Result<Self> {
        let compile = |text: String| Program::compile(&text).map_err(|error| anyhow!("{error}"));
        let permits = Rule::all(rules).map(|rule| {
            compile(format!(
                "role == '{}' && tool == '{}/{}' && has(input.fields) && \
                 input.fields.all(f, f in ['email', 'name']) && has(input.limit) && input.limit <= {} && \
                 hour >= 8 && hour < 18 && has(facts.staff) && facts.staff.on_duty > 0",
                rule.role(),
                rule.server(),
                rule.tool(),
                rule.limit()
            ))
        });
        let forbids = FORBIDDEN.iter().map(|word| compile(format!("'{word}' in keys")));
        Ok(Self {
            name,
            forbids: forbids.collect::<Result<_>>()?,
            permits: permits.collect::<Result<_>>()?,
            index,
        })
    }

    fn permits(&self, call: &Call) -> Result<bool> {
        let mut context = Context::default();
        let input = input(call)?;
        for (name, value) in input.as_object().into_iter().flatten() {
            let value = cel::to_value(value).map_err(|error| anyhow!("{error}"))?;
            context.add_variable_from_value(name.as_str(), value);
        }
        let holds = |program: &Program| -> Result<bool> {
            match program.execute(&context) {
                Ok(Value::Bool(holds)) => Ok(holds),
                other => Err(anyhow!("{other:?}")),
            }
        };
        for forbid in &self.forbids {
            if holds(forbid)? {
                return Ok(false);
            }
        }
        let candidates: Vec<&Program> = match &self.index {
            None => self.permits.iter().collect(),
            Some(index) => {
                let key = (call.caller.roles[0].clone(), call.path());
                index.get(&key).into_iter().flatten().map(|number| &self.permits[*number]).collect()
            }
        };
        for permit in candidates {
            if holds(permit)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Engine for Rules {
    fn name(&self) -> &'static str {
        self.name
    }

    fn decide(&mut self, call: &Call) -> Result<(Duration, bool)> {
        let (time, outcome) = timed(|| self.permits(call));
        Ok((time, outcome?))
    }
}

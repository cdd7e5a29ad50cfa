//! Role files among the other policy files.

use std::borrow::Cow;

use crate::{
    arguments::{Record, Shape, Type, path},
    error::PolicyError,
    facts::{FactShape, FactType},
    options::Options,
    role::{self, Arguments, Compiled, Facts, Known, ValueType},
    shapes::Shapes,
    source::{Origin, Source, Statement},
};

/// How the compiler of role files writes the action of a tool that nobody has
/// shown yet.
const UNSEEN_ACTION: &str = "action == Lockgate::Action::\"tools/call\"";

/// The same so that it covers the action that the tool's calls have.
const COVERING_ACTION: &str = "action in Lockgate::Action::\"tools/call\"";

/// Compiles a role file.
///
/// # Errors
/// Every mistake of the file.
pub(crate) fn compile(
    source: Source<'_>,
    options: &Options<'_>,
    shapes: &Shapes,
) -> Result<Compiled, Vec<PolicyError>> {
    let arguments = |server: &str, tool: &str| shapes.get(server, tool).map(|tool| arguments(&tool.shape));
    let facts: Facts = options.facts.iter().map(fact).collect();
    let known = Known { trust_domain: options.trust_domain, arguments: &arguments, facts: Some(&facts) };
    role::compile(source.name, source.text, &known)
}

/// The statements of a compiled file.
pub(crate) fn statements(file: &str, compiled: Vec<role::Statement>) -> Vec<Statement<'_>> {
    let statement = |(number, own): (usize, role::Statement)| {
        let text = match own.unseen {
            Some(_) => own.cedar.replacen(UNSEEN_ACTION, COVERING_ACTION, 1),
            None => own.cedar,
        };
        let origin = Origin::Role { line: own.line, column: own.column };
        Statement { file, text: Cow::Owned(text), number, origin }
    };
    (1..).zip(compiled).map(statement).collect()
}

fn fact(shape: &FactShape) -> (String, std::collections::BTreeMap<String, ValueType>) {
    let fields = shape.fields.iter().map(|(name, kind)| {
        let kind = match kind {
            FactType::Text => ValueType::Text,
            FactType::Integer => ValueType::Integer,
            FactType::Flag => ValueType::Flag,
            FactType::Time => ValueType::Time,
            FactType::Texts => ValueType::Texts,
        };
        (name.clone(), kind)
    });
    (shape.name.clone(), fields.collect())
}

/// The arguments of a tool by dotted path.
fn arguments(shape: &Shape) -> Arguments {
    let mut all = Arguments::new();
    collect(shape.record(), "", &mut all);
    all
}

fn collect(record: &Record, above: &str, all: &mut Arguments) {
    for (name, field) in &record.fields {
        let step = path::step(name);
        let path = if above.is_empty() { step } else { format!("{above}.{step}") };
        if let Some(Type::Record(inner)) = &field.kind {
            collect(inner, &path, all);
        }
        all.insert(path, field.kind.as_ref().map_or(ValueType::Other, value_type));
    }
}

fn value_type(kind: &Type) -> ValueType {
    match kind {
        Type::Text => ValueType::Text,
        Type::Flag => ValueType::Flag,
        Type::Integer => ValueType::Integer,
        Type::Decimal => ValueType::Number,
        Type::Record(_) => ValueType::Record,
        Type::Set(item) => match **item {
            Type::Text => ValueType::Texts,
            Type::Integer => ValueType::Integers,
            Type::Decimal => ValueType::Numbers,
            _ => ValueType::Other,
        },
    }
}

//! `context.input`: the arguments as a Cedar record.

use cedar_policy::RestrictedExpression;
use lockgate_mcp::tree::{Shape as Json, Tree};

use super::{
    Arguments,
    misfit::{Expected, Misfit},
    number,
    shape::{Record, Shape, Type},
};

/// Where a record stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// In records only: what the definition does not declare is left out.
    Records,
    /// In a list: sets are compared whole, so nothing may be left out.
    List,
}

impl Arguments<'_> {
    /// The arguments as a record for policies.
    ///
    /// With a shape the record has exactly the type [`Shape::cedar_type`]. Left out are: arguments whose type Cedar
    /// cannot express ([`Shape::unmapped`]), arguments that the definition does not declare (unless it says that there
    /// are none), and null where the definition allows it. They are still in `context.names` and `context.scan`.
    ///
    /// Without a shape each value becomes what comes nearest: string, bool, integer to Long, other numbers to decimal,
    /// array to Set, object to record; a null member is left out.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn to_record(&self, shape: Option<&Shape>) -> Result<RestrictedExpression, Misfit> {
        match shape {
            Some(shape) => typed_record(&self.tree, shape.record(), Inside::Records),
            None => natural(&self.tree).map(|record| record.expect("arguments are an object, not null")),
        }
    }
}

fn typed_record(value: &Tree<'_>, record: &Record, inside: Inside) -> Result<RestrictedExpression, Misfit> {
    let Tree::Object(members) = value else { return Err(Misfit::of(Expected::Record, value)) };
    let mut attributes = Vec::with_capacity(members.len());
    let mut required_left = record.required;
    for (name, value) in members {
        let Some(field) = record.fields.get(name) else {
            if record.closed || inside == Inside::List {
                return Err(Misfit::Undeclared { path: name.clone() });
            }
            continue;
        };
        required_left -= usize::from(field.required);
        let Some(kind) = &field.kind else { continue };
        if field.nullable && value.shape() == Json::Null {
            continue;
        }
        let value = typed(value, kind, inside).map_err(|misfit| misfit.inside(name))?;
        attributes.push((name.clone(), value));
    }
    if required_left > 0 {
        let missing = record.fields.iter().find(|(name, field)| field.required && value.get(name).is_none());
        let path = missing.map(|(name, _)| name.clone()).unwrap_or_default();
        return Err(Misfit::Missing { path });
    }
    Ok(RestrictedExpression::new_record(attributes).expect("the tree has no name twice"))
}

fn typed(value: &Tree<'_>, kind: &Type, inside: Inside) -> Result<RestrictedExpression, Misfit> {
    match (kind, value) {
        (Type::Text, Tree::String(text)) => Ok(RestrictedExpression::new_string(text.clone().into_owned())),
        (Type::Flag, Tree::Plain(Json::Bool, written)) => Ok(flag(written)),
        (Type::Integer, Tree::Plain(Json::Number, written)) => match number::integer(written) {
            Some(Ok(integer)) => Ok(RestrictedExpression::new_long(integer)),
            Some(Err(reason)) => Err(Misfit::Unweighable { path: String::new(), reason }),
            None => Err(Misfit::of(Expected::Integer, value)),
        },
        (Type::Decimal, Tree::Plain(Json::Number, written)) => decimal(written),
        (Type::Set(item), Tree::Array(items)) => {
            let items = items
                .iter()
                .enumerate()
                .map(|(index, value)| typed(value, item, Inside::List).map_err(|misfit| misfit.at(index)));
            Ok(RestrictedExpression::new_set(items.collect::<Result<Vec<_>, _>>()?))
        }
        (Type::Record(record), _) => typed_record(value, record, inside),
        _ => Err(Misfit::of(kind.expected(), value)),
    }
}

/// `None` is null.
fn natural(value: &Tree<'_>) -> Result<Option<RestrictedExpression>, Misfit> {
    Ok(Some(match value {
        Tree::String(text) => RestrictedExpression::new_string(text.clone().into_owned()),
        Tree::Plain(Json::Null, _) => return Ok(None),
        Tree::Plain(Json::Number, written) => match number::integer(written) {
            Some(Ok(integer)) => RestrictedExpression::new_long(integer),
            Some(Err(reason)) => return Err(Misfit::Unweighable { path: String::new(), reason }),
            None => decimal(written)?,
        },
        Tree::Plain(_, written) => flag(written),
        Tree::Array(items) => {
            let items = items.iter().enumerate().map(|(index, value)| {
                natural(value)
                    .and_then(|item| item.ok_or_else(|| Misfit::of(Expected::NotNull, value)))
                    .map_err(|misfit| misfit.at(index))
            });
            RestrictedExpression::new_set(items.collect::<Result<Vec<_>, _>>()?)
        }
        Tree::Object(members) => {
            let mut attributes = Vec::with_capacity(members.len());
            for (name, value) in members {
                if let Some(value) = natural(value).map_err(|misfit| misfit.inside(name))? {
                    attributes.push((name.clone(), value));
                }
            }
            RestrictedExpression::new_record(attributes).expect("the tree has no name twice")
        }
    }))
}

fn flag(written: &str) -> RestrictedExpression {
    RestrictedExpression::new_bool(written == "true")
}

fn decimal(written: &str) -> Result<RestrictedExpression, Misfit> {
    number::decimal(written)
        .map(RestrictedExpression::new_decimal)
        .map_err(|reason| Misfit::Unweighable { path: String::new(), reason })
}

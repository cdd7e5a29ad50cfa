//! JSON Schema to [`Type`].
//!
//! Every keyword of JSON Schema narrows what is valid, so a type may be concluded from one keyword whatever stands
//! beside it. Where a `$ref` stands, the rest is not looked at: drafts differ on whether it counts.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_mcp::tree::Tree;

use super::{ATTRIBUTES_MAX, DEPTH_MAX, Field, NAME_BYTES_MAX, Record, Type, Unmapped, Why, joined};

/// A type, and whether the value may be null instead.
struct Read {
    kind: Type,
    nullable: bool,
}

impl Read {
    fn plain(kind: Type) -> Self {
        Read { kind, nullable: false }
    }
}

struct Reader<'s> {
    root: &'s Tree<'s>,
    /// References being followed, outermost first. The schema itself is one: `#`.
    following: Vec<&'s str>,
    depth: usize,
    attributes_left: usize,
    unmapped: Vec<Unmapped>,
}

/// The arguments that `schema` describes, and what of them is left out.
pub(super) fn arguments(schema: &Tree<'_>) -> (Record, Vec<Unmapped>) {
    let mut reader = Reader {
        root: schema,
        following: vec!["#"],
        depth: 0,
        attributes_left: ATTRIBUTES_MAX,
        unmapped: Vec::new(),
    };
    let why = match reader.read(schema, "") {
        Ok(Read { kind: Type::Record(record), .. }) => return (record, reader.unmapped),
        // An object of any names: no argument is declared.
        Err(Why::Map) if !open_map(schema) => return (Record::default(), reader.unmapped),
        Ok(_) => Why::Malformed,
        Err(why) => why,
    };
    reader.unmapped.push(Unmapped { path: String::new(), why });
    (Record::default(), reader.unmapped)
}

/// Whether an object without properties says what its members are like, so that it is meant as a map.
fn open_map(schema: &Tree<'_>) -> bool {
    schema.get("patternProperties").is_some()
        || schema.get("additionalProperties").is_some_and(|extra| !extra.members().is_empty())
}

impl<'s> Reader<'s> {
    fn read(&mut self, schema: &'s Tree<'s>, path: &str) -> Result<Read, Why> {
        if self.depth > DEPTH_MAX {
            return Err(Why::TooDeep);
        }
        match schema {
            Tree::Object(members) if members.is_empty() => return Err(Why::Untyped),
            Tree::Object(_) => {}
            Tree::Plain(_, "true" | "false") => return Err(Why::Untyped),
            _ => return Err(Why::Malformed),
        }
        if let Some(reference) = schema.get("$ref") {
            return self.follow(reference.as_str().ok_or(Why::Malformed)?, path);
        }
        match schema.get("type") {
            Some(Tree::String(name)) => self.named(schema, &[name.as_ref()], path),
            Some(Tree::Array(names)) => {
                let names: Option<Vec<&str>> = names.iter().map(Tree::as_str).collect();
                self.named(schema, &names.ok_or(Why::Malformed)?, path)
            }
            Some(_) => Err(Why::Malformed),
            None => self.untyped(schema, path),
        }
    }

    /// A schema with `type`.
    fn named(&mut self, schema: &'s Tree<'s>, names: &[&str], path: &str) -> Result<Read, Why> {
        let nullable = names.contains(&"null");
        let mut names: BTreeSet<&str> = names.iter().copied().filter(|name| *name != "null").collect();
        if names.contains("number") {
            names.remove("integer");
        }
        let (Some(name), 1) = (names.first(), names.len()) else {
            return Err(if names.is_empty() { Why::Untyped } else { Why::Union });
        };
        let kind = match *name {
            "string" => Type::Text,
            "boolean" => Type::Flag,
            "integer" => Type::Integer,
            "number" => Type::Decimal,
            "array" => self.list(schema, path)?,
            "object" => Type::Record(self.object(schema, path)?),
            _ => return Err(Why::Malformed),
        };
        Ok(Read { kind, nullable })
    }

    /// A schema without `type`.
    fn untyped(&mut self, schema: &'s Tree<'s>, path: &str) -> Result<Read, Why> {
        if let Some(value) = schema.get("const") {
            return literal([value]);
        }
        if let Some(values) = schema.get("enum") {
            return literal(values.items());
        }
        for keyword in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.get(keyword) {
                return self.either(branches.items(), path);
            }
        }
        if let Some(all) = schema.get("allOf") {
            let [only] = all.items() else { return Err(Why::Union) };
            return self.deeper(|reader| reader.read(only, path));
        }
        if schema.get("properties").is_some() {
            return self.object(schema, path).map(Type::Record).map(Read::plain);
        }
        if schema.get("items").is_some() || schema.get("prefixItems").is_some() {
            return self.list(schema, path).map(Read::plain);
        }
        Err(Why::Untyped)
    }

    /// One of several: a type if all others are null.
    fn either(&mut self, branches: &'s [Tree<'s>], path: &str) -> Result<Read, Why> {
        let (nulls, others): (Vec<_>, Vec<_>) = branches.iter().partition(|branch| is_null(branch));
        let [only] = others[..] else {
            return Err(if others.is_empty() { Why::Untyped } else { Why::Union });
        };
        let read = self.deeper(|reader| reader.read(only, path))?;
        Ok(Read { nullable: read.nullable || !nulls.is_empty(), ..read })
    }

    fn follow(&mut self, reference: &'s str, path: &str) -> Result<Read, Why> {
        if self.following.contains(&reference) {
            return Err(Why::Recursive);
        }
        let target = resolve(self.root, reference).ok_or(Why::Reference)?;
        self.following.push(reference);
        let read = self.deeper(|reader| reader.read(target, path));
        self.following.pop();
        read
    }

    fn list(&mut self, schema: &'s Tree<'s>, path: &str) -> Result<Type, Why> {
        if schema.get("prefixItems").is_some() {
            return Err(Why::Tuple);
        }
        let items = match schema.get("items") {
            Some(Tree::Array(_)) => return Err(Why::Tuple),
            Some(items) => items,
            None => return Err(Why::Untyped),
        };
        let known = self.unmapped.len();
        let read = self.deeper(|reader| reader.read(items, path))?;
        if read.nullable {
            return Err(Why::NullItems);
        }
        if !read.kind.is_whole() {
            // The list says it for all of them.
            self.unmapped.truncate(known);
            return Err(Why::PartialItems);
        }
        Ok(Type::Set(Box::new(read.kind)))
    }

    fn object(&mut self, schema: &'s Tree<'s>, path: &str) -> Result<Record, Why> {
        let required: BTreeSet<&str> = schema
            .get("required")
            .map(|required| required.items().iter().filter_map(Tree::as_str).collect())
            .unwrap_or_default();
        let properties = match schema.get("properties") {
            Some(Tree::Object(properties)) => properties.as_slice(),
            Some(_) => return Err(Why::Malformed),
            None => &[],
        };
        let closed = is_closed(schema);
        if properties.is_empty() && required.is_empty() && !closed {
            return Err(Why::Map);
        }
        let too_long = |name: &str| name.len() > NAME_BYTES_MAX;
        if properties.iter().any(|(name, _)| too_long(name)) || required.iter().any(|name| too_long(name)) {
            return Err(Why::TooLarge);
        }
        let members = properties.len() + required.len();
        self.attributes_left = self.attributes_left.checked_sub(members).ok_or(Why::TooLarge)?;
        let mut fields = BTreeMap::new();
        for (name, schema) in properties {
            let required = required.contains(name.as_str());
            fields.insert(name.clone(), self.field(name, schema, required, path));
        }
        for name in &required {
            // Required, but not described.
            let absent = Field { kind: None, required: true, nullable: false };
            fields.entry((*name).to_owned()).or_insert(absent);
        }
        Ok(Record { fields, closed, required: required.len() })
    }

    fn field(&mut self, name: &str, schema: &'s Tree<'s>, required: bool, above: &str) -> Field {
        let path = joined(above, name);
        match self.deeper(|reader| reader.read(schema, &path)) {
            Ok(Read { kind, nullable }) => Field { kind: Some(kind), required, nullable },
            Err(why) => {
                self.unmapped.push(Unmapped { path, why });
                Field { kind: None, required, nullable: true }
            }
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Why>) -> Result<T, Why> {
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }
}

/// The type of given values: all of one kind, null aside.
fn literal<'s>(values: impl IntoIterator<Item = &'s Tree<'s>>) -> Result<Read, Why> {
    use lockgate_mcp::tree::Shape as Json;
    let mut nullable = false;
    let mut kind = None;
    for value in values {
        let one = match value {
            Tree::Plain(Json::Null, _) => {
                nullable = true;
                continue;
            }
            Tree::String(_) => Type::Text,
            Tree::Plain(Json::Bool, _) => Type::Flag,
            Tree::Plain(_, written) if !written.contains(['.', 'e', 'E']) => Type::Integer,
            Tree::Plain(..) => Type::Decimal,
            // A value that is always the same tells nothing.
            Tree::Array(_) | Tree::Object(_) => return Err(Why::Untyped),
        };
        match &kind {
            None => kind = Some(one),
            Some(before) if *before == one => {}
            Some(_) => return Err(Why::Union),
        }
    }
    Ok(Read { kind: kind.ok_or(Why::Untyped)?, nullable })
}

fn is_null(schema: &Tree<'_>) -> bool {
    let constant = matches!(schema.get("const"), Some(Tree::Plain(_, "null")));
    let listed = matches!(schema.get("enum").map(Tree::items), Some([Tree::Plain(_, "null")]));
    let named = match schema.get("type") {
        Some(Tree::String(name)) => name == "null",
        Some(Tree::Array(names)) => {
            !names.is_empty() && names.iter().all(|name| name.as_str() == Some("null"))
        }
        _ => false,
    };
    named || constant || listed
}

/// Whether `properties` lists all members that there can be.
fn is_closed(schema: &Tree<'_>) -> bool {
    matches!(schema.get("additionalProperties"), Some(Tree::Plain(_, "false")))
        && schema.get("patternProperties").is_none()
}

/// The schema at a JSON pointer (RFC 6901) in a fragment, like `#/$defs/item`.
fn resolve<'s>(root: &'s Tree<'s>, reference: &str) -> Option<&'s Tree<'s>> {
    let pointer = reference.strip_prefix('#')?;
    if pointer.is_empty() {
        return Some(root);
    }
    pointer.strip_prefix('/')?.split('/').try_fold(root, |tree, step| {
        let step = step.replace("~1", "/").replace("~0", "~");
        match tree {
            Tree::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => tree.get(&step),
        }
    })
}

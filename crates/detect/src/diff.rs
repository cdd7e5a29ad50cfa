//! What changed between two definitions of one tool.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Changes listed for one definition. More than this is a new tool, and a
/// person would not read on.
const CHANGES_MAX: usize = 64;

/// Whether a member came, went or is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Was not there.
    Added,
    /// Is not there any more.
    Removed,
    /// Has another value.
    Changed,
}

/// Which side of a tool a member belongs to, gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aspect {
    /// Titles and descriptions, at any depth: what the model obeys.
    Wording,
    /// Annotations: what the tool claims to do, such as `readOnlyHint`.
    Behaviour,
    /// The input schema: what the tool asks for.
    Input,
    /// The output schema: what it promises to answer.
    Output,
    /// Icons, `_meta` and members that MCP does not know.
    Other,
}

impl Aspect {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Aspect::Wording => "wording",
            Aspect::Behaviour => "behaviour",
            Aspect::Input => "input",
            Aspect::Output => "output",
            Aspect::Other => "other",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// JSON Pointer (RFC 6901) to the member.
    pub pointer: String,
    /// What happened to it.
    pub kind: Kind,
    /// What it is for.
    pub aspect: Aspect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Added => "added",
            Kind::Removed => "removed",
            Kind::Changed => "changed",
        };
        write!(f, "{kind} {} ({})", self.pointer, self.aspect.name())
    }
}

/// The differences between two canonical JSON texts, member by member. Equal
/// texts mean equal values there, so nothing is parsed into numbers, and a
/// change of `1` to `1.0` is one.
pub(crate) fn diff(old: &str, new: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", old, new, &mut changes);
    changes
}

fn compare(pointer: &str, old: &str, new: &str, changes: &mut Vec<Change>) {
    if old == new || changes.len() >= CHANGES_MAX {
        return;
    }
    let (Some(old), Some(new)) = (members(old), members(new)) else {
        changes.push(Change { pointer: pointer.to_owned(), kind: Kind::Changed, aspect: aspect(pointer) });
        return;
    };
    let gone = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name, Kind::Removed));
    let come = new.keys().filter(|name| !old.contains_key(*name)).map(|name| (name, Kind::Added));
    for (name, kind) in gone.chain(come).take(CHANGES_MAX - changes.len()) {
        let pointer = below(pointer, name);
        let aspect = aspect(&pointer);
        changes.push(Change { pointer, kind, aspect });
    }
    for (name, was) in &old {
        if let Some(is) = new.get(name) {
            compare(&below(pointer, name), was.get(), is.get(), changes);
        }
    }
}

/// The members if the text is an object.
fn members(raw: &str) -> Option<BTreeMap<String, &RawValue>> {
    if !raw.starts_with('{') {
        return None;
    }
    serde_json::from_str(raw).ok()
}

fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn aspect(pointer: &str) -> Aspect {
    let mut parts = pointer.split('/').skip(1);
    let first = parts.next().unwrap_or_default();
    let last = pointer.rsplit('/').next().unwrap_or_default();
    // A property may be *called* "description": then "properties" stands
    // before it, and it is part of the schema.
    let holder = pointer.rsplit('/').nth(1).unwrap_or_default();
    let is_text = matches!(last, "title" | "description") && holder != "properties";
    match first {
        "name" | "title" | "description" => Aspect::Wording,
        "inputSchema" | "outputSchema" if is_text => Aspect::Wording,
        "annotations" if last == "title" => Aspect::Wording,
        "annotations" => Aspect::Behaviour,
        "inputSchema" => Aspect::Input,
        "outputSchema" => Aspect::Output,
        _ => Aspect::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_and_equal_texts_have_no_changes() {
        let many: String = (0..200).map(|n| format!("\"m{n}\":1,")).collect();
        let many = format!("{{{}}}", many.trim_end_matches(','));
        assert_eq!(diff("{}", &many).len(), CHANGES_MAX);
        assert_eq!(diff(&many, &many), []);
        assert_eq!(diff("1", "{}")[0].pointer, "");
    }
}

//! Policy text to checked rules.
//!
//! Each policy is parsed by itself: one broken policy then hides no mistake in
//! the next, and ten thousand parse in a quarter of the memory of one text.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use cedar_policy::{Policy, PolicyId, PolicySet, Schema, ValidationMode, ValidationWarning, Validator};
use miette::Diagnostic;

use crate::{
    error::{Fault, Lines, PolicyError},
    nearest,
};

/// The schema that every policy is checked against, in Cedar schema syntax.
pub const SCHEMA_TEXT: &str = include_str!("schema.cedarschema");

/// The schema, read once.
pub(crate) static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let (schema, _warnings) = Schema::from_cedarschema_str(SCHEMA_TEXT)
        .expect("schema.cedarschema is part of this crate and tested");
    schema
});

/// One policy file.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What people know the file by, such as its path: shown in errors, in
    /// denials to callers on this machine and, its last part only, in ids and
    /// in denials to others.
    pub name: &'a str,
    /// Its Cedar text.
    pub text: &'a str,
}

/// One checked policy and where it stands.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The policy; its Cedar id is the id that people see.
    pub(crate) policy: Policy,
    /// Name of its file.
    pub(crate) file: String,
    /// Line of its first word.
    pub(crate) line: u32,
}

impl Rule {
    /// The `@id`, or `file#n` with the last part of the file's path.
    pub(crate) fn id(&self) -> &str {
        self.policy.id().as_ref()
    }
}

/// A piece of a file that holds one policy.
struct Statement<'a> {
    /// Name of the file.
    file: &'a str,
    lines: &'a Lines<'a>,
    /// Where the piece begins, in bytes.
    offset: usize,
    /// Where its first word begins, in bytes.
    first_word: usize,
    text: &'a str,
    /// Its number in the file, from 1.
    number: usize,
}

impl Statement<'_> {
    fn error(&self, fault: Fault, offset: Option<usize>, what: String, hint: Option<String>) -> PolicyError {
        let at = offset.map_or(self.first_word, |offset| self.offset + offset);
        let (line, column) = self.lines.position(at);
        PolicyError {
            fault,
            file: self.file.to_owned(),
            line,
            column,
            what,
            hint: hint.unwrap_or_else(|| fault.hint().to_owned()),
        }
    }

    /// An error of Cedar's, with its place and advice where it has them.
    fn cedar_error(&self, fault: Fault, error: &dyn Diagnostic) -> PolicyError {
        let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        let text = error.to_string();
        // "for policy `id`, …" repeats what the place already says.
        let what = match text.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")) {
            Some((_, rest)) => rest.to_owned(),
            None => text,
        };
        self.error(fault, offset, what, error.help().map(|help| help.to_string()))
    }
}

/// Parses and strictly validates all sources.
///
/// # Errors
/// Every mistake of every file, in reading order.
pub(crate) fn load(sources: &[Source<'_>]) -> Result<Vec<Rule>, Vec<PolicyError>> {
    let mut errors = Vec::new();
    let mut statements = Vec::new();
    let mut rules = Vec::new();
    let mut taken: HashMap<String, usize> = HashMap::new();
    let lines: Vec<Lines<'_>> = sources.iter().map(|source| Lines::new(source.text)).collect();
    for statement in sources.iter().zip(&lines).flat_map(|(source, lines)| split(*source, lines)) {
        match parse(&statement) {
            Ok(policy) => {
                let id: &str = policy.id().as_ref();
                if let Some(&first) = taken.get(id) {
                    let first: &Rule = &rules[first];
                    let what =
                        format!("the id `{id}` is taken by the policy at {}:{}", first.file, first.line);
                    errors.push(statement.error(Fault::Id, None, what, None));
                    continue;
                }
                taken.insert(id.to_owned(), rules.len());
                let (line, _) = statement.lines.position(statement.first_word);
                rules.push(Rule { policy, file: statement.file.to_owned(), line });
                statements.push(statement);
            }
            Err(mut found) => errors.append(&mut found),
        }
    }
    validate(&rules, &statements, &taken, &mut errors);
    if errors.is_empty() {
        return Ok(rules);
    }
    let order = |file: &str| sources.iter().position(|source| source.name == file);
    errors.sort_by_cached_key(|e| (order(&e.file), e.line, e.column, e.fault, e.what.clone()));
    // Cedar reports a mistake once for each action that it shows in.
    errors.dedup_by(|b, a| (&b.file, b.line, b.column, b.fault) == (&a.file, a.line, a.column, a.fault));
    Err(errors)
}

fn parse(statement: &Statement<'_>) -> Result<Policy, Vec<PolicyError>> {
    let own_id = format!("{}#{}", base_name(statement.file), statement.number);
    let policy = Policy::parse(Some(PolicyId::new(own_id)), statement.text).map_err(|errors| {
        errors.iter().map(|error| statement.cedar_error(Fault::Syntax, error)).collect::<Vec<_>>()
    })?;
    match policy.annotation("id").map(str::trim) {
        None => Ok(policy),
        Some("") => Err(vec![statement.error(Fault::Id, None, "the @id is empty".to_owned(), None)]),
        Some(id) => Ok(policy.new_id(PolicyId::new(id))),
    }
}

/// The last part of a path: ids and denials travel, and a caller far away need
/// not learn where this machine keeps its files.
pub(crate) fn base_name(file: &str) -> &str {
    file.rsplit(['/', '\\']).next().unwrap_or(file)
}

fn validate(
    rules: &[Rule],
    statements: &[Statement<'_>],
    by_id: &HashMap<String, usize>,
    errors: &mut Vec<PolicyError>,
) {
    let set = PolicySet::from_policies(rules.iter().map(|rule| rule.policy.clone()))
        .expect("ids are unique and templates do not parse as policies");
    let result = Validator::new(SCHEMA.clone()).validate(&set, ValidationMode::Strict);
    let statement = |id: &PolicyId| {
        let id: &str = id.as_ref();
        by_id.get(id).map(|&n| &statements[n])
    };
    let mut wrong: HashSet<&PolicyId> = HashSet::new();
    for error in result.validation_errors() {
        if let Some(at) = statement(error.policy_id()) {
            wrong.insert(error.policy_id());
            let mut found = at.cedar_error(Fault::Schema, error);
            found.hint = nearest::advice(error).unwrap_or(found.hint);
            errors.push(found);
        }
    }
    for warning in result.validation_warnings() {
        let fault = match warning {
            // No wonder that it never applies if it names what is not there.
            _ if wrong.contains(warning.policy_id()) => continue,
            ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => {
                Fault::NeverApplies
            }
            ValidationWarning::BidiCharsInString(_) | ValidationWarning::BidiCharsInIdentifier(_) => {
                Fault::Deceptive
            }
            // Names in mixed or rare scripts exist; refusing them would make
            // them impossible to permit.
            _ => continue,
        };
        if let Some(at) = statement(warning.policy_id()) {
            errors.push(at.cedar_error(fault, warning));
        }
    }
}

/// Cuts a file after each semicolon that ends a policy, that is, one outside
/// of strings and comments. What is left after the last one is a piece too,
/// so that an unfinished policy is an error and not forgotten.
fn split<'a>(source: Source<'a>, lines: &'a Lines<'a>) -> Vec<Statement<'a>> {
    let bytes = source.text.as_bytes();
    let mut statements = Vec::new();
    let (mut begin, mut first_word, mut at) = (0, None, 0);
    let mut close = |begin: usize, end: usize, first_word: Option<usize>| {
        if let Some(first_word) = first_word {
            let number = statements.len() + 1;
            let text = &source.text[begin..end];
            statements.push(Statement { file: source.name, lines, offset: begin, first_word, text, number });
        }
    };
    while at < bytes.len() {
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = end_of(bytes, at, |b| b == b'\n');
                continue;
            }
            b'"' => {
                first_word.get_or_insert(at);
                at = end_of_string(bytes, at + 1);
                continue;
            }
            b';' => {
                first_word.get_or_insert(at);
                close(begin, at + 1, first_word.take());
                begin = at + 1;
            }
            b if !b.is_ascii_whitespace() => {
                first_word.get_or_insert(at);
            }
            _ => {}
        }
        at += 1;
    }
    close(begin, bytes.len(), first_word);
    statements
}

fn end_of(bytes: &[u8], from: usize, stop: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|&b| stop(b)).map_or(bytes.len(), |n| from + n)
}

/// The offset after the closing quote of a string that begins before `from`.
fn end_of_string(bytes: &[u8], mut from: usize) -> usize {
    loop {
        from = end_of(bytes, from, |b| b == b'"' || b == b'\\');
        match bytes.get(from) {
            Some(b'\\') => from = (from + 2).min(bytes.len()),
            Some(_) => return from + 1,
            None => return from,
        }
    }
}

//! From files to checked rules, reusing what did not change.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use cedar_policy::PolicyId;

use crate::{
    absent,
    clock::{self, Zones},
    error::{Fault, Lines, PolicyError},
    known::Known,
    members::Members,
    options::Options,
    role, role_file,
    rule::Rule,
    schema::Vocabulary,
    shapes::Shapes,
    source::{Finding, Source, Statement, base_name, is_whole, promises_end, split},
    validate::{Checked, Checker},
};

/// What is remembered of each policy text from one load to the next.
pub(crate) type Library = HashMap<Arc<str>, (Arc<Known>, Arc<Checked>)>;

/// A loaded set.
pub(crate) struct Loaded {
    pub(crate) rules: Vec<Rule>,
    pub(crate) members: Members,
    pub(crate) zones: Zones,
    pub(crate) shapes: Shapes,
    pub(crate) warnings: Vec<PolicyError>,
    pub(crate) library: Library,
    pub(crate) vocabulary: Vocabulary,
}

/// Parses and strictly validates all sources.
///
/// # Errors
/// Every mistake of every file, in reading order.
pub(crate) fn load(
    sources: &[Source<'_>],
    options: &Options<'_>,
    before: Option<(&Library, &Shapes)>,
) -> Result<Loaded, Vec<PolicyError>> {
    let shapes = Shapes::new(options.definitions, before.map(|(_, shapes)| shapes));
    let lines: Vec<Lines<'_>> = sources.iter().map(|source| Lines::new(source.text)).collect();
    let mut reading = Reading::default();
    let statements = reading.statements(sources, &lines, options, &shapes);
    let (statements, knowns) = reading.parse(statements, before.map(|(library, _)| library));
    let ids = reading.ids(&statements, &knowns);
    for known in &knowns {
        reading
            .zones
            .extend(known.reads.zones.iter().filter_map(|name| Some((name.clone(), clock::zone(name)?))));
    }
    reading.zones.entry(clock::UTC.to_owned()).or_insert(jiff::tz::TimeZone::UTC);
    let vocabulary = Vocabulary::new(options.facts, reading.zones.keys().map(String::as_str));
    let checked = Checker::new(&vocabulary, &shapes).check(&knowns, |n| {
        let (library, _) = before?;
        library.get(&*statements[n].text).map(|(_, checked)| checked.clone())
    });
    let mut warnings = shapes.warnings.clone();
    for (statement, checked) in statements.iter().zip(&checked) {
        reading.errors.extend(checked.errors.iter().cloned().map(|finding| statement.error(finding)));
        warnings.extend(checked.warnings.iter().cloned().map(|finding| statement.error(finding)));
    }
    let roles = reading.roles(options);
    for (statement, known) in statements.iter().zip(&knowns) {
        warnings.extend(absent::of(known, options, &roles).map(|finding| statement.error(finding)));
    }
    if !reading.errors.is_empty() {
        return Err(sorted(reading.errors, sources));
    }
    for (source, lines) in sources.iter().zip(&lines).filter(|(source, _)| !source.name.ends_with(".toml")) {
        let forbids = knowns.iter().zip(&statements).any(|(known, statement)| {
            statement.file == source.name && known.policy.effect() == cedar_policy::Effect::Forbid
        });
        if forbids && !promises_end(source.text) {
            let what = "the file forbids something, and nobody would be told if it were cut off".to_owned();
            warnings.push(error_in(source, lines, 0, Fault::Unpromised, what));
        }
    }
    let mut library = Library::with_capacity(statements.len());
    let mut rules = Vec::with_capacity(statements.len());
    for (((statement, known), checked), id) in statements.into_iter().zip(knowns).zip(checked).zip(ids) {
        let (line, _) = statement.position(None);
        let policy = known.policy.new_id(PolicyId::new(id));
        rules.push(Rule { policy, file: statement.file.to_owned(), line, known: known.clone() });
        library.insert(Arc::from(&*statement.text), (known, checked));
    }
    let Reading { members, zones, .. } = reading;
    Ok(Loaded { rules, members, zones, shapes, warnings, library, vocabulary })
}

fn sorted(mut errors: Vec<PolicyError>, sources: &[Source<'_>]) -> Vec<PolicyError> {
    let order = |file: &str| sources.iter().position(|source| source.name == file);
    errors.sort_by_cached_key(|e| (order(&e.file), e.line, e.column, e.fault, e.what.clone()));
    // Cedar reports a mistake once for each action that it shows in.
    errors.dedup_by(|b, a| (&b.file, b.line, b.column, b.fault) == (&a.file, a.line, a.column, a.fault));
    errors
}

fn error_in(source: &Source<'_>, lines: &Lines<'_>, at: usize, fault: Fault, what: String) -> PolicyError {
    let (line, column) = lines.position(at);
    PolicyError { fault, file: source.name.to_owned(), line, column, what, hint: fault.hint().to_owned() }
}

/// What is collected while reading.
#[derive(Default)]
struct Reading {
    errors: Vec<PolicyError>,
    /// Names of roles, and of files for everyone: in lower case → as written, and in which file.
    names: HashMap<String, (String, String)>,
    members: Members,
    zones: Zones,
}

impl Reading {
    fn statements<'a>(
        &mut self,
        sources: &[Source<'a>],
        lines: &'a [Lines<'a>],
        options: &Options<'_>,
        shapes: &Shapes,
    ) -> Vec<Statement<'a>> {
        let mut all = Vec::new();
        for (source, lines) in sources.iter().zip(lines) {
            if source.name.ends_with(".toml") {
                all.extend(self.role_file(*source, options, shapes));
            } else {
                if let Err((at, what)) = is_whole(source.text) {
                    self.errors.push(error_in(source, lines, at, Fault::Unfinished, what.to_owned()));
                }
                all.extend(split(*source, lines));
            }
        }
        all
    }

    fn role_file<'a>(
        &mut self,
        source: Source<'a>,
        options: &Options<'_>,
        shapes: &Shapes,
    ) -> Vec<Statement<'a>> {
        match role_file::compile(source, options, shapes) {
            Ok(compiled) => {
                self.claim(&compiled, source.name);
                let zones = compiled.zones.into_iter();
                self.zones.extend(zones.filter_map(|name| clock::zone(&name).map(|zone| (name, zone))));
                if let Some(members) = compiled.members {
                    self.members.add(compiled.name, members);
                }
                role_file::statements(source.name, compiled.statements)
            }
            Err(errors) => {
                self.errors.extend(errors);
                Vec::new()
            }
        }
    }

    /// A name is one file's: what two files say of one role nobody reads together.
    fn claim(&mut self, compiled: &role::Compiled, file: &str) {
        let key = compiled.name.to_ascii_lowercase();
        if let Some((name, by)) = self.names.get(&key) {
            let what = match *name == compiled.name {
                true => format!("the name `{name}` is taken by {by}"),
                false => format!("the name `{}` differs from `{name}` in {by} by case alone", compiled.name),
            };
            self.errors.push(PolicyError {
                fault: Fault::Id,
                file: file.to_owned(),
                line: compiled.line,
                column: compiled.column,
                what,
                hint: "write what a role may do into one file, or choose another name".to_owned(),
            });
            return;
        }
        self.names.insert(key, (compiled.name.clone(), file.to_owned()));
    }

    fn parse<'a>(
        &mut self,
        statements: Vec<Statement<'a>>,
        library: Option<&Library>,
    ) -> (Vec<Statement<'a>>, Vec<Arc<Known>>) {
        let mut kept = Vec::with_capacity(statements.len());
        let mut knowns = Vec::with_capacity(statements.len());
        for statement in statements {
            let remembered = library.and_then(|library| library.get(&*statement.text));
            match remembered
                .map_or_else(|| Known::parse(&statement.text).map(Arc::new), |(known, _)| Ok(known.clone()))
            {
                Ok(known) => {
                    knowns.push(known);
                    kept.push(statement);
                }
                Err(findings) => {
                    self.errors.extend(findings.into_iter().map(|finding| statement.error(finding)));
                }
            }
        }
        (kept, knowns)
    }

    /// The roles that somebody can have: those of role files, and those that registrations give. `None` if the latter
    /// are not known.
    fn roles<'a>(&'a self, options: &Options<'a>) -> Option<BTreeSet<&'a str>> {
        let written = self.names.values().map(|(name, _)| name.as_str());
        Some(options.roles?.iter().map(String::as_str).chain(written).collect())
    }

    /// The id of each policy; two with one id are a mistake.
    fn ids(&mut self, statements: &[Statement<'_>], knowns: &[Arc<Known>]) -> Vec<String> {
        let mut first: HashMap<String, usize> = HashMap::with_capacity(statements.len());
        let mut ids = Vec::with_capacity(statements.len());
        for (n, (statement, known)) in statements.iter().zip(knowns).enumerate() {
            let own = || format!("{}#{}", base_name(statement.file), statement.number);
            let id = known.own_id().map_or_else(own, str::to_owned);
            if let Some(&taken) = first.get(&id) {
                let by = &statements[taken];
                let what =
                    format!("the id `{id}` is taken by the policy at {}:{}", by.file, by.position(None).0);
                self.errors.push(statement.error(Finding::new(Fault::Id, what, None)));
            } else {
                first.insert(id.clone(), n);
            }
            ids.push(id);
        }
        ids
    }
}

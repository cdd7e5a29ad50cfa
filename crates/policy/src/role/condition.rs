//! The operators: what is asked of one argument or one field of a fact.

use toml::de::DeValue;

use super::cedar;
use super::literal::{Literal, ValueType, literal, literals, number};
use super::read::{Section, Value, shown};
use super::report::did_you_mean;
use crate::arguments::path;

/// One question about a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Is(Literal),
    OneOf(Vec<Literal>),
    /// A pattern with stars.
    Like(String),
    StartsWith(String),
    /// A path at or below this one.
    Inside(String),
    Min(Literal),
    Max(Literal),
    /// Every element is one of these.
    Only(Vec<Literal>),
    /// Some element is one of these.
    Includes(Vec<Literal>),
    /// Equal to the argument at this path.
    IsArgument(String),
    /// A list that holds the argument at this path.
    IncludesArgument(String),
    /// Not later than the call.
    BeforeNow,
    /// Later than the call.
    AfterNow,
}

/// Whether the value must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// There, and every test holds.
    Required,
    /// If it is there, every test holds.
    Optional,
    /// Not there.
    Absent,
}

/// All that is asked of one value.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) presence: Presence,
    /// Each test with the byte offset where it stands.
    pub(super) tests: Vec<(Test, usize)>,
}

/// Operators for arguments.
pub(super) const ARGUMENT: &[&str] = &[
    "is",
    "one_of",
    "like",
    "starts_with",
    "inside",
    "min",
    "max",
    "only",
    "includes",
    "required",
    "optional",
    "absent",
    "any",
];

/// Operators for fields of facts.
pub(super) const FACT: &[&str] = &[
    "is",
    "one_of",
    "like",
    "starts_with",
    "inside",
    "min",
    "max",
    "only",
    "includes",
    "is_argument",
    "includes_argument",
    "before",
    "after",
];

/// Reads `name = { operator = … }`, or the short forms `name = value` for `is`
/// and `name = [values]` for `one_of`.
pub(super) fn read(
    name: &str,
    value: Value<'_>,
    known: &[&'static str],
    within: &Section<'_>,
) -> Option<Asked> {
    let DeValue::Table(table) = value.value else {
        let short = if matches!(value.value, DeValue::Array(_)) { "one_of" } else { "is" };
        let test = read_test(short, value, within)?;
        return Some(Asked { presence: Presence::Required, tests: vec![(test, value.at)] });
    };
    let section = Section::new(table, value.at, within.report);
    if section.entries().is_empty() {
        let what = format!("nothing is asked of `{}`", shown(name));
        section.report.say(value.at, what, format!("operators are {}", known.join(", ")));
        return None;
    }
    let mut asked = Asked { presence: Presence::Required, tests: Vec::new() };
    let mut presences: Vec<&str> = Vec::new();
    for entry in section.entries() {
        let Some(operator) = known.iter().copied().find(|known| *known == entry.key) else {
            unknown(name, entry.key, entry.at, known, &section);
            continue;
        };
        match operator {
            "required" | "optional" | "absent" | "any" => match section.flag(operator) {
                Some(true) => presences.push(operator),
                Some(false) => section.report.say(
                    entry.at,
                    format!("`{operator} = false` says nothing"),
                    "leave it out: an argument that is named must be there unless it is optional",
                ),
                None => {}
            },
            _ => asked.tests.extend(read_test(operator, entry.value, &section).map(|test| (test, entry.at))),
        }
    }
    asked.presence = presence(name, &presences, &asked.tests, &section)?;
    contradictions(name, &asked.tests, &section);
    Some(asked)
}

fn unknown(name: &str, operator: &str, at: usize, known: &[&str], section: &Section<'_>) {
    let what = format!("`{}` is no operator", shown(operator));
    let hint = did_you_mean(operator, known.iter().copied());
    // Only arguments nest.
    let nested = match known.contains(&"required") {
        true => {
            format!("; what lies in a record is written \"{}.{}\", with quotes", shown(name), shown(operator))
        }
        false => String::new(),
    };
    section.report.say(at, what, hint + &nested);
}

fn presence(name: &str, said: &[&str], tests: &[(Test, usize)], section: &Section<'_>) -> Option<Presence> {
    let (presence, alone) = match said {
        [] | ["required"] => return Some(Presence::Required),
        ["optional"] if !tests.is_empty() => return Some(Presence::Optional),
        ["any" | "optional"] => (Presence::Optional, true),
        ["absent"] => (Presence::Absent, true),
        _ => (Presence::Required, false),
    };
    if alone && tests.is_empty() {
        return Some(presence);
    }
    let what = format!("what is asked of `{}` contradicts itself", shown(name));
    section.report.say(
        section.at,
        what,
        "`absent` and `any` stand alone; `required` and `optional` exclude each other",
    );
    None
}

fn contradictions(name: &str, tests: &[(Test, usize)], section: &Section<'_>) {
    let bound = |least: bool| {
        tests.iter().find_map(|(test, at)| match test {
            Test::Min(literal) if least => literal.order().map(|n| (n, *at)),
            Test::Max(literal) if !least => literal.order().map(|n| (n, *at)),
            _ => None,
        })
    };
    if let (Some((min, at)), Some((max, _))) = (bound(true), bound(false))
        && min > max
    {
        section.report.say(
            at,
            format!("`min` of `{}` is above its `max`", shown(name)),
            "nothing can be both",
        );
    }
    let exact = tests.iter().find(|(test, _)| matches!(test, Test::Is(_)));
    if let (Some((_, at)), true) = (exact, tests.len() > 1) {
        let what = format!("`is` stands beside other tests of `{}`", shown(name));
        section.report.say(*at, what, "`is` says it all; for several values write one_of");
    }
}

fn read_test(operator: &str, value: Value<'_>, section: &Section<'_>) -> Option<Test> {
    let text = || section.as_text(operator, value).map(|text| text.value.to_owned());
    let list = || {
        if !matches!(value.value, DeValue::Array(_)) {
            section.wrong_type(operator, "a list", value.value, value.at);
            return None;
        }
        literals(operator, value, section)
    };
    let now = |test: Test| match text()?.as_str() {
        "now" => Some(test),
        other => {
            let what = format!("`{operator}` cannot be {:?}", shown(other));
            section.report.say(value.at, what, format!("write {operator} = \"now\": the time of the call"));
            None
        }
    };
    match operator {
        "is" => literal(operator, value, section).map(Test::Is),
        "one_of" => list().map(Test::OneOf),
        "only" => list().map(Test::Only),
        "includes" => literals(operator, value, section).map(Test::Includes),
        "like" => text().map(Test::Like),
        "starts_with" => text().map(Test::StartsWith),
        "inside" => inside(text()?, value.at, section),
        "min" => number(operator, value, section).map(Test::Min),
        "max" => number(operator, value, section).map(Test::Max),
        "is_argument" => argument(text()?, value.at, section).map(Test::IsArgument),
        "includes_argument" => argument(text()?, value.at, section).map(Test::IncludesArgument),
        "before" => now(Test::BeforeNow),
        "after" => now(Test::AfterNow),
        _ => None,
    }
}

/// What is wrong with a path of an argument, and what to write.
pub(super) const PATH_HINT: &str = "write name, or \"record.name\" for what lies in a record; a dot in a name itself is \
    written with a backslash, in single quotes: 'a\\.b'";

fn argument(path: String, at: usize, section: &Section<'_>) -> Option<String> {
    if path::steps(&path).is_none() {
        section.report.say(at, format!("`{}` is no path of an argument", shown(&path)), PATH_HINT);
        return None;
    }
    Some(path)
}

fn inside(path: String, at: usize, section: &Section<'_>) -> Option<Test> {
    let path = path.trim_end_matches('/').to_owned();
    if path.is_empty() || is_evasive(&path) {
        let hint =
            "write a path such as /srv/public or file:///srv/public, without `..`, backslash or percent sign";
        section.report.say(at, "`inside` is not a plain path", hint);
        return None;
    }
    Some(Test::Inside(path))
}

fn is_evasive(path: &str) -> bool {
    ["\\", "%", "..", "/./"].iter().any(|evasion| path.contains(evasion))
}

/// Why a test cannot be asked of a value, and what to do.
pub(super) type Misfit = (String, String);

/// The test in Cedar, of the value at `subject`, whose type is `of` if known.
///
/// `never` is whether a match forbids: a path that may lead elsewhere then
/// counts as inside, as it counts as outside of what is allowed; and a value of
/// another type than that of an unknown argument cannot be compared, which
/// denies.
pub(super) fn render(
    test: &Test,
    subject: &str,
    of: Option<ValueType>,
    never: bool,
) -> Result<String, Misfit> {
    let misfit = || {
        let found = of.map_or("of another type", ValueType::in_words);
        (format!("the value is {found}, which this cannot be compared with"), wanted_hint(of))
    };
    let one = |literal: &Literal| literal.render(of).ok_or_else(misfit);
    let many = |literals: &[Literal], of: Option<ValueType>| {
        let items: Option<Vec<String>> = literals.iter().map(|literal| literal.render(of)).collect();
        items.map(cedar::set).ok_or_else(misfit)
    };
    // The type of a list's elements: known, unknown, or an error.
    let elements = || of.map(|of| of.element().ok_or_else(misfit)).transpose();
    let must_be = |wanted: ValueType| if of.is_none_or(|of| of == wanted) { Ok(()) } else { Err(misfit()) };
    match test {
        // Of an unknown type: what is merely unequal for being of another type must not pass a prohibition.
        Test::Is(literal) if never && of.is_none() => Ok(literal.equal_or_fail(subject)),
        Test::OneOf(literals) if never && of.is_none() => {
            let all: Vec<String> = literals.iter().map(|literal| literal.equal_or_fail(subject)).collect();
            Ok(all.join(" || "))
        }
        Test::Is(literal) => Ok(format!("{subject} == {}", one(literal)?)),
        Test::OneOf(literals) => Ok(format!("{}.contains({subject})", many(literals, of)?)),
        Test::Like(text) => {
            must_be(ValueType::Text).map(|()| format!("{subject} like {}", cedar::pattern(text)))
        }
        Test::StartsWith(text) => {
            must_be(ValueType::Text).map(|()| format!("{subject} like {}", cedar::prefix(text)))
        }
        Test::Inside(path) => must_be(ValueType::Text).map(|()| inside_path(subject, path, never)),
        Test::Min(literal) | Test::Max(literal) => {
            let least = matches!(test, Test::Min(_));
            let bound = one(literal)?;
            Ok(match (literal.is_decimal(of), least) {
                (true, true) => format!("{subject}.greaterThanOrEqual({bound})"),
                (true, false) => format!("{subject}.lessThanOrEqual({bound})"),
                (false, true) => format!("{subject} >= {bound}"),
                (false, false) => format!("{subject} <= {bound}"),
            })
        }
        Test::Only(literals) => Ok(format!("{}.containsAll({subject})", many(literals, elements()?)?)),
        Test::Includes(literals) => Ok(format!("{subject}.containsAny({})", many(literals, elements()?)?)),
        Test::IsArgument(_) | Test::IncludesArgument(_) => Err(misfit()),
        Test::BeforeNow => must_be(ValueType::Time).map(|()| format!("{subject} <= context.now")),
        Test::AfterNow => must_be(ValueType::Time).map(|()| format!("{subject} > context.now")),
    }
}

fn wanted_hint(of: Option<ValueType>) -> String {
    match of {
        Some(ValueType::Record) => {
            "name what lies in it by a dotted path in quotes: \"customer.id\"".to_owned()
        }
        Some(ValueType::Texts | ValueType::Integers | ValueType::Numbers) => {
            "for lists there are `only` (every element is one of) and `includes` (some element is)".to_owned()
        }
        Some(ValueType::Other) => "use required, absent, or `touching` in a [[never]] rule".to_owned(),
        _ => "write the value in the type of the argument or fact; docs/policy.md lists what fits".to_owned(),
    }
}

/// Ways to write a path that leads out of the directory that it begins with.
const EVASIONS: [&str; 4] = ["..", "\\\\", "%", "/./"];

fn inside_path(subject: &str, path: &str, never: bool) -> String {
    let inside = format!(
        "{subject} == {} || {subject} like {}",
        cedar::text(path),
        cedar::prefix(&format!("{path}/"))
    );
    let evasive =
        EVASIONS.map(|evasion| format!("{subject} like {}", cedar::pattern(&format!("*{evasion}*"))));
    let evasive = evasive.join(" || ");
    if never { format!("{inside} || {evasive}") } else { format!("({inside}) && !({evasive})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_takes_the_type_of_the_value() {
        use ValueType::*;
        let max = |literal: Literal, of| render(&Test::Max(literal), "x", of, false).ok();
        for (literal, of, expected) in [
            (Literal::Integer(5), None, Some("x <= 5")),
            (Literal::Integer(5), Some(Integer), Some("x <= 5")),
            (Literal::Integer(5), Some(Number), Some("x.lessThanOrEqual(decimal(\"5.0\"))")),
            (Literal::Number(50_000), Some(Integer), Some("x <= 5")),
            (Literal::Number(55_000), Some(Integer), None),
            (Literal::Number(55_000), None, Some("x.lessThanOrEqual(decimal(\"5.5\"))")),
            (Literal::Integer(5), Some(Text), None),
            (Literal::Integer(i64::MAX), Some(Number), None),
        ] {
            assert_eq!(max(literal.clone(), of).as_deref(), expected, "{literal:?} {of:?}");
        }
    }
}

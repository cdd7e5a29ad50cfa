//! Values that a file writes, and the types that they are compared with.

use toml::de::DeValue;

use super::cedar;
use super::read::{Section, Value};

/// What type a value has: an argument by its tool's pinned definition, a field
/// of a fact by its declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A text.
    Text,
    /// A whole number that fits 64 bits.
    Integer,
    /// A number with up to four decimal places.
    Number,
    /// True or false.
    Flag,
    /// A point in time (facts only).
    Time,
    /// A list of texts, compared as a set.
    Texts,
    /// A list of whole numbers, compared as a set.
    Integers,
    /// A list of numbers, compared as a set.
    Numbers,
    /// A record, whose members are reached by dotted paths.
    Record,
    /// Anything else: can be required, absent or any, but not compared.
    Other,
}

impl ValueType {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            ValueType::Text => "a text",
            ValueType::Integer => "a whole number",
            ValueType::Number => "a number",
            ValueType::Flag => "true or false",
            ValueType::Time => "a time",
            ValueType::Texts => "a list of texts",
            ValueType::Integers => "a list of whole numbers",
            ValueType::Numbers => "a list of numbers",
            ValueType::Record => "a record",
            ValueType::Other => "of a type that cannot be compared",
        }
    }

    /// The type of the elements of a list.
    pub(super) fn element(self) -> Option<ValueType> {
        match self {
            ValueType::Texts => Some(ValueType::Text),
            ValueType::Integers => Some(ValueType::Integer),
            ValueType::Numbers => Some(ValueType::Number),
            _ => None,
        }
    }
}

/// A literal of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(String),
    Integer(i64),
    /// In ten-thousandths, as Cedar's decimal keeps them.
    Number(i64),
    Flag(bool),
}

/// Cedar's decimal has four places.
const PLACES: i64 = 10_000;

impl Literal {
    /// Whether `subject`, whose type is not known, is this: a condition that fails on a value of another type, where
    /// `==` would be false.
    pub(super) fn equal_or_fail(&self, subject: &str) -> String {
        let own = self.render(None).unwrap_or_default();
        match self {
            Literal::Text(text) => format!("{subject} like {}", cedar::exactly(text)),
            Literal::Integer(_) => format!("{subject} >= {own} && {subject} <= {own}"),
            Literal::Number(_) => {
                format!("{subject}.greaterThanOrEqual({own}) && {subject}.lessThanOrEqual({own})")
            }
            Literal::Flag(true) => subject.to_owned(),
            Literal::Flag(false) => format!("!{subject}"),
        }
    }

    /// In Cedar, as a value of `wanted`, or by its own form if that is not known.
    pub(super) fn render(&self, wanted: Option<ValueType>) -> Option<String> {
        use ValueType::{Flag, Integer, Number, Text};
        match (self, wanted) {
            (Literal::Text(text), None | Some(Text)) => Some(cedar::text(text)),
            (Literal::Flag(flag), None | Some(Flag)) => Some(flag.to_string()),
            (Literal::Integer(n), None | Some(Integer)) => Some(n.to_string()),
            (Literal::Integer(n), Some(Number)) => n.checked_mul(PLACES).map(decimal),
            (Literal::Number(n), None | Some(Number)) => Some(decimal(*n)),
            (Literal::Number(n), Some(Integer)) if n % PLACES == 0 => Some((n / PLACES).to_string()),
            _ => None,
        }
    }

    /// As a number that orders whole and broken numbers alike.
    pub(super) fn order(&self) -> Option<i128> {
        match self {
            Literal::Integer(n) => Some(i128::from(*n) * i128::from(PLACES)),
            Literal::Number(n) => Some(i128::from(*n)),
            Literal::Text(_) | Literal::Flag(_) => None,
        }
    }

    pub(super) fn is_decimal(&self, wanted: Option<ValueType>) -> bool {
        match wanted {
            Some(wanted) => wanted == ValueType::Number,
            None => matches!(self, Literal::Number(_)),
        }
    }
}

fn decimal(ten_thousandths: i64) -> String {
    let sign = if ten_thousandths < 0 { "-" } else { "" };
    let n = ten_thousandths.unsigned_abs();
    let places = PLACES.unsigned_abs();
    let fraction = format!("{:04}", n % places);
    let fraction = match fraction.trim_end_matches('0') {
        "" => "0",
        some => some,
    };
    format!("decimal(\"{sign}{}.{fraction}\")", n / places)
}

/// Reads a number.
pub(super) fn number(operator: &str, value: Value<'_>, section: &Section<'_>) -> Option<Literal> {
    match value.value {
        DeValue::Integer(_) | DeValue::Float(_) => literal(operator, value, section),
        other => {
            section.wrong_type(operator, "a number", other, value.at);
            None
        }
    }
}

/// Reads values of one type; one value counts as a list of one.
pub(super) fn literals(operator: &str, value: Value<'_>, section: &Section<'_>) -> Option<Vec<Literal>> {
    let values = section.values(operator, value);
    let all: Vec<Literal> = values.iter().filter_map(|value| literal(operator, *value, section)).collect();
    if all.len() != values.len() || all.is_empty() {
        return None;
    }
    let kind = std::mem::discriminant(&all[0]);
    if all.iter().any(|literal| std::mem::discriminant(literal) != kind) {
        section.report.say(
            value.at,
            format!("`{operator}` mixes types"),
            "write all of them as texts, as whole numbers, or with a decimal point",
        );
        return None;
    }
    Some(all)
}

/// Reads a text, a number or a flag.
pub(super) fn literal(operator: &str, value: Value<'_>, section: &Section<'_>) -> Option<Literal> {
    match value.value {
        DeValue::String(_) => {
            section.as_text(operator, value).map(|text| Literal::Text(text.value.to_owned()))
        }
        DeValue::Boolean(flag) => Some(Literal::Flag(*flag)),
        DeValue::Integer(n) => match i64::from_str_radix(n.as_str(), n.radix()) {
            Ok(n) => Some(Literal::Integer(n)),
            Err(_) => {
                section.report.say(value.at, "the number does not fit 64 bits", "write a smaller one");
                None
            }
        },
        DeValue::Float(n) => match ten_thousandths(n.as_str()) {
            Some(n) => Some(Literal::Number(n)),
            None => {
                let hint = "numbers here have up to four decimal places and reach ±922337203685477.5807";
                section.report.say(value.at, "the number cannot be compared exactly", hint);
                None
            }
        },
        other => {
            section.wrong_type(operator, "a text, a number, true or false", other, value.at);
            None
        }
    }
}

/// A TOML float without an exponent, exactly.
fn ten_thousandths(text: &str) -> Option<i64> {
    let text: String = text.chars().filter(|&c| c != '_').collect();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let (whole, fraction) = digits.split_once('.')?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 4 || !fraction.bytes().chain(whole.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: i64 = format!("{whole}{fraction:0<4}").parse().ok()?;
    Some(if negative { -n } else { n })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (written, expected) in [
            ("1.5", Some("decimal(\"1.5\")")),
            ("-0.0001", Some("decimal(\"-0.0001\")")),
            ("+1_000.0", Some("decimal(\"1000.0\")")),
            ("922337203685477.5807", Some("decimal(\"922337203685477.5807\")")),
            ("922337203685477.5808", None),
            ("0.00001", None),
            ("1e3", None),
            ("inf", None),
            ("nan", None),
        ] {
            assert_eq!(ten_thousandths(written).map(decimal).as_deref(), expected, "{written}");
        }
    }
}

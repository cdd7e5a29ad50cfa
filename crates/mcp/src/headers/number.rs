//! Numbers compared by value, at any size and without rounding.

/// Whether two JSON numbers are equal: `42`, `42.0` and `4.2e1` are. Anything else is not.
pub(crate) fn equal(left: &str, right: &str) -> bool {
    match (Decimal::read(left), Decimal::read(right)) {
        (Some(left), Some(right)) => left == right,
        _ => false,
    }
}

/// A number as sign, significant digits without zeros at either end, and a power of ten.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn read(number: &str) -> Option<Self> {
        if !is_number(number) {
            return None;
        }
        let (mantissa, exponent) = match number.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (number, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(mantissa) => (true, mantissa),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let kept = all.trim_end_matches('0');
        let dropped = i64::try_from(all.len() - kept.len()).ok()?;
        let digits = kept.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self { negative: false, digits, exponent: 0 });
        }
        let exponent = i64::from(exponent) + dropped - i64::try_from(fraction.len()).ok()?;
        Some(Self { negative, digits, exponent })
    }
}

fn is_number(text: &str) -> bool {
    use crate::scan::{Shape, whole};
    text.bytes().all(|byte| byte.is_ascii_graphic())
        && whole(text, &crate::Limits::ours()).is_ok_and(|value| value.shape == Shape::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_value() {
        for (left, right) in [
            ("42", "42.0"),
            ("42", "4.2e1"),
            ("420", "42E+1"),
            ("0", "-0.0"),
            ("0.5", "5e-1"),
            ("123456789012345678901234567890", "123456789012345678901234567890.000"),
        ] {
            assert!(equal(left, right) && equal(right, left), "{left} {right}");
        }
        for (left, right) in [
            ("42", "-42"),
            ("42", "43"),
            ("9007199254740993", "9007199254740992"),
            ("1", "01"),
            ("1", "+1"),
            ("1", " 1"),
            ("1", "1\n"),
            ("1", ""),
            ("1", "one"),
            ("1e99999999999", "1e99999999999"),
            ("10", "1"),
        ] {
            assert!(!equal(left, right) && !equal(right, left), "{left} {right}");
        }
    }
}

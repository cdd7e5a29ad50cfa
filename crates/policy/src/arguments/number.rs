//! JSON numbers as Cedar's: exactly, or not at all.

/// Most significant digits of a number that is not an integer. Servers read such numbers as IEEE 754 doubles, which
/// tell all decimals of 15 digits apart and not all of 16: beyond, what we compare is not what they use.
const DIGITS_MAX: usize = 15;

/// Decimals of Cedar's `decimal`.
const DECIMALS: i64 = 4;

/// Why a number cannot be weighed.
pub(super) type Reason = &'static str;

/// An integer that is written as one: digits, with or without a minus. `None` if it is not; an error if it is beyond
/// 64 bits. `-0` is 0, as it is for every comparison that a server can make.
pub(super) fn integer(written: &str) -> Option<Result<i64, Reason>> {
    let digits = written.strip_prefix('-').unwrap_or(written);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(written.parse().map_err(|_| "integers are compared up to 64 bits"))
}

/// The number in the one form that Cedar reads, like `-12.5`. The value is exactly the same; `1e3`, `1000.0` and
/// `1000` give `1000.0`.
pub(super) fn decimal(written: &str) -> Result<String, Reason> {
    let (sign, rest) = match written.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", written),
    };
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()),
        None => (rest, Some(0)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = [whole, fraction].concat();
    let leading = digits.trim_start_matches('0');
    let digits = leading.trim_end_matches('0');
    if digits.is_empty() {
        return Ok("0.0".to_owned());
    }
    if digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("numbers are compared up to 15 digits");
    }
    let trimmed = leading.len() - digits.len();
    // The value is `digits` times ten to the power of `power`.
    let power = exponent
        .and_then(|exponent| exponent.checked_sub(fraction.len() as i64)?.checked_add(trimmed as i64))
        .ok_or("its exponent is out of range")?;
    if power < -DECIMALS {
        return Err("numbers are compared up to four decimals");
    }
    let ten_thousandths = u32::try_from(power + DECIMALS)
        .ok()
        .and_then(|power| 10i64.checked_pow(power))
        .and_then(|factor| digits.parse::<i64>().ok()?.checked_mul(factor))
        .ok_or("it is beyond the range of a decimal")?;
    let (whole, fraction) = (ten_thousandths / 10_000, ten_thousandths % 10_000);
    Ok(format!("{sign}{whole}.{fraction:04}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_or_none() {
        let cases: [(&str, Option<Option<i64>>); 12] = [
            ("0", Some(Some(0))),
            ("-0", Some(Some(0))),
            ("-1", Some(Some(-1))),
            ("9223372036854775807", Some(Some(i64::MAX))),
            ("-9223372036854775808", Some(Some(i64::MIN))),
            ("9223372036854775808", Some(None)),
            ("-9223372036854775809", Some(None)),
            ("123456789012345678901234567890", Some(None)),
            ("1.0", None),
            ("1e3", None),
            ("1E0", None),
            ("-0.0", None),
        ];
        for (written, expected) in cases {
            assert_eq!(integer(written).map(Result::ok), expected, "{written}");
        }
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let cases = [
            ("0", Some("0.0")),
            ("-0.0", Some("0.0")),
            ("0e999999999999999999999", Some("0.0")),
            ("1", Some("1.0000")),
            ("1.5", Some("1.5000")),
            ("-12.3456", Some("-12.3456")),
            ("1e3", Some("1000.0000")),
            ("1E+3", Some("1000.0000")),
            ("1250e-2", Some("12.5000")),
            ("1.50000000", Some("1.5000")),
            ("100.00001", None),
            ("0.12345", None),
            ("1e-5", None),
            ("99.99999999999999999999", None),
            ("922337203685477", Some("922337203685477.0000")),
            ("922337203685478", None),
            ("922337203685477.5807", None),
            ("1e15", None),
            ("1e400", None),
            ("1e-400", None),
            ("1e99999999999999999999", None),
            ("1e-9223372036854775808", None),
            ("1.0000000000000000000001", None),
        ];
        for (written, expected) in cases {
            assert_eq!(decimal(written).ok().as_deref(), expected, "{written}");
        }
    }
}

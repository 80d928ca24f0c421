//! Numbers of bodies and models as they are written.
//!
//! The validator that AWS uses keeps every digit, so `24.9999999999999999999` is less than 25 and
//! `1e400` is a number: binary floating point would say otherwise. Only what a schema asks of a
//! number is answered here: its order, and whether another divides it.
//!
//! RFC 8259 section 6; Java's `BigDecimal`.

use std::borrow::Cow;
use std::cmp::Ordering;

/// Digits of a schema's number that a remainder is computed with; serde_json keeps no more than
/// twenty.
const DIVISOR_DIGITS_MAX: usize = 36;
/// Ten to this power has every divisor of the form 2ᵃ·5ᵇ that has 36 digits.
const POWER_MAX: i64 = 128;

/// `0.{digits}` times ten to the power of `exponent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal<'t> {
    is_negative: bool,
    /// Without zeros at either end; none are zero itself.
    digits: Cow<'t, str>,
    exponent: i64,
}

impl<'t> Decimal<'t> {
    /// `text` is a number of JSON's grammar.
    pub(super) fn read(text: &'t str) -> Self {
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, text),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all: Cow<'t, str> = match fraction {
            "" => Cow::Borrowed(whole),
            _ => Cow::Owned(format!("{whole}{fraction}")),
        };
        let leading = all.len() - all.trim_start_matches('0').len();
        let digits: Cow<'t, str> = match all {
            Cow::Borrowed(all) => Cow::Borrowed(all.trim_matches('0')),
            Cow::Owned(all) => Cow::Owned(all.trim_matches('0').to_owned()),
        };
        if digits.is_empty() {
            return Self { is_negative: false, digits, exponent: 0 };
        }
        let exponent =
            power(exponent).saturating_add(signed(whole.len())).saturating_sub(signed(leading));
        Self { is_negative, digits, exponent }
    }

    pub(super) fn owned(self) -> Decimal<'static> {
        Decimal { digits: Cow::Owned(self.digits.into_owned()), ..self }
    }

    /// The same without its sign.
    fn size(&self, other: &Decimal<'_>) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self
                .exponent
                .cmp(&other.exponent)
                // Digits behind the point have the order of texts.
                .then_with(|| self.digits.cmp(&other.digits)),
        }
    }

    pub(super) fn order(&self, other: &Decimal<'_>) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.size(other),
            (true, true) => other.size(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }

    /// Whether nothing remains when it is divided.
    pub(super) fn is_multiple_of(&self, divisor: &Decimal<'_>) -> bool {
        if self.digits.is_empty() {
            return true;
        }
        if divisor.digits.is_empty() || divisor.digits.len() > DIVISOR_DIGITS_MAX {
            return self.digits == divisor.digits && self.exponent >= divisor.exponent;
        }
        let Ok(by) = divisor.digits.parse::<u128>() else { return false };
        // Both as whole numbers times a power of ten.
        let own_power = self.exponent.saturating_sub(signed(self.digits.len()));
        let by_power = divisor.exponent.saturating_sub(signed(divisor.digits.len()));
        let power = own_power.saturating_sub(by_power);
        // The last digit is no zero, so no ten divides it.
        if power < 0 {
            return false;
        }
        let digits = self.digits.bytes().map(|digit| u128::from(digit.wrapping_sub(b'0')));
        let zeros = std::iter::repeat_n(0, usize::try_from(power.min(POWER_MAX)).unwrap_or(0));
        digits.chain(zeros).fold(0, |rest, digit| (rest * 10 + digit) % by) == 0
    }

    /// One text for every way to write the same number.
    pub(super) fn canonical(&self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        format!("{sign}{}e{}", self.digits, self.exponent)
    }
}

/// Of an exponent as it is written; what no computer could write out is as large as can be.
fn power(text: &str) -> i64 {
    let is_negative = text.starts_with('-');
    text.parse().unwrap_or(if is_negative { i64::MIN / 4 } else { i64::MAX / 4 })
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_order_whatever_they_are_written_like() {
        use Ordering::{Equal, Greater, Less};
        for (one, other, expected) in [
            ("1", "1.0", Equal),
            ("100", "1e2", Equal),
            ("0.001", "1E-3", Equal),
            ("-0", "0.00e5", Equal),
            ("24.9999999999999999999", "25", Less),
            ("9007199254740994", "9007199254740993", Greater),
            ("1e400", "1e399", Greater),
            ("-1e400", "-1e399", Less),
            ("-1", "0", Less),
            ("0", "-0.1", Greater),
            ("12", "2", Greater),
            ("0.12", "0.2", Less),
            ("1e99999999999999999999", "1e9", Greater),
            ("1e-99999999999999999999", "0", Greater),
        ] {
            assert_eq!(Decimal::read(one).order(&Decimal::read(other)), expected, "{one} {other}");
        }
        assert_eq!(Decimal::read("1.50").canonical(), Decimal::read("15e-1").canonical());
    }

    #[test]
    fn a_multiple_leaves_nothing() {
        for (number, divisor, expected) in [
            ("0.3", "0.1", true),
            ("0.35", "0.1", false),
            ("1e400", "0.01", true),
            ("1e400", "3", false),
            ("-9", "3", true),
            ("7", "3", false),
            ("0", "3", true),
            ("4503599627370497.5", "0.5", true),
            ("10", "4", false),
            ("100", "4", true),
        ] {
            let (number, divisor) = (Decimal::read(number), Decimal::read(divisor));
            assert_eq!(number.is_multiple_of(&divisor), expected, "{number:?} {divisor:?}");
        }
    }
}

//! How do numbers and addresses become text where a call waits for it? Digit by digit: the standard
//! library's formatting machinery costs several times as much, and a call has a dozen of them.

use std::io::Write;
use std::net::IpAddr;

/// u64::MAX has 20 digits.
const DIGITS_MAX: usize = 20;

/// Appends `number` in decimal digits.
pub fn push_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; DIGITS_MAX];
    let mut start = digits.len();
    loop {
        start -= 1;
        // The remainder of a division by ten is a digit.
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 || start == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Appends an address; an IPv4 address that is written as an IPv6 one in its IPv4 form
/// (RFC 4291 section 2.5.5.2).
pub fn push_address(address: IpAddr, out: &mut Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            // Four times three digits, three dots.
            let mut text = [b'.'; 15];
            let mut end = 0;
            for (index, octet) in v4.octets().into_iter().enumerate() {
                end += usize::from(index > 0);
                for place in [100, 10, 1] {
                    if octet >= place || place == 1 {
                        text[end] = b'0' + octet / place % 10;
                        end += 1;
                    }
                }
            }
            out.extend_from_slice(&text[..end]);
        }
        // Writing to memory does not fail.
        IpAddr::V6(v6) => write!(out, "{v6}").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_text_is_the_standard_librarys(number: u64, short: u8, v4: [u8; 4], v6: [u16; 8]) {
            for number in [number, u64::from(short), 0, u64::MAX] {
                let mut out = Vec::new();
                push_number(number, &mut out);
                prop_assert_eq!(out, number.to_string().into_bytes());
            }
            for address in [IpAddr::from(v4), IpAddr::from(v6), IpAddr::from([short, 0, 10, 100])] {
                let mut out = Vec::new();
                push_address(address, &mut out);
                prop_assert_eq!(out, address.to_canonical().to_string().into_bytes());
            }
        }
    }
}

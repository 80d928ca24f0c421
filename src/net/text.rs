//! How do numbers and addresses become text where a call waits for it? Digit by digit: the standard
//! library's formatting machinery costs several times as much, and a call has a dozen of them.

use std::cell::Cell;
use std::io::Write;
use std::net::IpAddr;

use crate::net::clock::Timestamp;

/// u64::MAX has 20 digits.
const DIGITS_MAX: usize = 20;

/// `dd/MMM/yyyy:HH:mm:ss +0000` has 26 bytes until the year 9999.
pub const REQUEST_TIME_BYTES: usize = 26;

/// A time in the common log format, as in `09/Apr/2015:12:34:56 +0000`. A second is put into words once
/// per thread: thousands of calls share it.
pub fn request_time(time: Timestamp) -> [u8; REQUEST_TIME_BYTES] {
    thread_local! {
        static LAST: Cell<(u64, [u8; REQUEST_TIME_BYTES])> =
            const { Cell::new((u64::MAX, [b'-'; REQUEST_TIME_BYTES])) };
    }
    let second = time.as_seconds();
    let (last, mut text) = LAST.get();
    if last != second {
        text = request_time_of(second);
        LAST.set((second, text));
    }
    text
}

fn request_time_of(second: u64) -> [u8; REQUEST_TIME_BYTES] {
    let mut text = [b'-'; REQUEST_TIME_BYTES];
    let time =
        i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
    if let Some(time) = time {
        let mut room = text.as_mut_slice();
        // The year has four digits in all of jiff's range after the epoch, so the text fits.
        write!(room, "{}", time.strftime("%d/%b/%Y:%H:%M:%S +0000")).unwrap_or_default();
    }
    text
}

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

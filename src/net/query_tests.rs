use proptest::prelude::*;

use super::*;

fn recoded(query: &str) -> String {
    let mut out = String::new();
    for (name, value) in pairs(query) {
        if !out.is_empty() {
            out.push('&');
        }
        recode(name, &mut out);
        out.push('=');
        recode(value, &mut out);
    }
    out
}

#[test]
fn a_query_is_decoded_and_spelled_anew() {
    for (sent, expected) in [
        ("a=1&b=2", "a=1&b=2"),
        ("a=1;b=2", "a=1&b=2"),
        ("a=x+y", "a=x%20y"),
        ("a=%2B", "a=%2B"),
        ("a=%2b", "a=%2B"),
        ("a", "a="),
        ("a&&b=", "a=&b="),
        ("a=b=c", "a=b%3Dc"),
        ("a=%zz", "a=%25zz"),
        ("a=%", "a=%25"),
        ("a=%4", "a=%254"),
        ("a=%41%ff", "a=A%FF"),
        ("a=~-._", "a=~-._"),
        ("a=/?:@", "a=%2F%3F%3A%40"),
        ("a=b&a=c", "a=b&a=c"),
        ("", ""),
    ] {
        assert_eq!(recoded(sent), expected, "{sent}");
    }
}

/// Recorded: the single value is the last one, `+` is a space, names are decoded too.
#[test]
fn values_are_found_by_their_decoded_name() {
    assert_eq!(last("a=1&a=2", "a").as_deref(), Some("2"));
    assert_eq!(last("%61=x+%2B", "a").as_deref(), Some("x +"));
    assert_eq!(last("a", "a").as_deref(), Some(""));
    assert_eq!(last("b=1", "a"), None);
    assert_eq!(all("a=1&b=2;a=3", "a"), ["1", "3"]);
    assert_eq!(decode_text("%ff"), "\u{fffd}");
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(bytes: Vec<u8>) {
        let mut text = String::new();
        encode(&bytes, &mut text);
        prop_assert_eq!(&*decode(&text), &bytes[..]);
        prop_assert!(!text.contains(['&', ';', '=', '#', '+', ' ']));
    }

    #[test]
    fn recoding_keeps_the_meaning_and_settles_at_once(query in "[a-c=&;+%0-9A-F /~é]{0,40}") {
        let once = recoded(&query);
        prop_assert_eq!(&recoded(&once), &once);
        let meant = |query: &str| -> Vec<(Vec<u8>, Vec<u8>)> {
            pairs(query).map(|(n, v)| (decode(n).into_owned(), decode(v).into_owned())).collect()
        };
        prop_assert_eq!(meant(&once), meant(&query));
    }
}

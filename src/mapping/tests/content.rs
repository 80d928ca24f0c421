//! rest-data-plane 7.8 and 7.9: what counts as binary.

use super::super::content::BinaryTypes;
use super::headers;

/// The table "Binary out" of 7.8.
#[test]
fn the_first_accepted_type_decides() {
    for (types, accept, expected) in [
        (&["image/png"][..], Some("image/png"), true),
        (&["image/png"], Some("image/png,text/html"), true),
        (&["image/png"], Some("IMAGE/PNG;q=0.5"), true),
        (&["image/png"], Some("text/html,image/png"), false),
        (&["image/png"], Some("image/*"), false),
        (&["image/png"], Some("*/*"), false),
        (&["image/png"], None, false),
        (&["image/png"], Some("invalid"), false),
        (&["application/*"], Some("application/x"), true),
        (&["application/*"], Some("application/*"), true),
        (&["application/*"], Some("applications/x"), false),
        (&["*/test"], Some("a/test"), false),
        (&["*/*"], Some("anything"), true),
        (&["*/*"], None, true),
        (&[], Some("image/png"), false),
    ] {
        let types: Vec<String> = types.iter().map(|own| (*own).to_owned()).collect();
        let clients: Vec<(&str, &str)> = accept.iter().map(|value| ("accept", *value)).collect();
        let binary = BinaryTypes::new(&types);
        assert_eq!(binary.is_wanted(&headers(&clients)), expected, "{types:?} {accept:?}");
    }
}

#[test]
fn a_body_without_a_type_is_json() {
    let json = BinaryTypes::new(&["application/json".to_owned()]);
    assert!(json.is_body(&headers(&[])));
    assert!(!json.is_body(&headers(&[("content-type", "text/plain")])));
    assert!(json.is_body(&headers(&[("content-type", "application/json; charset=utf-8")])));
}

use proptest::prelude::*;

use super::*;

proptest! {
    /// Recorded form of `x-amz-apigw-id`: 15 URL-safe base64 characters and `=`.
    #[test]
    fn extended_ids_look_like_the_recorded_ones(random in any::<[u8; 11]>()) {
        let id = extended_id(&random);
        let text = id.as_str();
        prop_assert_eq!(text.len(), 16);
        prop_assert!(text.ends_with('='));
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        prop_assert!(text.chars().take(15).all(legal));
    }

    #[test]
    fn different_randomness_gives_different_ids(a in any::<[u8; 11]>(), b in any::<[u8; 11]>()) {
        prop_assume!(a != b);
        prop_assert_ne!(extended_id(&a), extended_id(&b));
    }
}

/// Only AWS's form of a UUID counts, whatever else the parser would take.
#[test]
fn a_clients_request_id_is_a_hyphenated_uuid() {
    let id = |text: &str| clients_id(&HeaderValue::from_str(text).unwrap());
    let own = "0f8fad5b-d9cb-469f-a165-70867728950e";
    assert_eq!(id(own).map(|id| id.to_string()).as_deref(), Some(own));
    assert!(id("0F8FAD5B-D9CB-469F-A165-70867728950E").is_some());
    for wrong in
        ["", "0f8fad5bd9cb469fa16570867728950e", "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e"]
    {
        assert_eq!(id(wrong), None, "{wrong}");
    }
    assert_eq!(id(&"z".repeat(36)), None);
}

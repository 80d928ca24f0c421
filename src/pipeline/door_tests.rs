use proptest::prelude::*;

use super::*;

proptest! {
    /// Recorded form of `x-amz-apigw-id`: 15 URL-safe base64 characters and `=`.
    #[test]
    fn extended_ids_look_like_the_recorded_ones(random in prop::array::uniform12(any::<u8>())) {
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

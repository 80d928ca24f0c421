//! Bodies are sealed at rest: who has the database, or its backup, has no secret of it.
//!
//! AES-256-GCM with a random nonce (NIST SP 800-38D section 8.2.2). What a row is, where it stands
//! and which revision wrote it is authenticated with it, so that rows cannot be swapped, and an old
//! body cannot be put back under a new revision. Deletions, the revision itself and the absence of
//! rows are not protected: who can write to the database can take things away.
//!
//! Sealed body: key id (8 bytes) ‖ nonce (12) ‖ ciphertext ‖ tag (16).

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::store::control::key::Secret;
use crate::store::control::state::{Kind, ObjectKey};

/// Of AES-256.
pub(super) const KEY_BYTES: usize = 32;
const KEY_ID_BYTES: usize = 8;
const TAG_BYTES: usize = 16;
/// What a sealed body is longer than its text.
pub(super) const OVERHEAD_BYTES: usize = KEY_ID_BYTES + NONCE_LEN + TAG_BYTES;

/// The cipher with its key.
pub(super) struct Sealer {
    cipher: RandomizedNonceKey,
    key_id: [u8; KEY_ID_BYTES],
}

impl fmt::Debug for Sealer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Sealer({})", self.key_id())
    }
}

impl Sealer {
    pub(super) fn new(secret: &Secret) -> Self {
        let hash = digest::digest(&digest::SHA256, &**secret);
        let mut key_id = [0; KEY_ID_BYTES];
        for (to, from) in key_id.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &**secret)
            .expect("the key is as long as the cipher's");
        Self { cipher, key_id }
    }

    /// Which key this is, in 16 hexadecimal digits that say nothing about it.
    pub(super) fn key_id(&self) -> String {
        self.key_id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `None` if the machine gives no random bytes.
    pub(super) fn seal(&self, key: &ObjectKey, revision: u64, text: &[u8]) -> Option<Vec<u8>> {
        let mut ciphertext = Vec::with_capacity(text.len() + TAG_BYTES);
        ciphertext.extend_from_slice(text);
        let place = Aad::from(place(key.kind, &key.scope, &key.id, revision));
        let nonce = self.cipher.seal_in_place_append_tag(place, &mut ciphertext).ok()?;
        let mut sealed = Vec::with_capacity(text.len() + OVERHEAD_BYTES);
        sealed.extend_from_slice(&self.key_id);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut ciphertext);
        Some(sealed)
    }

    /// The text, or why it cannot be read.
    pub(super) fn open(
        &self,
        key: &ObjectKey,
        revision: u64,
        mut sealed: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, &'static str> {
        const SHORT: &str = "it is too short";
        let (key_id, rest) = sealed.split_at_mut_checked(KEY_ID_BYTES).ok_or(SHORT)?;
        if *key_id != self.key_id {
            return Err("it was sealed with another key");
        }
        let (nonce, ciphertext) = rest.split_at_mut_checked(NONCE_LEN).ok_or(SHORT)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SHORT)?;
        let place = Aad::from(place(key.kind, &key.scope, &key.id, revision));
        let length = self
            .cipher
            .open_in_place(nonce, place, ciphertext)
            .map_err(|_| "somebody else changed or moved it")?
            .len();
        let mut text = Zeroizing::new(sealed);
        text.drain(..KEY_ID_BYTES + NONCE_LEN);
        text.truncate(length);
        Ok(text)
    }
}

/// Unambiguous, as each part's length stands before it.
fn place(kind: Kind, scope: &str, id: &str, revision: u64) -> Vec<u8> {
    let kind = kind.as_str();
    let mut place = Vec::with_capacity(kind.len() + scope.len() + id.len() + 4 * 8);
    for part in [kind, scope, id] {
        place.extend_from_slice(&(part.len() as u64).to_be_bytes());
        place.extend_from_slice(part.as_bytes());
    }
    place.extend_from_slice(&revision.to_be_bytes());
    place
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&Zeroizing::new([byte; KEY_BYTES]))
    }

    fn key(scope: &str, id: &str) -> ObjectKey {
        ObjectKey::new(Kind::ApiKey, scope, id)
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_in_its_place_only(
            text in proptest::collection::vec(any::<u8>(), 0..300),
            flipped in any::<proptest::sample::Index>(),
        ) {
            let own = sealer(1);
            let sealed = own.seal(&key("a", "bc"), 7, &text).unwrap();
            prop_assert_eq!(sealed.len(), text.len() + OVERHEAD_BYTES);
            prop_assert_eq!(&**own.open(&key("a", "bc"), 7, sealed.clone()).unwrap(), &text);
            prop_assert!(own.open(&key("ab", "c"), 7, sealed.clone()).is_err());
            prop_assert!(own.open(&key("a", "bc"), 8, sealed.clone()).is_err());
            let other = ObjectKey::new(Kind::AccessKey, "a", "bc");
            prop_assert!(own.open(&other, 7, sealed.clone()).is_err());
            let said = sealer(2).open(&key("a", "bc"), 7, sealed.clone()).unwrap_err();
            prop_assert_eq!(said, "it was sealed with another key");
            let mut changed = sealed;
            let at = flipped.index(changed.len());
            changed[at] ^= 1;
            prop_assert!(own.open(&key("a", "bc"), 7, changed).is_err());
        }

        #[test]
        fn any_bytes_are_opened_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = bytes;
            for (to, from) in bytes.iter_mut().zip(sealer(1).key_id) {
                *to = from;
            }
            prop_assert!(sealer(1).open(&key("a", "b"), 1, bytes).is_err());
        }
    }

    #[test]
    fn two_seals_differ() {
        let sealed = || sealer(1).seal(&key("", "x"), 1, b"same").unwrap();
        assert_ne!(sealed(), sealed());
    }
}

//! Where does the key come from? A file, made at the first start, or a program such as a KMS's.
//!
//! The key is text, so that it can be copied, printed and typed: 64 hexadecimal digits, or base64.
//! It is wiped from our buffers as soon as the cipher has it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::store::control::config::KeySource;
use crate::store::control::error::ControlError;
use crate::store::control::seal::KEY_BYTES;
use crate::store::files;

/// The key, in no form but its own.
pub(super) type Secret = Zeroizing<[u8; KEY_BYTES]>;

/// Bytes read of a key's text: 64 digits with room for whitespace around them.
const TEXT_BYTES_MAX: usize = 256;
/// Time for a key command, which may ask a KMS across the internet.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(20);
/// Bytes shown of what a failed key command complained.
const COMPLAINT_BYTES_MAX: u64 = 1024;
const ONLY_THE_OWNER: u32 = 0o600;

/// The key; `None` where the file is missing.
pub(super) async fn load(source: &KeySource) -> Result<Option<Secret>, ControlError> {
    let failed = |cause: String| ControlError::Key { key: source.to_string(), cause };
    match source {
        KeySource::File(path) => match read_file(path) {
            Ok(secret) => secret.map_err(|cause| failed(cause.to_owned())).map(Some),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(failed(format!("cannot be read: {err}"))),
        },
        KeySource::Command(words) => {
            let asked = tokio::time::timeout(COMMAND_TIME_MAX, ask(words)).await;
            match asked {
                Ok(answer) => answer.map(Some).map_err(failed),
                Err(_) => Err(failed(format!("did not end within {COMMAND_TIME_MAX:?}"))),
            }
        }
    }
}

/// Makes a key file with a new key; another process may have been faster, then its key holds.
pub(super) async fn create(source: &KeySource) -> Result<Secret, ControlError> {
    if let KeySource::File(path) = source {
        write_new(path).map_err(|err| ControlError::io("cannot write", path, err))?;
    }
    load(source).await?.ok_or_else(|| ControlError::Key {
        key: source.to_string(),
        cause: "is gone again".to_owned(),
    })
}

type Parsed = Result<Secret, &'static str>;

fn read_file(path: &Path) -> io::Result<Parsed> {
    let mut file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "The key file can be read by others than its owner");
    }
    let mut text = Zeroizing::new([0; TEXT_BYTES_MAX]);
    let mut filled = 0;
    while filled < TEXT_BYTES_MAX {
        // The loop ends before the slice is empty.
        match file.read(text.get_mut(filled..).unwrap_or_default())? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(parse(text.get(..filled).unwrap_or_default()))
}

/// Whole or not at all, and never over another's: a neighbour is written, synced, and linked to
/// the name, which fails where the name is taken (link(2)).
fn write_new(path: &Path) -> io::Result<()> {
    let mut secret: Secret = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(&mut *secret).map_err(|_| io::Error::other("the machine gives no random bytes"))?;
    let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
    for byte in *secret {
        text.extend([byte >> 4, byte & 15].map(|digit| {
            char::from_digit(u32::from(digit), 16).expect("four bits are a hexadecimal digit")
        }));
    }
    text.push('\n');
    let neighbour = path.with_added_extension(format!("{}.new", uuid::Uuid::new_v4().simple()));
    let linked = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(ONLY_THE_OWNER)
            .open(&neighbour)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(&neighbour, path) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    })();
    // It may not have come into being.
    fs::remove_file(&neighbour).ok();
    linked?;
    files::sync_folder(path)
}

async fn ask(words: &[String]) -> Result<Secret, String> {
    let (program, arguments) = words.split_first().ok_or("is empty")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|err| format!("cannot be run: {err}"))?;
    let (Some(mut out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("has no output".to_owned());
    };
    let mut text = Zeroizing::new([0; TEXT_BYTES_MAX]);
    let read = async {
        let mut filled = 0;
        while filled < TEXT_BYTES_MAX {
            match out.read(text.get_mut(filled..).unwrap_or_default()).await {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
        }
        // Who prints more than a key must not get stuck in it.
        drop(out);
        filled
    };
    let complain = async {
        let mut complaint = Vec::new();
        let mut err = err.take(COMPLAINT_BYTES_MAX);
        // Half a complaint is better than none.
        err.read_to_end(&mut complaint).await.ok();
        complaint
    };
    let (filled, complaint) = futures_util::join!(read, complain);
    let ended = child.wait().await.map_err(|err| err.to_string())?;
    if !ended.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        let complaint = complaint.trim().escape_debug();
        return Err(format!("ended with {ended}: {complaint}"));
    }
    parse(text.get(..filled).unwrap_or_default()).map_err(str::to_owned)
}

fn parse(text: &[u8]) -> Parsed {
    const WRONG: &str = "is no key: 64 hexadecimal digits, or 32 bytes in base64";
    let text = text.trim_ascii();
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    if text.len() == 2 * KEY_BYTES {
        for (byte, pair) in secret.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |at: usize| {
                pair.get(at).and_then(|digit| char::from(*digit).to_digit(16)).ok_or(WRONG)
            };
            // Two digits of four bits fill a byte.
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).map_err(|_| WRONG)?;
        }
        return Ok(secret);
    }
    // The decoder wants room for whole groups of three bytes.
    let mut room = Zeroizing::new([0; KEY_BYTES + 3]);
    match BASE64.decode_slice(text, &mut *room) {
        Ok(KEY_BYTES) => {
            secret.copy_from_slice(room.get(..KEY_BYTES).ok_or(WRONG)?);
            Ok(secret)
        }
        _ => Err(WRONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_the_same_key() {
        let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n";
        let base64 = " AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
        let key = parse(hex.as_bytes()).unwrap();
        assert_eq!(key[31], 31);
        assert_eq!(key, parse(base64.as_bytes()).unwrap());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "00", &"g0".repeat(32), &"0".repeat(63), "AAEC", &"A".repeat(256)] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_key_file_is_made_once_and_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.key");
        let source = KeySource::File(path.clone());
        assert!(load(&source).await.unwrap().is_none());
        let made = create(&source).await.unwrap();
        assert_eq!(create(&source).await.unwrap(), made, "the first one stays");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no neighbour stays");
        fs::write(&path, "secret").unwrap();
        let said = load(&source).await.unwrap_err().to_string();
        assert!(said.contains("control.key: is no key") && !said.contains("secret"), "{said}");
    }

    #[tokio::test]
    async fn a_command_says_the_key_or_why_not() {
        let words = |line: &str| KeySource::Command(vec!["sh".into(), "-c".into(), line.into()]);
        let key = load(&words("printf %064d 1")).await.unwrap().unwrap();
        assert_eq!(key[31], 1);
        for (line, says) in [
            ("echo the vault is sealed >&2; exit 3", "the vault is sealed"),
            ("echo hello", "is no key"),
            ("yes", "ended with"),
        ] {
            let said = load(&words(line)).await.unwrap_err().to_string();
            assert!(said.contains("key command `sh`") && said.contains(says), "{said}");
        }
        let gone = KeySource::Command(vec!["/nowhere/kms".into()]);
        assert!(load(&gone).await.unwrap_err().to_string().contains("cannot be run"));
    }
}

//! How does a file change without ever being seen half-written?
//!
//! Write a neighbour, sync it, rename it over the old one, sync the folder: after a crash either
//! the old or the new content is there, whole (rename(2) is atomic within a file system).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest;

use crate::store::StoreError;

/// Characters of a SHA-256 in hexadecimal.
pub const HASH_CHARS: usize = 64;

/// Only the owner reads what is kept: parts hold the private keys of custom domains.
const MODE: u32 = 0o600;

/// Replaces `path` by `bytes`, atomically and durably.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = path.with_added_extension("new");
    let write = || -> io::Result<()> {
        let mut open = File::options();
        let open = open.write(true).create(true).truncate(true).mode(MODE);
        let mut file = open.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        sync_folder(path)
    };
    write().map_err(|source| StoreError::io("cannot write", path, source))
}

/// Makes a created, renamed or removed name durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// Reads a whole file of at most `limit` bytes; `None` when there is none.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::io("cannot open", path, source)),
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| StoreError::io("cannot read", path, source))?;
    if bytes.len() as u64 > limit {
        return Err(StoreError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(Some(bytes))
}

/// Creates a folder with its parents.
pub fn create_folder(path: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(path).map_err(|source| StoreError::io("cannot create", path, source))
}

/// SHA-256 as 64 lower-case hexadecimal characters.
pub fn sha256_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(HASH_CHARS);
    for byte in digest::digest(&digest::SHA256, bytes).as_ref() {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Is this the name of a content-addressed file, and nothing that could leave its folder?
pub fn is_hash(text: &str) -> bool {
    text.len() == HASH_CHARS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

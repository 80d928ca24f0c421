//! Certificates and keys as files: bounded reads, private keys readable by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::net::ca::{CaError, PEM_BYTES_MAX};

/// Permissions of a private key, and of what is public.
pub(super) const SECRET: u32 = 0o600;
pub(super) const PUBLIC: u32 = 0o644;

pub(super) fn first_certificate(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).next()?.ok()
}

pub(super) fn read(path: &Path) -> Result<String, CaError> {
    let failed = |source| CaError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(PEM_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

pub(super) fn make_folder(folder: &Path) -> Result<(), CaError> {
    fs::create_dir_all(folder).map_err(|source| CaError::File { path: folder.to_owned(), source })
}

/// Writes a file that must not exist yet.
pub(super) fn create(path: &Path, text: &str, mode: u32) -> Result<(), CaError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = opened.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => CaError::Exists(path.to_owned()),
        _ => CaError::File { path: path.to_owned(), source },
    })
}

/// Writes a file in one step: readers see the old text or the new one, never a part.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), CaError> {
    put(&draft(path, text, mode)?, path)
}

/// Writes a certificate and its key, each in one step and both as close together as files can be:
/// who reads in between finds that they do not match, and reads again later.
pub(super) fn replace_pair(
    (chain, chain_pem): (&Path, &str),
    (key, key_pem): (&Path, &str),
) -> Result<(), CaError> {
    let key_draft = draft(key, key_pem, SECRET)?;
    let chain_draft = draft(chain, chain_pem, PUBLIC)?;
    put(&key_draft, key)?;
    put(&chain_draft, chain)
}

fn draft(path: &Path, text: &str, mode: u32) -> Result<PathBuf, CaError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    // A draft left by a crash may have other permissions; start afresh.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(CaError::File { path: draft, source: error });
        }
        _ => {}
    }
    create(&draft, text, mode)?;
    Ok(draft)
}

fn put(draft: &Path, path: &Path) -> Result<(), CaError> {
    fs::rename(draft, path).map_err(|source| CaError::File { path: path.to_owned(), source })
}

//! Where does a function's code lie, and is it still the same?
//!
//! A folder is used in place. Its fingerprint is what a file system tells without opening a file:
//! names, sizes, times and numbers of all files. What tools write next to the code (`__pycache__`,
//! `.git`) does not count, and of `node_modules` only what lies at its top: it is large and changes
//! rarely. A zip file is unpacked into the data folder under the hash of its bytes, so that the same
//! package is unpacked once, however often the node starts.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use super::config::Package;
use super::unpack::{self, UnpackError};

/// Files whose fingerprint is taken; changes of further ones are not noticed.
const FILES_MAX: usize = 20_000;
/// Folders below folders.
const DEPTH_MAX: usize = 32;
/// Folders whose content is not code that a person changes.
const PASSED_OVER: [&str; 4] = ["__pycache__", ".git", ".venv", ".pytest_cache"];
/// Folders of which only the top is looked at.
const SHALLOW: [&str; 2] = ["node_modules", "site-packages"];

/// Why there is no code to run.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodeError {
    #[error("{} cannot be read: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Unpack { path: PathBuf, source: UnpackError },
}

impl CodeError {
    /// Whether the package itself is at fault, so that only another one can be used. A disk that is
    /// full or a folder that is missing may be another tomorrow.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            CodeError::Io { .. } | CodeError::Unpack { source: UnpackError::Io(_), .. } => false,
            CodeError::Unpack { .. } => true,
        }
    }
}

/// A state of a file or folder; equal where nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

/// The package as it is now. Reads names and times only; blocks.
pub(super) fn fingerprint(package: &Package) -> Result<Fingerprint, CodeError> {
    let (Package::Folder(path) | Package::Zip(path)) = package;
    let failed = |source| CodeError::Io { path: path.clone(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    let mut print = Context::new(&SHA256);
    add(&mut print, path.as_os_str(), &metadata);
    if let Package::Folder(folder) = package {
        let mut left = FILES_MAX;
        walk(folder, DEPTH_MAX, &mut left, &mut print).map_err(failed)?;
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(print.finish().as_ref());
    Ok(Fingerprint(bytes))
}

fn walk(folder: &Path, depth: usize, left: &mut usize, print: &mut Context) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.take(*left).collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        *left = left.saturating_sub(1);
        let name = entry.file_name();
        if *left == 0 || is_one_of(&name, &PASSED_OVER) {
            continue;
        }
        // An editor may have replaced the file between the two looks; the next one sees it.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            print.update(name.as_encoded_bytes());
            print.update(b"/");
            let deeper = if is_one_of(&name, &SHALLOW) { 1 } else { depth - 1 };
            if deeper > 0 && depth > 1 {
                walk(&entry.path(), deeper, left, print)?;
            }
            print.update(b"/");
        } else {
            add(print, &name, &metadata);
        }
    }
    Ok(())
}

fn is_one_of(name: &OsStr, names: &[&str]) -> bool {
    names.iter().any(|other| name == OsStr::new(other))
}

fn add(print: &mut Context, name: &OsStr, metadata: &Metadata) {
    let name = name.as_encoded_bytes();
    print.update(&(name.len() as u64).to_le_bytes());
    print.update(name);
    // A folder's own times change with every file that comes and goes, `__pycache__` too.
    if metadata.is_dir() {
        return;
    }
    print.update(&metadata.len().to_le_bytes());
    print.update(&metadata.ino().to_le_bytes());
    print.update(&metadata.mtime().to_le_bytes());
    print.update(&metadata.mtime_nsec().to_le_bytes());
}

/// Makes the package ready to run and gives its folder. Blocks.
pub(super) fn unfold(package: &Package, unpacked: &Path) -> Result<PathBuf, CodeError> {
    let zip = match package {
        // A process is started in the folder, so its name must hold from anywhere.
        Package::Folder(path) => {
            return fs::canonicalize(path)
                .map_err(|source| CodeError::Io { path: path.clone(), source });
        }
        Package::Zip(path) => path,
    };
    let unpack = || -> Result<PathBuf, UnpackError> {
        let name = hash_of(zip)?;
        fs::create_dir_all(unpacked)?;
        let unpacked = fs::canonicalize(unpacked)?;
        let folder = unpacked.join(&name);
        if folder.is_dir() {
            return Ok(folder);
        }
        // It has its name when it is complete.
        let new = unpacked.join(format!("{name}.new"));
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        fs::create_dir(&new)?;
        let done = File::open(zip)
            .map_err(UnpackError::Io)
            .and_then(|file| unpack::unpack(file, &new))
            .and_then(|()| Ok(fs::rename(&new, &folder)?));
        if let Err(error) = done {
            drop(fs::remove_dir_all(&new));
            return Err(error);
        }
        Ok(folder)
    };
    unpack().map_err(|source| CodeError::Unpack { path: zip.clone(), source })
}

/// Removes unpacked packages that no function of `packages` has. Blocks.
pub(super) fn tidy(unpacked: &Path, packages: &[&Package]) {
    let Ok(entries) = fs::read_dir(unpacked) else { return };
    let wanted: Vec<String> = packages
        .iter()
        .filter_map(|package| match package {
            Package::Zip(path) => hash_of(path).ok(),
            Package::Folder(_) => None,
        })
        .collect();
    for entry in entries.flatten() {
        let is_wanted = entry.file_name().to_str().is_some_and(|name| {
            // Only what looks like ours is removed.
            wanted.iter().any(|wanted| wanted == name) || !is_hash(name.trim_end_matches(".new"))
        });
        if !is_wanted && let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(%error, "An old function package cannot be removed.");
        }
    }
}

fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn hash_of(path: &Path) -> Result<String, UnpackError> {
    let mut file = File::open(path)?.take(unpack::ZIP_BYTES_MAX + 1);
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; 64 * 1024];
    let mut total: u64 = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        total += count as u64;
        hash.update(buffer.get(..count).unwrap_or_default());
    }
    if total > unpack::ZIP_BYTES_MAX {
        return Err(UnpackError::TooLarge { limit: unpack::ZIP_BYTES_MAX });
    }
    let digits = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digits)
}

//! Unpacks a function's zip file.
//!
//! The file may be anybody's: its names must stay inside the folder, its sizes within bounds, and it
//! may hold nothing but files and folders. Symbolic links are refused, as they could point out of
//! the folder or at each other. AWS: "Lambda quotas" (deployment package, unzipped).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

/// The zip file, bytes. AWS takes 50 MB directly and, from S3, what unpacks to 250 MB.
pub(super) const ZIP_BYTES_MAX: u64 = 262_144_000;
/// All files together, unpacked, bytes ("Lambda quotas": 250 MB, told as 262,144,000 in its error).
const UNPACKED_BYTES_MAX: u64 = 262_144_000;
/// Files and folders; those of a zip file without ZIP64.
const ENTRIES_MAX: usize = 65_535;
/// Folders below folders.
const DEPTH_MAX: usize = 64;
/// Bytes of one name; file systems have no longer ones in a path.
const NAME_BYTES_MAX: usize = 4_096;

/// Why a zip file is not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no zip file: {0}")]
    Zip(#[from] ZipError),
    #[error("larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("more than {ENTRIES_MAX} entries")]
    TooMany,
    #[error("`{0}` would lie outside the package")]
    Escapes(String),
    #[error("`{0}` is a symbolic link")]
    Link(String),
    #[error("`{0}` is in it twice")]
    Twice(String),
}

/// Unpacks into an empty folder. After an error the folder holds a part. Blocks.
pub(super) fn unpack<R: Read + Seek>(zip: R, folder: &Path) -> Result<(), UnpackError> {
    let mut archive = ZipArchive::new(zip)?;
    if archive.len() > ENTRIES_MAX {
        return Err(UnpackError::TooMany);
    }
    let mut left = UNPACKED_BYTES_MAX;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let shown = String::from_utf8_lossy(entry.name_raw()).chars().take(200).collect::<String>();
        let path = inside(entry.name_raw()).ok_or_else(|| UnpackError::Escapes(shown.clone()))?;
        if entry.is_symlink() {
            return Err(UnpackError::Link(shown));
        }
        let path = folder.join(path);
        if entry.is_dir() {
            fs::create_dir_all(&path)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // Only whether it can be run is taken over.
        let runs = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        let file = create(&path, if runs { 0o755 } else { 0o644 });
        let mut file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => UnpackError::Twice(shown),
            _ => UnpackError::Io(error),
        })?;
        // What a header says of the size is a claim; what comes out is counted.
        let written = io::copy(&mut entry.by_ref().take(left + 1), &mut file)?;
        left = left
            .checked_sub(written)
            .ok_or(UnpackError::TooLarge { limit: UNPACKED_BYTES_MAX })?;
    }
    Ok(())
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

/// A relative path that only goes down; `None` for any other.
fn inside(name: &[u8]) -> Option<PathBuf> {
    let name = std::str::from_utf8(name).ok()?;
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(['\0', '\\']) {
        return None;
    }
    let mut path = PathBuf::new();
    for (depth, part) in Path::new(name).components().enumerate() {
        match part {
            Component::Normal(part) if depth < DEPTH_MAX => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}

//! Folders and files that only the user of this process may look into, and locks on files.

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Of folders and files that are made so.
pub const FOLDER: u32 = 0o700;
pub const FILE: u32 = 0o600;

/// Makes a folder, and what is missing above it, where it is not there. Who it belongs to is to be asked after that: another may
/// have made it.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// Whether nobody but its owner (and root) may look into it.
pub fn is_closed(about: &Metadata) -> bool {
    about.permissions().mode() & 0o077 == 0
}

/// The same of a folder, whose owner we are.
pub fn is_own_folder(about: &Metadata) -> bool {
    about.is_dir() && about.uid() == geteuid().as_raw() && is_closed(about)
}

/// Takes the lock of an open file, which is let go with it, however the process ends; false: another has it.
pub fn lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(cause) => Err(cause.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_is_made_for_us_alone_and_a_lock_is_one_files() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("a/b");
        make_folder(&folder).unwrap();
        make_folder(&folder).unwrap();
        assert!(is_own_folder(&fs::symlink_metadata(&folder).unwrap()));
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(!is_own_folder(&fs::symlink_metadata(&folder).unwrap()));
        let open = || File::options().create(true).truncate(false).write(true).open(folder.join("lock")).unwrap();
        let (first, second) = (open(), open());
        assert_eq!([&first, &second, &first].map(|file| lock(file).unwrap()), [true, false, true]);
        drop(first);
        assert!(lock(&second).unwrap());
    }
}

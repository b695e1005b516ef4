//! Directories that vanish with the test that made them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// An empty directory of its own, removed with all that is in it when dropped.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("dbsync2-{}-{number}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => {
                    // Servers that a test of root starts run as other users, and the umask may keep these out.
                    #[cfg(unix)]
                    {
                        use std::os::unix::fs::PermissionsExt;
                        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
                    }
                    return TempDir(path);
                }
                // Left behind by a process of the same number.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => panic!("cannot create {}: {e}", path.display()),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // A failure is of no interest to the test, and scripts/test.sh removes what is left.
        let _ = fs::remove_dir_all(&self.0);
    }
}

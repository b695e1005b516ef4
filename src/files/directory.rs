//! Directories, found or made: each step of the way to them is looked at, so that nobody can lead it elsewhere.

use std::io;
use std::path::{Path, PathBuf};

#[cfg(not(unix))]
pub(super) use elsewhere::{database, shared};
#[cfg(unix)]
pub(super) use unix::{database, shared};

/// Finds or makes (with its parents) a directory for this program's files alone; returns its path without links.
///
/// What is made is for the owner alone. A directory of this user that others may write to is narrowed, but root's and
/// one with the sticky bit are refused: others may need them.
///
/// # Errors
/// Those of the system, and a [`Refusal`](super::Refusal).
pub fn directory(path: &Path) -> io::Result<PathBuf> {
    #[cfg(unix)]
    return unix::directory(path);
    #[cfg(not(unix))]
    return elsewhere::directory(path);
}

/// Whether [`directory`] would find it; false where it would make it. Nothing is made but a file that is removed at once.
///
/// # Errors
/// As [`directory`], and where nothing can be made there or the disk is full.
pub fn try_directory(path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    let (existing, found) = unix::look(path)?;
    #[cfg(not(unix))]
    let (existing, found) = elsewhere::look(path)?;
    super::try_room(&existing)?;
    Ok(found)
}

/// Whether the operating system would let this user write to a directory, or make it.
pub fn is_writable(path: &Path) -> bool {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = path.ancestors().find(|path| path.exists());
    #[cfg(unix)]
    return existing
        .is_some_and(|path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok());
    #[cfg(not(unix))]
    return existing.is_some();
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsString;
    use std::fs::{self, DirBuilder, Metadata, Permissions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    use std::path::{Component, Path, PathBuf};

    use crate::files::rules::{self, Directory, User};

    /// As many as Linux follows.
    const MAX_LINKS: usize = 40;

    pub(in crate::files) fn directory(path: &Path) -> io::Result<PathBuf> {
        let user = User::effective();
        let (found, _) = walk(path, true, user, &mut as_ours(user))?;
        let data = fs::symlink_metadata(&found)?;
        if let Directory::Narrow(mode) = rules::own_directory(&found, &data, user)? {
            fs::set_permissions(&found, Permissions::from_mode(mode))?;
            log::warn!(
                "others could write to {}: now they no longer can",
                found.display()
            );
        }
        Ok(found)
    }

    /// The directory, or the one in which it would be made, and whether it is there.
    pub(in crate::files) fn look(path: &Path) -> io::Result<(PathBuf, bool)> {
        let user = User::effective();
        let (found, missing) = walk(path, false, user, &mut as_ours(user))?;
        let whole = missing.is_empty();
        if whole {
            rules::own_directory(&found, &fs::symlink_metadata(&found)?, user)?;
        }
        Ok((found, whole))
    }

    /// A directory in which others have files, too; it must be there.
    pub(in crate::files) fn shared(path: &Path) -> io::Result<PathBuf> {
        let user = User::effective();
        let (found, missing) = walk(path, false, user, &mut as_ours(user))?;
        if missing.is_empty() {
            rules::way(&found, &fs::symlink_metadata(&found)?, user)?;
            return Ok(found);
        }
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "its directory is missing",
        ))
    }

    /// A database file that is to be opened or made, and those that belong to it, by their endings; see
    /// [`database`](crate::files::database).
    pub(in crate::files) fn database(
        path: &Path,
        endings: &[&str],
    ) -> io::Result<(PathBuf, Vec<String>)> {
        let user = User::effective();
        let mut doubts = Vec::new();
        let mut judge = |path: &Path, data: &Metadata| {
            // Who can exchange one of them can exchange all below.
            let doubt = rules::shared_way(path, data, user)?;
            if doubts.is_empty() {
                doubts.extend(doubt);
            }
            Ok(())
        };
        let (mut found, missing) = walk(path, false, user, &mut judge)?;
        found.extend(missing);
        let Ok(directory) = fs::symlink_metadata(found.parent().unwrap_or(Path::new("/"))) else {
            // Its driver says what is missing.
            return Ok((found, doubts));
        };
        let look = |path: &Path| match fs::symlink_metadata(path) {
            // A directory can't be written to, which its driver says.
            Ok(data) if !data.is_dir() => rules::shared_file(path, &data, &directory, user),
            _ => Ok(None),
        };
        let doubt = look(&found)?;
        doubts.extend(doubt);
        for ending in endings {
            let mut beside = found.as_os_str().to_owned();
            beside.push(ending);
            let beside = Path::new(&beside);
            look(beside).map_err(|error| crate::files::naming(beside, error))?;
        }
        Ok((found, doubts))
    }

    /// What is said of a directory on the way.
    type Judge<'a> = &'a mut dyn FnMut(&Path, &Metadata) -> io::Result<()>;

    /// On the way to what is this program's alone.
    fn as_ours(user: User) -> impl FnMut(&Path, &Metadata) -> io::Result<()> {
        move |path, data| rules::way(path, data, user)
    }

    /// The path without links as far as it is there, and what is missing of it, which is made or ends the walk.
    fn walk(
        path: &Path,
        make: bool,
        user: User,
        judge: Judge<'_>,
    ) -> io::Result<(PathBuf, Vec<OsString>)> {
        let mut found = PathBuf::from("/");
        let mut pending = parts(&std::path::absolute(path)?);
        let mut links = 0;
        while let Some(part) = pending.pop() {
            if part == ".." {
                found.pop();
                continue;
            }
            let next = found.join(&part);
            let data = match fs::symlink_metadata(&next) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !make {
                        pending.push(part);
                        pending.reverse();
                        return Ok((found, pending));
                    }
                    make_private(&next)?;
                    fs::symlink_metadata(&next)?
                }
                data => data?,
            };
            if data.is_symlink() {
                rules::link(&next, &data, user)?;
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::other("too many symbolic links"));
                }
                let target = fs::read_link(&next)?;
                if target.is_absolute() {
                    found = PathBuf::from("/");
                }
                pending.append(&mut parts(&target));
                continue;
            }
            if !pending.is_empty() {
                if !data.is_dir() {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
                judge(&next, &data)?;
            }
            found = next;
        }
        Ok((found, Vec::new()))
    }

    /// The names of a path, the first one last.
    fn parts(path: &Path) -> Vec<OsString> {
        path.components()
            .rev()
            .filter_map(|part| match part {
                Component::Normal(name) => Some(name.to_owned()),
                Component::ParentDir => Some("..".into()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
            })
            .collect()
    }

    fn make_private(path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::fs;
    use std::io;
    use std::path::{Path, PathBuf};

    pub(in crate::files) fn directory(path: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(path)?;
        Ok(path.to_owned())
    }

    pub(in crate::files) fn look(path: &Path) -> io::Result<(PathBuf, bool)> {
        // A relative path has no parent that exists by its name.
        let path = std::path::absolute(path)?;
        let existing = path.ancestors().find(|path| path.exists());
        let existing = existing.unwrap_or(&path).to_owned();
        let found = existing == path;
        Ok((existing, found))
    }

    pub(in crate::files) fn shared(path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }

    pub(in crate::files) fn database(
        path: &Path,
        _: &[&str],
    ) -> io::Result<(PathBuf, Vec<String>)> {
        Ok((path.to_owned(), Vec::new()))
    }
}

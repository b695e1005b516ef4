//! What is refused, by owner, mode and kind: pure functions of what the system says of a file.

#[cfg(not(unix))]
pub(super) use elsewhere::*;
#[cfg(unix)]
pub(super) use unix::*;

#[cfg(unix)]
mod unix {
    use std::fs::{File, FileType, Metadata, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
    use std::path::Path;

    use rustix::fs::OFlags;

    use crate::files::refusal;

    const ROOT: u32 = 0;
    const BY_GROUP: u32 = 0o020;
    const BY_OTHERS: u32 = 0o002;
    const STICKY: u32 = 0o1000;

    /// Groups below are those of the system, such as `syslog`, which may write to `/var/log` on Ubuntu,
    const FIRST_GROUP_OF_USERS: u32 = 1000;
    /// but for `staff` and `users`, which hold people.
    const GROUPS_OF_PEOPLE: [u32; 2] = [50, 100];

    /// Whom the program acts as.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::files) struct User(pub(in crate::files) u32);

    impl User {
        pub(in crate::files) fn effective() -> User {
            User(rustix::process::geteuid().as_raw())
        }

        fn trusts(self, owner: u32) -> bool {
            owner == self.0 || owner == ROOT
        }
    }

    /// What is to be done with a directory before it is used.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::files) enum Directory {
        /// It is as it should be.
        Good,
        /// Others may no longer write to it; this is its new mode.
        Narrow(u32),
    }

    /// A file that is to be read or written.
    pub(in crate::files) fn file(path: &Path, data: &Metadata, user: User) -> io::Result<()> {
        regular(data)?;
        if data.uid() != user.0 {
            return Err(refusal(foreign(path, data, user)));
        }
        one_name(path, data)
    }

    /// A file that other programs may own and write to, in a directory of this mode. Returns what is doubtful about it.
    pub(in crate::files) fn shared_file(
        path: &Path,
        data: &Metadata,
        directory: &Metadata,
        user: User,
    ) -> io::Result<Option<String>> {
        regular(data)?;
        one_name(path, data)?;
        if !user.trusts(data.uid()) {
            // Where everybody can make files, anybody may have made this one to be written to.
            if directory.mode() & BY_OTHERS != 0 {
                return Err(refusal(foreign(path, data, user)));
            }
            return Ok(Some(format!(
                "it belongs to user {}, who can read and change all that it holds",
                data.uid()
            )));
        }
        let mode = data.mode() & 0o7777;
        Ok((mode & BY_OTHERS != 0).then(|| {
            format!(
                "everybody may write to it (mode {mode:o}): chmod o-w {}",
                path.display()
            )
        }))
    }

    fn regular(data: &Metadata) -> io::Result<()> {
        if data.is_file() {
            return Ok(());
        }
        Err(refusal(format!(
            "it is a {}, not a regular file: remove it",
            kind(data.file_type())
        )))
    }

    fn foreign(path: &Path, data: &Metadata, user: User) -> String {
        format!(
            "it belongs to user {}, and this program runs as user {}: remove it, or, if it is right, chown {} {}",
            data.uid(),
            user.0,
            user.0,
            path.display()
        )
    }

    fn one_name(path: &Path, data: &Metadata) -> io::Result<()> {
        if data.nlink() <= 1 {
            return Ok(());
        }
        let path = path.display();
        Err(refusal(format!(
            "it has {} names (hard links), so that it may be a file from elsewhere: remove it, or, if it is right, \
             cp {path} {path}.copy && mv {path}.copy {path}",
            data.nlink()
        )))
    }

    /// Takes from all but the owner what they may do with an open file.
    pub(in crate::files) fn narrow_file(
        path: &Path,
        file: &File,
        data: &Metadata,
    ) -> io::Result<()> {
        let mode = data.mode() & 0o7777;
        if mode & 0o077 == 0 {
            return Ok(());
        }
        match file.set_permissions(Permissions::from_mode(0o600)) {
            Ok(()) => {
                log::warn!(
                    "{} was open to others (mode {mode:o}): now it is for its owner alone",
                    path.display()
                );
                Ok(())
            }
            // File systems without modes of their own show the same one for each file.
            Err(_) if mode & (BY_GROUP | BY_OTHERS) == 0 => Ok(()),
            Err(error) => Err(refusal(format!(
                "others may write to it (mode {mode:o}), and that cannot be ended: {error}"
            ))),
        }
    }

    /// A symbolic link on the way to a directory.
    pub(in crate::files) fn link(path: &Path, data: &Metadata, user: User) -> io::Result<()> {
        if user.trusts(data.uid()) {
            return Ok(());
        }
        Err(refusal(format!(
            "{} is a symbolic link of user {}, who can let it lead elsewhere: name another directory",
            path.display(),
            data.uid()
        )))
    }

    /// A directory on the way to another one, or one that is shared: nobody may be able to exchange what is in it and
    /// belongs to this user.
    pub(in crate::files) fn way(path: &Path, data: &Metadata, user: User) -> io::Result<()> {
        let mode = data.mode();
        let path = path.display();
        if !user.trusts(data.uid()) {
            return Err(refusal(format!(
                "{path} belongs to user {}, who can exchange what is in it, and this program runs as user {}: run it as \
                 that user, or name a directory that is below directories of root",
                data.uid(),
                user.0
            )));
        }
        // Root's own grant to a group of the system is trusted, and a user's own grant to a group is.
        let by_group = mode & BY_GROUP != 0
            && user.0 == ROOT
            && (data.gid() >= FIRST_GROUP_OF_USERS || GROUPS_OF_PEOPLE.contains(&data.gid()));
        if mode & STICKY == 0 && (mode & BY_OTHERS != 0 || by_group) {
            return Err(refusal(format!(
                "others can exchange what is in {path} (mode {:o}): chmod go-w {path}, or name another directory",
                mode & 0o7777
            )));
        }
        Ok(())
    }

    /// A directory on the way to a file that other programs use, too. Returns what is doubtful about it: only root, who has
    /// more to lose, refuses one that everybody may write to.
    pub(in crate::files) fn shared_way(
        path: &Path,
        data: &Metadata,
        user: User,
    ) -> io::Result<Option<String>> {
        match way(path, data, user) {
            Ok(()) => Ok(None),
            Err(refused) if user.0 == ROOT && data.mode() & (BY_OTHERS | STICKY) == BY_OTHERS => {
                Err(refused)
            }
            Err(doubtful) => Ok(Some(doubtful.to_string())),
        }
    }

    /// A directory that holds this program's files and nobody else's.
    pub(in crate::files) fn own_directory(
        path: &Path,
        data: &Metadata,
        user: User,
    ) -> io::Result<Directory> {
        let mode = data.mode() & 0o7777;
        let path = path.display();
        if !data.is_dir() {
            return Err(refusal(format!(
                "it is a {}, not a directory",
                kind(data.file_type())
            )));
        }
        if !user.trusts(data.uid()) {
            return Err(refusal(format!(
                "it belongs to user {}, and this program runs as user {}: that user could put files there for this one \
                 to open; run it as that user, or, once you have looked at what is in there, chown -R {} {path}",
                data.uid(),
                user.0,
                user.0
            )));
        }
        if mode & (BY_GROUP | BY_OTHERS) == 0 {
            return Ok(Directory::Good);
        }
        // Not root's: it may be one that others need, such as /var/log.
        if data.uid() == user.0 && user.0 != ROOT && mode & STICKY == 0 {
            return Ok(Directory::Narrow(mode & !(BY_GROUP | BY_OTHERS)));
        }
        Err(refusal(format!(
            "others may write to it (mode {mode:o}, user {}, group {}): chmod go-w {path}, or name a directory for this \
             program alone, which may be below it",
            data.uid(),
            data.gid()
        )))
    }

    /// Files that only their owner may read.
    pub(in crate::files) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
        options.mode(0o600)
    }

    /// As [`private`]; no link is followed, and no FIFO waited for.
    pub(in crate::files) fn follow_nothing(options: &mut OpenOptions) -> &mut OpenOptions {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        private(options).custom_flags(flags.bits().cast_signed())
    }

    fn kind(file_type: FileType) -> &'static str {
        if file_type.is_symlink() {
            "symbolic link"
        } else if file_type.is_dir() {
            "directory"
        } else if file_type.is_fifo() {
            "FIFO"
        } else if file_type.is_socket() {
            "socket"
        } else if file_type.is_file() {
            "regular file"
        } else {
            "device"
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::fs::{File, Metadata, OpenOptions};
    use std::io;
    use std::path::Path;

    use crate::files::refusal;

    /// Whom the program acts as, which is of no interest where there are no owners.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(in crate::files) struct User;

    impl User {
        pub(in crate::files) fn effective() -> User {
            User
        }
    }

    pub(in crate::files) fn file(_: &Path, data: &Metadata, _: User) -> io::Result<()> {
        if data.is_file() {
            return Ok(());
        }
        Err(refusal("it is not a regular file: remove it".to_owned()))
    }

    pub(in crate::files) fn narrow_file(_: &Path, _: &File, _: &Metadata) -> io::Result<()> {
        Ok(())
    }

    pub(in crate::files) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
        options
    }

    /// A link is opened itself, and is then no regular file.
    #[cfg(windows)]
    pub(in crate::files) fn follow_nothing(options: &mut OpenOptions) -> &mut OpenOptions {
        const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
        std::os::windows::fs::OpenOptionsExt::custom_flags(options, FILE_FLAG_OPEN_REPARSE_POINT)
    }

    #[cfg(not(windows))]
    pub(in crate::files) fn follow_nothing(options: &mut OpenOptions) -> &mut OpenOptions {
        options
    }
}

//! A system in a directory, with what maintainer scripts and install.sh need and nothing else: entered by chroot.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{as_root, succeed};
use crate::support::temp::TempDir;

const DIRECTORIES: [&str; 10] = [
    "bin",
    "dev",
    "etc/init.d",
    "tmp",
    "usr/sbin",
    "var/lib",
    "var/log",
    "var/lib/dpkg/info",
    "var/lib/dpkg/updates",
    "var/run",
];

const TOOLS: [&str; 21] = [
    "sh", "cat", "chgrp", "chmod", "chown", "cmp", "dirname", "find", "grep", "id", "mkdir", "mv",
    "rm", "rmdir", "sed", "sleep", "tr", "useradd", "userdel", "uname", "ls",
];

/// What the directory of OpenRC holds while the machine runs.
const STATES_OF_OPENRC: [&str; 9] = [
    "daemons",
    "exclusive",
    "failed",
    "inactive",
    "options",
    "started",
    "starting",
    "stopped",
    "stopping",
];

/// The one package that ours needs.
const STATUS: &str = "Package: passwd\nStatus: install ok installed\nMaintainer: x\nArchitecture: all\n\
                      Version: 1\nDescription: x\n\n";

pub struct SmallSystem(TempDir);

impl SmallSystem {
    /// A system on which this program can run; it is copied to /tmp.
    pub fn new(program: &Path) -> SmallSystem {
        let system = SmallSystem(TempDir::new());
        let root = system.root();
        for directory in DIRECTORIES {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        for (file, text) in [
            ("etc/passwd", "root:x:0:0::/:/bin/sh\n"),
            ("etc/group", "root:x:0:\n"),
            ("etc/login.defs", ""),
            ("dev/null", ""),
            ("var/lib/dpkg/status", STATUS),
            ("var/lib/dpkg/info/passwd.list", ""),
            ("var/lib/dpkg/info/format", "1\n"),
        ] {
            std::fs::write(root.join(file), text).unwrap();
        }
        for tool in TOOLS {
            system.copy(tool, "bin");
        }
        system.copy(program.to_str().unwrap(), "tmp");
        system
    }

    pub fn root(&self) -> PathBuf {
        self.0.path().join("system")
    }

    /// Copies a program and its libraries.
    fn copy(&self, tool: &str, place: &str) {
        let search = "PATH=$PATH:/usr/sbin:/sbin command -v \"$0\"";
        let path = succeed(Command::new("sh").args(["-c", search, tool]));
        let path = Path::new(path.trim());
        let name = path.file_name().unwrap();
        std::fs::copy(path, self.root().join(place).join(name)).unwrap();
        self.copy_libraries_of(path);
    }

    /// Those that this machine has.
    fn copy_libraries_of(&self, program: &Path) {
        let libraries = succeed(Command::new("ldd").arg(program));
        for library in libraries
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            let target = self.root().join(library.trim_start_matches('/'));
            std::fs::create_dir_all(target.parent().unwrap()).unwrap();
            std::fs::copy(library, target).unwrap();
        }
    }

    /// Unpacks OpenRC into it, as if the machine had been started by that.
    pub fn add_openrc(&self) {
        let unpacked = std::env::var_os("DBSYNC_TEST_OPENRC")
            .expect("DBSYNC_TEST_OPENRC (run the tests by scripts/test.sh)");
        let root = self.root();
        let mut contents = PathBuf::from(unpacked).into_os_string();
        contents.push("/.");
        succeed(Command::new("cp").arg("-a").arg(contents).arg(&root));
        for directory in STATES_OF_OPENRC {
            std::fs::create_dir_all(root.join("run/openrc").join(directory)).unwrap();
        }
        for (file, text) in [
            ("run/openrc/softlevel", "default\n"),
            ("etc/insserv.conf", ""),
        ] {
            std::fs::write(root.join(file), text).unwrap();
        }
        std::fs::create_dir(root.join("etc/insserv.conf.d")).unwrap();
        std::fs::create_dir(root.join("proc")).unwrap();
        self.copy("start-stop-daemon", "bin");
        self.copy_libraries_of(&root.join("sbin/openrc-run"));
    }

    /// Writes a file, as root.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.root().join(file);
        let script = "mkdir -p \"${1%/*}\" && printf %s \"$0\" >\"$1\"";
        succeed(as_root("sh").args(["-c", script, text]).arg(path));
    }

    /// All files, without dpkg's own and those that useradd makes beside its own.
    pub fn files(&self) -> BTreeSet<String> {
        succeed(
            as_root("find")
                .arg(self.root())
                .args(["!", "-type", "d", "-printf", "%P\n"]),
        )
        .lines()
        .filter(|path| !path.starts_with("var/lib/dpkg/") && !path.ends_with('-'))
        .filter(|path| !["etc/subuid", "etc/subgid", "etc/.pwd.lock"].contains(path))
        .map(str::to_owned)
        .collect()
    }

    /// Mode and owner of a file.
    pub fn mode(&self, file: &str) -> String {
        let path = self.root().join(file);
        let shown = succeed(as_root("stat").args(["-c", "%a %u"]).arg(path));
        shown.trim().to_owned()
    }

    /// What stands behind a user's name, if there is one.
    pub fn user(&self, name: &str) -> Option<Vec<String>> {
        let users = std::fs::read_to_string(self.root().join("etc/passwd")).unwrap();
        users
            .lines()
            .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>())
            .find(|fields| fields[0] == name)
    }

    /// A command in there, by root.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = as_root("chroot");
        command
            .arg(self.root())
            .args(words)
            .env("PATH", "/bin:/usr/sbin:/sbin:/usr/bin");
        command
    }
}

impl Drop for SmallSystem {
    fn drop(&mut self) {
        // Much in it belongs to root.
        let _ = as_root("rm").arg("-rf").arg(self.root()).output();
    }
}

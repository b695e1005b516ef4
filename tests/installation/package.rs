//! The Debian package: what is in it, that it is the same each time, and that dpkg installs and removes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::install::files;
use super::{PROGRAM, as_root, printed, run, said, scripts, stripped, succeed};
use crate::support::temp::TempDir;

/// The beginning of an ELF file for a processor, by its number.
fn program_for(directory: &Path, machine: u8) -> PathBuf {
    let mut header = [0; 64];
    header[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    header[18] = machine;
    let path = directory.join(format!("program-{machine}"));
    std::fs::write(&path, header).unwrap();
    path
}

fn make(binary: &Path, architecture: &str, directory: &Path) -> Command {
    let mut command = Command::new(scripts().join("package-deb.sh"));
    command
        .args(["--texts-from", PROGRAM])
        .arg(binary)
        .arg(architecture)
        .arg(directory)
        .env("SOURCE_DATE_EPOCH", "1700000000");
    command
}

fn made(binary: &Path, architecture: &str, directory: &Path) -> PathBuf {
    let path = succeed(&mut make(binary, architecture, directory));
    PathBuf::from(path.trim())
}

fn version() -> String {
    printed(&["--version"]).trim().replace("dbsync2 ", "")
}

#[test]
fn a_package_made_twice_is_the_same() {
    let directory = TempDir::new();
    for (architecture, machine) in [("amd64", 62), ("arm64", 183), ("armhf", 40)] {
        let binary = program_for(directory.path(), machine);
        let packages = ["first", "second"]
            .map(|name| made(&binary, architecture, &directory.path().join(name)));
        let name = format!("dbsync2_{}_{architecture}.deb", version());
        assert_eq!(
            packages[0].file_name().unwrap().to_str(),
            Some(name.as_str())
        );
        let [first, second] = packages.each_ref().map(|path| std::fs::read(path).unwrap());
        assert!(first == second, "{architecture}");
        let field = |name: &str| {
            succeed(
                Command::new("dpkg-deb")
                    .arg("-f")
                    .arg(&packages[0])
                    .arg(name),
            )
        };
        assert_eq!(field("Architecture").trim(), architecture);
        assert_eq!(field("Version").trim(), version());
        let listing = succeed(
            Command::new("dpkg-deb")
                .arg("-c")
                .arg(&packages[0])
                .env("TZ", "UTC"),
        );
        for line in listing.lines() {
            assert!(line.contains(" root/root "), "{line}");
            assert!(line.contains(" 2023-11-14 22:13 "), "{line}");
        }
    }
}

#[test]
fn a_program_for_another_processor_is_refused() {
    let directory = TempDir::new();
    let binary = program_for(directory.path(), 183);
    for architecture in ["amd64", "armhf", "mips"] {
        let output = run(&mut make(&binary, architecture, directory.path()));
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(architecture), "{}", said(&output));
    }
    assert_eq!(files(directory.path()).len(), 1);
}

/// A system of its own, with what the package's scripts need and nothing else.
fn small_system(root: &Path) {
    for directory in [
        "etc",
        "bin",
        "usr/sbin",
        "var/lib",
        "var/log",
        "var/lib/dpkg/updates",
        "var/lib/dpkg/info",
        "tmp",
    ] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    std::fs::write(root.join("etc/login.defs"), "").unwrap();
    std::fs::create_dir(root.join("dev")).unwrap();
    std::fs::write(root.join("dev/null"), "").unwrap();
    // The one package that ours needs.
    std::fs::write(
        root.join("var/lib/dpkg/status"),
        "Package: passwd\nStatus: install ok installed\nMaintainer: x\nArchitecture: all\nVersion: 1\nDescription: x\n\n",
    )
    .unwrap();
    for tool in [
        "sh", "id", "mkdir", "rmdir", "rm", "chmod", "chown", "chgrp", "useradd", "userdel",
        "sleep", "tr", "grep",
    ] {
        copy_program(root, tool, "bin");
    }
}

/// Copies a program and its libraries.
fn copy_program(root: &Path, tool: &str, place: &str) {
    let search = "PATH=$PATH:/usr/sbin:/sbin command -v \"$0\"";
    let path = succeed(Command::new("sh").args(["-c", search, tool]));
    let path = path.trim();
    std::fs::copy(
        path,
        root.join(place).join(Path::new(path).file_name().unwrap()),
    )
    .unwrap();
    let libraries = succeed(Command::new("ldd").arg(path));
    for library in libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let target = root.join(library.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(library, target).unwrap();
    }
}

/// Files of the system, without dpkg's own and the copies that useradd makes of its files.
fn visible(root: &Path) -> BTreeSet<String> {
    succeed(
        as_root("find")
            .arg(root)
            .args(["!", "-type", "d", "-printf", "%P\n"]),
    )
    .lines()
    .filter(|path| !path.starts_with("var/lib/dpkg/") && !path.ends_with('-'))
    .filter(|path| !["etc/subuid", "etc/subgid", "etc/.pwd.lock"].contains(path))
    .map(str::to_owned)
    .collect()
}

fn dpkg(root: &Path, action: &str, what: &Path) {
    succeed(
        as_root("dpkg")
            .arg(format!("--root={}", root.display()))
            .args(["--force-not-root", "--log=/dev/null", action])
            .arg(what)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    );
}

/// Mode and owner of a file.
fn mode(root: &Path, file: &str) -> String {
    let shown = succeed(as_root("stat").args(["-c", "%a %u"]).arg(root.join(file)));
    shown.trim().to_owned()
}

#[test]
fn dpkg_installs_and_removes_it() {
    let directory = TempDir::new();
    let architecture = succeed(Command::new("dpkg").arg("--print-architecture"));
    let binary = stripped(&directory);
    let package = made(&binary, architecture.trim(), directory.path());
    let root = directory.path().join("system");
    small_system(&root);
    // The program under test needs them; the static one does not.
    copy_program(&root, binary.to_str().unwrap(), "tmp");
    let before = visible(&root);
    let name = Path::new("dbsync2");
    let users = || std::fs::read_to_string(root.join("etc/passwd")).unwrap();
    let data = root.join("var/lib/dbsync2");

    dpkg(&root, "--install", &package);
    let new: BTreeSet<String> = visible(&root).difference(&before).cloned().collect();
    for file in [
        "usr/bin/dbsync2",
        "usr/share/man/man1/dbsync2.1.gz",
        "usr/share/bash-completion/completions/dbsync2",
        "usr/share/zsh/vendor-completions/_dbsync2",
        "usr/share/fish/vendor_completions.d/dbsync2.fish",
        "usr/share/doc/dbsync2/copyright",
        "lib/systemd/system/dbsync2@.service",
        "etc/init.d/dbsync2",
        "etc/default/dbsync2",
    ] {
        assert!(new.contains(file), "{file} is not in {new:?}");
    }
    let shown = succeed(
        as_root("chroot")
            .arg(&root)
            .args(["/usr/bin/dbsync2", "--version"]),
    );
    assert_eq!(shown, printed(&["--version"]));
    let users_now = users();
    let user: Vec<&str> = users_now
        .lines()
        .find_map(|line| line.strip_prefix("dbsync:"))
        .unwrap()
        .split(':')
        .collect();
    let (uid, shell) = (user[1], user[5]);
    assert_eq!(shell, "/usr/sbin/nologin");
    assert_eq!(mode(&root, "var/lib/dbsync2"), format!("700 {uid}"));
    assert_eq!(mode(&root, "var/log/dbsync2"), format!("700 {uid}"));
    assert_eq!(mode(&root, "etc/dbsync2"), "750 0");

    // A change of the admin survives an update and the removal, data even the purge.
    let write = |path: &Path| {
        succeed(as_root("sh").args(["-c", "echo changed >\"$0\""]).arg(path));
    };
    write(&root.join("etc/default/dbsync2"));
    write(&data.join("X-1.json"));
    write(&data.join("dialfire.db"));
    dpkg(&root, "--install", &package);
    let settings = || std::fs::read_to_string(root.join("etc/default/dbsync2"));
    assert_eq!(settings().unwrap(), "changed\n");
    dpkg(&root, "--remove", name);
    assert_eq!(settings().unwrap(), "changed\n");
    assert!(!root.join("usr/bin/dbsync2").exists());
    assert_eq!(mode(&root, "var/lib/dbsync2/X-1.json").len(), 5);
    dpkg(&root, "--purge", name);
    let left: Vec<String> = visible(&root).difference(&before).cloned().collect();
    assert_eq!(left, ["var/lib/dbsync2/dialfire.db"]);
    assert!(users().contains("dbsync:"), "its owner stays with it");

    // Where nothing is worth keeping, nothing is left.
    succeed(as_root("rm").arg(data.join("dialfire.db")));
    dpkg(&root, "--install", &package);
    dpkg(&root, "--purge", name);
    assert_eq!(visible(&root), before);
    assert!(!users().contains("dbsync:"), "{}", users());
    assert!(!data.exists());
    assert!(!root.join("etc/dbsync2").exists());
}

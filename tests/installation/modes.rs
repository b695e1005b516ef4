//! Nobody else may write to what scripts make, whatever the umask of whoever calls them; and what they fetch is what it
//! was when somebody looked at it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::install::install;
use super::{PROGRAM, run, said, scripts, succeed, under_umask_000, with_mode};
use crate::support::temp::TempDir;

#[test]
fn nobody_else_may_write_to_what_is_installed() {
    for service in ["none", "systemd", "sysv", "openrc"] {
        let directory = TempDir::new();
        let root = directory.path().join("root");
        let command = install(&root, &["--service", service, PROGRAM]);
        // The second time over what is there.
        for _ in 0..2 {
            succeed(&mut under_umask_000(&command));
            assert_eq!(with_mode(&root, "022"), "", "{service}");
        }
        if service != "none" {
            assert_eq!(with_mode(&root.join("var/lib/dbsync2"), "077"), "");
            assert_eq!(with_mode(&root.join("var/log/dbsync2"), "077"), "");
            assert_eq!(with_mode(&root.join("etc/dbsync2"), "007"), "");
        }
    }
}

/// A link in place of the file that is about to be moved into place is replaced, not followed.
#[test]
fn installing_follows_no_link_that_somebody_has_left() {
    let directory = TempDir::new();
    let root = directory.path().join("root");
    let theirs = directory.path().join("theirs");
    std::fs::write(&theirs, "theirs").unwrap();
    std::fs::create_dir_all(root.join("usr/local/bin")).unwrap();
    for name in ["dbsync2", "dbsync2.new"] {
        std::os::unix::fs::symlink(&theirs, root.join("usr/local/bin").join(name)).unwrap();
    }
    succeed(&mut install(&root, &["--service", "none", PROGRAM]));
    assert_eq!(std::fs::read_to_string(&theirs).unwrap(), "theirs");
    let program = root.join("usr/local/bin/dbsync2");
    assert!(std::fs::symlink_metadata(program).unwrap().is_file());
}

/// A program that stands for one of the system, and writes down where and in which mode it was called.
fn stand_in(directory: &Path, name: &str, script: &str) {
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn packages_are_fetched_into_a_directory_that_nobody_else_enters() {
    let directory = TempDir::new();
    let programs = directory.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    let seen = directory.path().join("seen");
    stand_in(
        &programs,
        "apt-get",
        &format!("stat -c '%a %U' . >>{}; touch some.deb", seen.display()),
    );
    stand_in(
        &programs,
        "dpkg",
        &format!("echo \"dpkg $*\" >>{}", seen.display()),
    );
    let mut command = Command::new("bash");
    command
        .arg(scripts().join("tools.sh"))
        .arg("openrc")
        .arg(directory.path().join("openrc"))
        .env(
            "PATH",
            format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()),
        );
    let output = run(&mut under_umask_000(&command));
    assert!(output.status.success(), "{}", said(&output));
    let seen = std::fs::read_to_string(seen).unwrap();
    let user = succeed(Command::new("id").arg("-un"));
    let mut lines = seen.lines();
    assert_eq!(lines.next(), Some(format!("700 {}", user.trim()).as_str()));
    assert!(lines.all(|line| line.starts_with("dpkg -x ")), "{seen}");
    assert_eq!(with_mode(&directory.path().join("openrc"), "022"), "");
}

/// All scripts, with their names.
fn texts() -> Vec<(String, String)> {
    let mut texts = Vec::new();
    for directory in ["", "bench", "demo", "service"] {
        for entry in std::fs::read_dir(scripts().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let text = std::fs::read_to_string(&path).unwrap();
                texts.push((path.display().to_string(), text));
            }
        }
    }
    assert!(texts.len() > 20);
    texts
}

#[test]
fn no_script_opens_a_directory_to_everybody_or_trusts_a_package_by_its_name() {
    for (name, text) in texts() {
        for line in text.lines() {
            let open = [
                "chmod 777",
                "chmod 1777",
                "chmod a+w",
                "chmod o+w",
                "chmod -R 777",
            ];
            assert!(
                !open.iter().any(|open| line.contains(open)),
                "{name}: {line}"
            );
        }
        // Commands over several lines.
        for command in text
            .replace("\\\n", " ")
            .lines()
            .filter(|line| line.contains("pip"))
        {
            let installs = command.split_whitespace().any(|word| word == "install");
            if installs && !command.trim_start().starts_with('#') {
                assert!(
                    command.contains("--require-hashes") && command.contains("--only-binary :all:"),
                    "{name}: {command}"
                );
            }
        }
    }
}

#[test]
fn each_package_of_python_has_a_version_and_checksums() {
    for name in ["build.txt", "dependencies.txt", "tests.txt"] {
        let path = scripts().join("requirements").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let mut packages = 0;
        for package in text
            .replace("\\\n", " ")
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            if package.trim().is_empty() {
                continue;
            }
            packages += 1;
            assert!(package.contains("=="), "{package}");
            assert!(package.contains("--hash=sha256:"), "{package}");
        }
        assert!(packages >= 1, "{name}");
    }
}

//! The Debian package: what is in it, that it is the same each time, and that dpkg installs and removes it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::install::files;
use super::small_system::SmallSystem;
use super::{PROGRAM, as_root, printed, run, said, scripts, stripped, succeed, with_mode};
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

#[test]
fn each_program_that_was_built_gets_its_package() {
    let directory = TempDir::new();
    let tree = directory.path();
    succeed(
        Command::new("cp")
            .arg("-r")
            .args([
                scripts(),
                scripts().join("../Cargo.toml"),
                scripts().join("../README.md"),
                scripts().join("../CHANGELOG.md"),
            ])
            .arg(tree),
    );
    let package = || {
        let mut command = Command::new(tree.join("scripts/package-deb.sh"));
        command.env("SOURCE_DATE_EPOCH", "1700000000");
        command
    };
    let nothing_runs = run(&mut package());
    assert_eq!(nothing_runs.status.code(), Some(1));
    assert!(said(&nothing_runs).contains("no program in dist or target/release runs"));

    let with_texts = || {
        let mut command = package();
        command.args(["--texts-from", PROGRAM]);
        command
    };
    std::fs::create_dir(tree.join("dist")).unwrap();
    let nothing_built = run(&mut with_texts());
    assert!(said(&nothing_built).contains("run scripts/build-static.sh"));
    let build = |machine: u8, name: &str, mark: u8| {
        let path = tree.join("dist").join(name);
        std::fs::rename(program_for(tree, machine), &path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.push(mark);
        std::fs::write(&path, bytes).unwrap();
    };
    build(62, "dbsync2-linux-x86_64", 1);
    build(40, "dbsync2-linux-armv7", 7);
    let made = |told: &str| -> Vec<String> {
        told.lines()
            .map(|line| {
                Path::new(line)
                    .file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    let name = |architecture| format!("dbsync2_{}_{architecture}.deb", version());
    let told = succeed(&mut with_texts());
    assert_eq!(made(&told), [name("amd64"), name("armhf")]);
    build(183, "dbsync2-linux-aarch64", 8);
    build(40, "dbsync2-linux-arm", 6);
    let told = succeed(&mut with_texts());
    assert_eq!(made(&told), ["amd64", "arm64", "armhf"].map(name));
    // The one for the older processor runs on both.
    let unpacked = tree.join("unpacked");
    succeed(
        Command::new("dpkg-deb")
            .arg("-x")
            .arg(tree.join("dist").join(name("armhf")))
            .arg(&unpacked),
    );
    let program = std::fs::read(unpacked.join("usr/bin/dbsync2")).unwrap();
    assert_eq!(program.last(), Some(&6));
}

fn dpkg(root: &Path, action: &str, what: &Path) {
    succeed(
        as_root("sh")
            .args(["-c", "umask 000; exec dpkg \"$@\"", "sh"])
            .arg(format!("--root={}", root.display()))
            .args(["--force-not-root", "--log=/dev/null", action])
            .arg(what)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    );
}

#[test]
fn dpkg_installs_and_removes_it() {
    let directory = TempDir::new();
    let architecture = succeed(Command::new("dpkg").arg("--print-architecture"));
    let binary = stripped(&directory);
    let package = made(&binary, architecture.trim(), directory.path());
    let system = SmallSystem::new(&binary);
    let root = system.root();
    let before = system.files();
    let name = Path::new("dbsync2");
    let data = root.join("var/lib/dbsync2");

    dpkg(&root, "--install", &package);
    let new: BTreeSet<String> = system.files().difference(&before).cloned().collect();
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
        "usr/share/doc/dbsync2/examples/webhook.conf",
    ] {
        assert!(new.contains(file), "{file} is not in {new:?}");
    }
    let shown = succeed(&mut system.command(&["/usr/bin/dbsync2", "--version"]));
    assert_eq!(shown, printed(&["--version"]));
    let user = system.user("dbsync").unwrap();
    let uid = &user[2];
    assert_eq!(user[6], "/usr/sbin/nologin");
    assert_eq!(system.mode("var/lib/dbsync2"), format!("700 {uid}"));
    assert_eq!(system.mode("var/log/dbsync2"), format!("700 {uid}"));
    assert_eq!(system.mode("etc/dbsync2"), "750 0");
    for directory in [
        "usr/bin",
        "usr/share",
        "lib/systemd",
        "etc/dbsync2",
        "var/log/dbsync2",
    ] {
        assert_eq!(with_mode(&root.join(directory), "022"), "");
    }

    // A change of the admin survives an update and the removal, data even the purge.
    let write = |path: &Path| {
        succeed(as_root("sh").args(["-c", "echo changed >\"$0\""]).arg(path));
    };
    write(&root.join("etc/default/dbsync2"));
    for file in [
        "X-1.json",
        "X-1.json.old",
        "X-1.lock",
        "X-1.rejected.jsonl",
        "X-1.rejected.jsonl.old",
        "X-1.ledger",
        "X-1.ledger.0123456789abcdef.new",
        "X-1.undelivered.jsonl",
        "X-1.undelivered.damaged.jsonl",
        "status.json",
        ".status.json.0123456789abcdef.new",
    ] {
        write(&data.join(file));
    }
    write(&data.join("dialfire.db"));
    dpkg(&root, "--install", &package);
    let settings = || std::fs::read_to_string(root.join("etc/default/dbsync2"));
    assert_eq!(settings().unwrap(), "changed\n");
    dpkg(&root, "--remove", name);
    assert_eq!(settings().unwrap(), "changed\n");
    assert!(!root.join("usr/bin/dbsync2").exists());
    assert_eq!(system.mode("var/lib/dbsync2/X-1.json").len(), 5);
    dpkg(&root, "--purge", name);
    let left: Vec<String> = system.files().difference(&before).cloned().collect();
    assert_eq!(left, ["var/lib/dbsync2/dialfire.db"]);
    assert!(system.user("dbsync").is_some(), "its owner stays with it");

    // Where nothing is worth keeping, nothing is left.
    succeed(as_root("rm").arg(data.join("dialfire.db")));
    dpkg(&root, "--install", &package);
    dpkg(&root, "--purge", name);
    assert_eq!(system.files(), before);
    assert_eq!(system.user("dbsync"), None);
    assert!(!data.exists());
    assert!(!root.join("etc/dbsync2").exists());
}

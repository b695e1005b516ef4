//! `scripts/install.sh` puts everything in place and takes it away again.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::small_system::SmallSystem;
use super::{PROGRAM, printed, run, said, scripts, stripped, succeed};
use crate::support::temp::TempDir;

pub fn install(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command
        .arg(scripts().join("install.sh"))
        .arg("--destdir")
        .arg(root)
        .args(arguments);
    command
}

/// Paths of all files below a directory.
pub fn files(root: &Path) -> BTreeSet<String> {
    succeed(
        Command::new("find")
            .arg(root)
            .args(["!", "-type", "d", "-printf", "%P\n"]),
    )
    .lines()
    .map(str::to_owned)
    .collect()
}

const COMMON: [&str; 5] = [
    "bin/dbsync2",
    "share/bash-completion/completions/dbsync2",
    "share/fish/vendor_completions.d/dbsync2.fish",
    "share/man/man1/dbsync2.1",
    "share/zsh/site-functions/_dbsync2",
];

fn expected(prefix: &str, service: &[&str]) -> BTreeSet<String> {
    COMMON
        .iter()
        .map(|path| format!("{prefix}/{path}"))
        .chain(service.iter().map(|path| (*path).to_owned()))
        .collect()
}

#[test]
fn what_is_put_in_place_is_taken_away_again() {
    let services: [(&str, &[&str]); 4] = [
        ("none", &[]),
        ("systemd", &["etc/systemd/system/dbsync2@.service"]),
        ("sysv", &["etc/default/dbsync2", "etc/init.d/dbsync2"]),
        ("openrc", &["etc/default/dbsync2", "etc/init.d/dbsync2"]),
    ];
    for (service, theirs) in services {
        let directory = TempDir::new();
        let root = directory.path();
        let told = succeed(&mut install(root, &["--service", service, PROGRAM]));
        assert_eq!(files(root), expected("usr/local", theirs), "{service}");
        for file in files(root) {
            let path = root.join(&file);
            assert!(
                told.contains(&format!("wrote   {}", path.display())),
                "{told}"
            );
            let executable = path.metadata().unwrap().permissions().mode() & 0o777 == 0o755;
            let program = file.ends_with("bin/dbsync2") || file.contains("init.d");
            assert_eq!(executable, program, "{file}");
            if file.contains("init.d") || file.contains("system/") {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(text.contains("/usr/local/bin/dbsync2"), "{file}");
                assert!(!text.contains("/usr/bin/dbsync2"), "{file}");
            }
        }
        let manual = std::fs::read_to_string(root.join("usr/local/share/man/man1/dbsync2.1"));
        assert_eq!(manual.unwrap(), printed(&["--man"]));
        // Twice is as good as once.
        succeed(&mut install(root, &["--service", service, PROGRAM]));
        assert_eq!(files(root), expected("usr/local", theirs), "{service}");
        succeed(&mut install(root, &["--uninstall"]));
        assert_eq!(files(root), BTreeSet::new(), "{service}");
        succeed(&mut install(root, &["--uninstall"]));
    }
}

#[test]
fn settings_and_credentials_of_the_admin_are_kept() {
    let directory = TempDir::new();
    let root = directory.path();
    let arguments = ["--service", "sysv", "--prefix", "/opt/dbsync2", PROGRAM];
    succeed(&mut install(root, &arguments));
    let settings = root.join("etc/default/dbsync2");
    let token = root.join("etc/dbsync2/token");
    std::fs::write(&settings, "DBSYNC_C=MINE\n").unwrap();
    std::fs::write(&token, "SECRET\n").unwrap();
    succeed(&mut install(root, &arguments));
    assert_eq!(
        files(root),
        expected(
            "opt/dbsync2",
            &[
                "etc/default/dbsync2",
                "etc/dbsync2/token",
                "etc/init.d/dbsync2"
            ]
        )
    );
    let told = succeed(&mut install(
        root,
        &["--uninstall", "--prefix", "/opt/dbsync2"],
    ));
    assert!(
        told.contains(&format!("kept    {}", settings.display())),
        "{told}"
    );
    assert_eq!(
        files(root),
        ["etc/default/dbsync2", "etc/dbsync2/token"]
            .map(str::to_owned)
            .into()
    );
    assert_eq!(
        std::fs::read_to_string(&settings).unwrap(),
        "DBSYNC_C=MINE\n"
    );
}

#[test]
fn what_cannot_be_installed_is_refused_with_a_sentence() {
    let directory = TempDir::new();
    let root = directory.path().join("root");
    let foreign = directory.path().join("foreign");
    std::fs::write(&foreign, "\x7fELF of another processor").unwrap();
    for (arguments, words) in [
        (
            vec!["--service", "upstart", PROGRAM],
            "sysv, systemd, openrc or none",
        ),
        (
            vec!["--service", "none", "/nowhere/dbsync2"],
            "there is no program",
        ),
        (
            vec!["--service", "none", foreign.to_str().unwrap()],
            "does not run on this machine",
        ),
        (vec!["--prefix", "opt", PROGRAM], "begins with /"),
        (vec!["--service"], "needs a value"),
    ] {
        let output = run(&mut install(&root, &arguments));
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(!root.exists());
    }
}

#[test]
fn a_real_system_gets_a_user_with_directories_of_its_own() {
    let directory = TempDir::new();
    let system = SmallSystem::new(&stripped(&directory));
    succeed(
        Command::new("cp")
            .arg("-r")
            .arg(scripts())
            .arg(system.root().join("tmp")),
    );
    let dist = system.root().join("tmp/dist");
    std::fs::create_dir(&dist).unwrap();
    std::fs::copy(
        system.root().join("tmp/dbsync2"),
        dist.join(format!("dbsync2-linux-{}", std::env::consts::ARCH)),
    )
    .unwrap();
    // Without a way to make its user, nothing is done.
    let complete = system.files();
    let useradd = system.root().join("bin/useradd");
    let away = directory.path().join("useradd");
    std::fs::rename(&useradd, &away).unwrap();
    let refused = run(&mut system.command(&["sh", "/tmp/scripts/install.sh", "/tmp/dbsync2"]));
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("cannot make the user dbsync"));
    std::fs::rename(&away, &useradd).unwrap();
    assert_eq!(system.files(), complete);

    let before = system.files();
    // Which service it has is found out.
    let told = succeed(&mut system.command(&["sh", "/tmp/scripts/install.sh", "/tmp/dbsync2"]));
    let new: BTreeSet<String> = system.files().difference(&before).cloned().collect();
    assert_eq!(
        new,
        expected("usr/local", &["etc/default/dbsync2", "etc/init.d/dbsync2"])
    );
    assert!(told.contains("made    the user dbsync\n"), "{told}");
    let uid = system.user("dbsync").unwrap()[2].clone();
    assert_eq!(system.mode("var/lib/dbsync2"), format!("700 {uid}"));
    assert_eq!(system.mode("var/log/dbsync2"), format!("700 {uid}"));
    assert_eq!(system.mode("etc/dbsync2"), "750 0");
    let status = run(&mut system.command(&["/etc/init.d/dbsync2", "status"]));
    assert_eq!(status.status.code(), Some(3), "{}", said(&status));
    // Again, as an update, with the program that was built for such machines.
    succeed(&mut system.command(&["sh", "/tmp/scripts/install.sh"]));
    let told = succeed(&mut system.command(&["sh", "/tmp/scripts/install.sh", "--uninstall"]));
    assert!(told.contains("kept    the user dbsync"), "{told}");
    assert_eq!(system.files(), before);
    for gone in ["etc/dbsync2", "var/lib/dbsync2", "var/log/dbsync2"] {
        assert!(!system.root().join(gone).exists(), "{gone}");
    }
}

//! A bare system: no HOME, no directory of the system that can be written to. What the program says, and what it does.

use std::process::{Command, Output};

use super::small_system::SmallSystem;
use super::{as_root, run, said, stripped, succeed};
use crate::support::simulator::{Config, Simulator};
use crate::support::temp::TempDir;

/// A system in which an ordinary user, who has no HOME, may write to /home/data only.
struct Bare {
    sim: Simulator,
    system: SmallSystem,
}

impl Bare {
    fn new() -> Bare {
        let sim = Simulator::start(Config {
            contacts: 20,
            long_texts: false,
            ..Config::default()
        });
        let directory = TempDir::new();
        let system = SmallSystem::new(&stripped(&directory));
        system.write("token", &format!("{}\n", sim.token()));
        for words in [
            &["mkdir", "-p", "/home/data"][..],
            &["chown", "65534:65534", "/home/data"],
            &["chmod", "-R", "a+rX", "/tmp", "/token"],
        ] {
            succeed(&mut system.command(words));
        }
        Bare { sim, system }
    }

    /// Runs it as a user whose environment holds nothing but these variables.
    fn run(&self, mode: &str, variables: &[&str], further: &[&str]) -> Output {
        let mut command = as_root("env");
        command
            .args(["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
            .args(variables)
            .args(["chroot", "--userspec=65534:65534"])
            .arg(self.system.root())
            .args(["/tmp/dbsync2", "--a", mode, "--c", self.sim.campaign()])
            .args(["--token-file", "/token", "--api-url", &self.sim.url()])
            .args(["--url", "sqlite:///home/data/dialfire.db"])
            .args(further);
        run(&mut command)
    }
}

#[test]
fn without_home_and_without_a_place_for_state_it_says_what_to_do() {
    let bare = Bare::new();
    let ended = bare.run("db_init", &[], &[]);
    let said = said(&ended);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    for words in [
        "cannot write a log file: /var/log/dbsync: Permission denied",
        "(give --log-dir); logging to standard output",
        "cannot keep state: /var/opt/dbsync: Permission denied",
        "(check --state-dir)",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let checked = bare.run("check", &[], &[]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(super::said(&checked).contains("(check --state-dir)"));
}

#[test]
fn without_home_it_works_in_the_directory_it_is_given() {
    let bare = Bare::new();
    let ended = bare.run("db_init", &[], &["--state-dir", "/home/data/state"]);
    let said = said(&ended);
    assert_eq!(ended.status.code(), Some(0), "{said}");
    assert!(said.contains("20 contacts fetched"), "{said}");
    let data = bare.system.root().join("home/data");
    let database =
        succeed(
            Command::new("find")
                .arg(&data)
                .args(["-name", "dialfire.db", "-size", "+8k"]),
        );
    assert_eq!(database.lines().count(), 1);
    // Nothing was written elsewhere.
    let elsewhere = succeed(as_root("find").arg(bare.system.root()).args([
        "-user",
        "65534",
        "!",
        "-path",
        "*/home/data*",
    ]));
    assert_eq!(elsewhere, "");
}

#[test]
fn with_home_what_the_system_does_not_take_goes_there() {
    let bare = Bare::new();
    let output = bare.run("db_init", &["HOME=/home/data"], &[]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.starts_with("log file: /home/data/.dbsync/logs/"),
        "{said}"
    );
    let state = succeed(
        as_root("find")
            .arg(bare.system.root().join("home/data/.dbsync"))
            .args(["-maxdepth", "1", "-name", "*.json"]),
    );
    assert_eq!(state.lines().count(), 1, "{state}");
}

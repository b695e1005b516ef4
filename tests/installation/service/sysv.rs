//! The init script: a whole life under several shells, and what it says where it cannot start.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::super::with_mode;
use super::*;

/// The init script under one shell, with one way to start processes.
struct Script<'a> {
    place: &'a Place,
    shell: &'a str,
    launcher: &'a str,
    /// Of the script in `/etc/init.d`, and of its pid file.
    name: &'a str,
}

impl Script<'_> {
    fn run(&self, action: &str) -> Output {
        let variable = |name: &str, value: &Path| format!("{name}={}", value.display());
        // As a machine may start it, by whose umask everybody could write to what it makes.
        run(as_root("sh")
            .args(["-c", "umask 000; exec \"$@\"", "sh", "env"])
            .args(["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
            .arg(variable("DAEMON", &self.place.program()))
            .arg(variable("DEFAULTS", &self.place.path("settings")))
            .arg(variable("PIDFILE", &self.pid_file()))
            .arg(format!("LAUNCHER={}", self.launcher))
            .args(self.shell.split(' '))
            .arg(self.place.path("root/etc/init.d").join(self.name))
            .arg(action))
    }

    /// The action must end with this exit code and say these words.
    fn does(&self, action: &str, code: i32, words: &str) {
        let output = self.run(action);
        let said = said(&output);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{action} under {} with {}: {said}",
            self.shell,
            self.launcher
        );
        assert!(said.contains(words), "{action}: {said}");
    }

    fn pid_file(&self) -> PathBuf {
        self.place.path(&format!("{}.pid", self.name))
    }

    fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.pid_file()).unwrap();
        text.trim().parse().unwrap()
    }
}

impl Drop for Script<'_> {
    fn drop(&mut self) {
        self.run("stop");
    }
}

fn a_whole_life(shell: &str, launcher: &str) {
    let sim = campaign();
    let place = Place::new(&sim, "sysv");
    place.configure(&sim, "");
    let script = Script {
        place: &place,
        shell,
        launcher,
        name: "dbsync2",
    };
    script.does("status", 3, "is not running");
    script.does("try-restart", 0, "");
    script.does("status", 3, "is not running");
    script.does("start", 0, "started as process");
    let first = script.pid();
    script.does("status", 0, &format!("runs as process {first}"));
    place.wait_for_round_of(first);
    let owner = std::fs::metadata(format!("/proc/{first}")).unwrap().uid();
    let wanted = succeed(Command::new("id").args(["-u", USER]));
    assert_eq!(owner.to_string(), wanted.trim());
    for directory in ["data/state", "data/log"] {
        assert_eq!(with_mode(&place.path(directory), "077"), "");
    }
    let pid_file = std::fs::metadata(script.pid_file()).unwrap();
    assert_eq!(pid_file.mode() & 0o7777, 0o644);
    script.does("start", 0, &format!("runs already as process {first}"));
    assert_eq!(script.pid(), first);

    script.does("restart", 0, "started as process");
    let second = script.pid();
    assert_ne!(second, first);
    assert!(!runs(first));
    place.wait_for_round_of(second);

    script.does("try-restart", 0, "started as process");
    let third = script.pid();
    assert!(!runs(second));
    assert!(runs(third));
    script.does("stop", 0, "stopped");
    assert!(!runs(third));
    assert!(!script.pid_file().exists());
    script.does("status", 3, "is not running");
    script.does("stop", 0, "is not running");
}

#[test]
fn the_init_script_under_dash() {
    a_whole_life("dash", "start-stop-daemon");
}

#[test]
fn the_init_script_under_dash_without_start_stop_daemon() {
    a_whole_life("dash", "su");
}

#[test]
fn the_init_script_under_busybox() {
    a_whole_life("busybox ash", "busybox start-stop-daemon");
}

#[test]
fn the_init_script_under_busybox_without_start_stop_daemon() {
    a_whole_life("busybox ash", "su");
}

#[test]
fn the_init_script_says_why_it_cannot_start() {
    let sim = campaign();
    let place = Place::new(&sim, "sysv");
    let script = Script {
        place: &place,
        shell: "dash",
        launcher: "start-stop-daemon",
        name: "dbsync2",
    };
    script.does("", 2, "usage:");
    script.does("halt", 2, "usage:");
    script.does("reload", 3, "restart");
    script.does("start", 6, "set DBSYNC_C in");
    place.configure(&sim, "RUN_AS=nobody-at-all");
    script.does("start", 6, "no user nobody-at-all");
    // Wrong settings end the program at once.
    for wrong in ["DBSYNC_W=0", "DBSYNC_A=nonsense"] {
        place.configure(&sim, wrong);
        script.does("start", 1, "it ended at once");
    }
    script.does("status", 3, "is not running");
    place.configure(&sim, "");
    std::fs::rename(place.program(), place.path("elsewhere")).unwrap();
    script.does("start", 5, "there is no program");
    // A pid file that was left behind, first of no process, then of another program.
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    for pid in [4_194_305, other.id()] {
        std::fs::write(script.pid_file(), format!("{pid}\n")).unwrap();
        script.does("status", 1, "is not running, but");
        script.does("stop", 0, "is not running");
        assert!(!script.pid_file().exists());
    }
    let alive = other.try_wait().unwrap().is_none();
    let _ = other.kill();
    let _ = other.wait();
    assert!(alive, "the other program was stopped");
}

#[test]
fn two_campaigns_do_not_disturb_each_other() {
    let sim = campaign();
    let place = Place::new(&sim, "sysv");
    let link = place.path("root/etc/init.d/dbsync2-second");
    std::os::unix::fs::symlink("dbsync2", link).unwrap();
    for launcher in ["start-stop-daemon", "su"] {
        let [first, second] = ["dbsync2", "dbsync2-second"].map(|name| Script {
            place: &place,
            shell: "dash",
            launcher,
            name,
        });
        place.configure(&sim, "");
        first.does("start", 0, "dbsync2: started as process");
        // It works on another target: else the lock would keep it from starting.
        place.configure(&sim, "DBSYNC_TP=second_");
        second.does("start", 0, "dbsync2-second: started as process");
        assert_ne!(first.pid(), second.pid());
        // After a power cut the number of the first may be that of the second.
        let lost = first.pid();
        std::fs::write(first.pid_file(), format!("{}\n", second.pid())).unwrap();
        first.does("status", 1, "is not running, but");
        first.does("stop", 0, "is not running");
        assert!(runs(second.pid()), "the other campaign was stopped");
        std::fs::write(first.pid_file(), format!("{lost}\n")).unwrap();
        first.does("stop", 0, "stopped");
        second.does("status", 0, "runs as process");
        second.does("stop", 0, "stopped");
        assert!(!runs(lost));
    }
}

#[test]
fn the_init_script_posts_to_a_web_service() {
    let sim = campaign();
    let receiver = Receiver::start();
    let place = Place::new(&sim, "sysv");
    place.post_to(&receiver);
    place.configure(&sim, &format!("DBSYNC_S={}", a_month_ago(&sim)));
    let settings = std::fs::read_to_string(place.path("settings")).unwrap();
    let settings = settings
        .replace("#DBSYNC_A=db_sync", "DBSYNC_A=webhook")
        .replace("#DBSYNC_WEBHOOK_SECRET_FILE", "DBSYNC_WEBHOOK_SECRET_FILE")
        .replace("#DBSYNC_HEADER", "DBSYNC_HEADER");
    std::fs::write(place.path("settings"), settings).unwrap();
    let script = Script {
        place: &place,
        shell: "dash",
        launcher: "start-stop-daemon",
        name: "dbsync2",
    };
    script.does("start", 0, "started as process");
    assert_posted_with_secrets(&receiver);
    let line = std::fs::read(format!("/proc/{}/cmdline", script.pid())).unwrap();
    assert!(String::from_utf8_lossy(&line).ends_with("--a\0webhook\0"));
    script.does("stop", 0, "stopped");
}

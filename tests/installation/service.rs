//! The services of `scripts/service`: started, stopped and restarted, as far as any machine allows.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::install::install;
use super::{as_root, run, said, scripts, stripped, succeed};
use crate::support::simulator::{Config, Simulator};
use crate::support::temp::TempDir;

/// The user that the services run as here: every system has it.
const USER: &str = "nobody";

fn campaign() -> Simulator {
    Simulator::start(Config {
        contacts: 20,
        long_texts: false,
        ..Config::default()
    })
}

/// An installation in a directory of its own, for one campaign and a SQLite file.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new(sim: &Simulator, service: &str) -> Place {
        let directory = TempDir::new();
        let program = stripped(&directory);
        let place = Place { directory };
        let root = place.path("root");
        succeed(&mut install(
            &root,
            &["--service", service, program.to_str().unwrap()],
        ));
        std::fs::write(place.path("token"), format!("{}\n", sim.token())).unwrap();
        std::fs::write(
            place.path("url"),
            format!("sqlite://{}\n", place.path("data/dialfire.db").display()),
        )
        .unwrap();
        std::fs::create_dir(place.path("data")).unwrap();
        let everybody = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(place.path("data"), everybody).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn program(&self) -> PathBuf {
        self.path("root/usr/local/bin/dbsync2")
    }

    /// The settings file as it is delivered, with what this test needs.
    fn configure(&self, sim: &Simulator, further: &str) {
        let delivered = std::fs::read_to_string(scripts().join("service/dbsync2.default")).unwrap();
        let here = self.directory.path().display();
        let settings = delivered
            .replace(
                "#DBSYNC_C=DEMQ2345WXYZ6789",
                &format!("DBSYNC_C={}", sim.campaign()),
            )
            .replace("#RUN_AS=dbsync", &format!("RUN_AS={USER}"))
            .replace("/etc/dbsync2/", &format!("{here}/"))
            .replace("/var/lib/dbsync2", &format!("{here}/data/state"))
            .replace("/var/log/dbsync2", &format!("{here}/data/log"));
        let more = format!(
            "DBSYNC_API_URL={}\nDBSYNC_INTERVAL=50ms\n{further}\n",
            sim.url()
        );
        std::fs::write(self.path("settings"), settings + &more).unwrap();
    }

    fn status(&self) -> Option<serde_json::Value> {
        let read = succeed(
            as_root("sh")
                .args(["-c", "cat \"$0\" 2>/dev/null || true"])
                .arg(self.path("data/state/status.json")),
        );
        serde_json::from_str(&read).ok()
    }

    /// Waits until the process of this number has completed a round.
    fn wait_for_round_of(&self, pid: u32) {
        let begin = Instant::now();
        while !self.status().is_some_and(|status| {
            status["pid"].as_u64() == Some(pid.into()) && status["rounds"].as_u64() > Some(0)
        }) {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{:?}",
                self.status()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What the service wrote belongs to its user.
        let _ = as_root("rm").arg("-rf").arg(self.path("data")).output();
    }
}

/// The init script under one shell, with one way to start processes.
struct Script<'a> {
    place: &'a Place,
    shell: &'a str,
    launcher: &'a str,
}

impl Script<'_> {
    fn run(&self, action: &str) -> Output {
        let variable = |name: &str, value: &Path| format!("{name}={}", value.display());
        run(as_root("env")
            .args(["-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
            .arg(variable("DAEMON", &self.place.program()))
            .arg(variable("DEFAULTS", &self.place.path("settings")))
            .arg(variable("PIDFILE", &self.place.path("pid")))
            .arg(format!("LAUNCHER={}", self.launcher))
            .args(self.shell.split(' '))
            .arg(self.place.path("root/etc/init.d/dbsync2"))
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

    fn pid(&self) -> u32 {
        let text = std::fs::read_to_string(self.place.path("pid")).unwrap();
        text.trim().parse().unwrap()
    }
}

impl Drop for Script<'_> {
    fn drop(&mut self) {
        self.run("stop");
    }
}

/// Whether a process runs; one that has ended, but was not waited for, does not.
fn runs(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn a_whole_life(shell: &str, launcher: &str) {
    let sim = campaign();
    let place = Place::new(&sim, "sysv");
    place.configure(&sim, "");
    let script = Script {
        place: &place,
        shell,
        launcher,
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
    assert!(!place.path("pid").exists());
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
        std::fs::write(place.path("pid"), format!("{pid}\n")).unwrap();
        script.does("status", 1, "is not running, but");
        script.does("stop", 0, "is not running");
        assert!(!place.path("pid").exists());
    }
    let alive = other.try_wait().unwrap().is_none();
    let _ = other.kill();
    let _ = other.wait();
    assert!(alive, "the other program was stopped");
}

/// The one line of a file that begins so, behind the beginning.
fn line(path: &Path, begin: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(begin));
    let line = lines.next().unwrap().to_owned();
    assert_eq!(lines.next(), None);
    line
}

/// A command of the service files, with its paths and the campaign moved to this place.
fn moved(place: &Place, sim: &Simulator, command: &str) -> String {
    let here = place.directory.path().display();
    command
        .replace(
            "/usr/local/bin/dbsync2",
            &place.program().display().to_string(),
        )
        .replace("/usr/bin/dbsync2", &place.program().display().to_string())
        .replace("/etc/dbsync2/", &format!("{here}/"))
        .replace("/var/lib/dbsync2", &format!("{here}/data/state"))
        .replace("/var/log/dbsync2", &format!("{here}/data/log"))
        .replace("${CREDENTIALS_DIRECTORY}", &here.to_string())
        .replace("%i", sim.campaign())
        .replace("CAMPAIGN", sim.campaign())
}

/// A shell as cron starts it.
fn shell(place: &Place, sim: &Simulator, command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", command])
        .env_clear()
        .env("HOME", place.path("data"))
        .env("PATH", "/usr/bin:/bin")
        .env("DBSYNC_API_URL", sim.url())
        .env("DBSYNC_STATE_DIR", place.path("data/state"))
        .env("DBSYNC_LOG_DIR", place.path("data/log"))
        .env("DBSYNC_STATUS_FILE", place.path("data/state/status.json"));
    shell
}

#[test]
fn the_line_for_cron_makes_a_round() {
    let sim = campaign();
    let place = Place::new(&sim, "none");
    let file = scripts().join("service/dbsync2.cron");
    let command = moved(&place, &sim, &line(&file, "* * * * * dbsync "));
    assert!(
        !command.contains('%'),
        "cron takes it for the end: {command}"
    );
    let output = run(&mut shell(&place, &sim, &command));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(said(&output), "");
    assert_eq!(place.status().unwrap()["rounds"], 1);
}

#[test]
fn under_nohup_it_outlives_the_terminal_and_ends_when_told() {
    let sim = campaign();
    let place = Place::new(&sim, "none");
    let command = moved(
        &place,
        &sim,
        &line(&scripts().join("service/nohup.sh"), "nohup "),
    );
    let output = run(&mut shell(
        &place,
        &sim,
        &format!("nohup {command} echo $!"),
    ));
    let pid: u32 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap();
    let signal = |name: &str| {
        succeed(Command::new("kill").args([name, &pid.to_string()]));
    };
    let killed = Killed(pid);
    place.wait_for_round_of(pid);
    signal("-HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(runs(pid));
    signal("-TERM");
    let begin = Instant::now();
    while runs(pid) {
        assert!(begin.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(killed);
}

/// A process that no test leaves behind, whatever happens.
struct Killed(u32);

impl Drop for Killed {
    fn drop(&mut self) {
        if runs(self.0) {
            run(Command::new("kill").args(["-KILL", &self.0.to_string()]));
        }
    }
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let sim = campaign();
    let place = Place::new(&sim, "systemd");
    let installed = place.path("root/etc/systemd/system/dbsync2@.service");
    let text = std::fs::read_to_string(installed).unwrap();
    let unit = place.path(&format!("dbsync2@{}.service", sim.campaign()));
    let program = place.program().display().to_string();
    std::fs::write(&unit, text.replace("/usr/local/bin/dbsync2", &program)).unwrap();
    let verify = run(Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit));
    assert_eq!(said(&verify), "");
    assert!(verify.status.success());
    // In tenths, from 0 (all is closed) to 100.
    succeed(
        Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--threshold=15"])
            .arg(&unit),
    );
}

#[test]
fn what_systemd_starts_runs() {
    let sim = campaign();
    let place = Place::new(&sim, "systemd");
    let unit = place.path("root/etc/systemd/system/dbsync2@.service");
    let command = moved(&place, &sim, &line(&unit, "ExecStart="));
    let variable = moved(&place, &sim, &line(&unit, "Environment="));
    let output = run(&mut shell(
        &place,
        &sim,
        &format!("{variable} {command} --once"),
    ));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let status = place.path(&format!("data/state/{}.status.json", sim.campaign()));
    let status: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(status).unwrap()).unwrap();
    assert_eq!(status["rounds"], 1);
}

#[test]
fn the_openrc_script_starts_the_right_command() {
    let sim = campaign();
    let place = Place::new(&sim, "openrc");
    let script = place.path("root/etc/init.d/dbsync2");
    succeed(Command::new("sh").arg("-n").arg(&script));
    // What openrc-run does with it: reads it, calls start_pre, starts the command.
    let program = "eerror() { echo \"error: $*\"; }; checkpath() { echo \"checkpath $*\"; }; \
                   use() { :; }; after() { :; }; . \"$0\"; depend && start_pre && \
                   echo \"$command $command_args as $command_user, $pidfile\"";
    let mut shells = ["dash", "busybox"].map(Command::new);
    shells[1].arg("ash");
    for shell in &mut shells {
        shell
            .args(["-c", program])
            .arg(&script)
            .env("RC_SVCNAME", "dbsync2-not-configured");
        let refused = run(shell);
        assert_eq!(refused.status.code(), Some(1));
        assert!(said(&refused).starts_with("error: not configured: set DBSYNC_C"));
        let told = succeed(shell.env("DBSYNC_C", "X").env("DBSYNC_A", "any"));
        assert_eq!(
            told,
            "checkpath -d -m 0700 -o dbsync /var/lib/dbsync2 /var/log/dbsync2\n\
             /usr/local/bin/dbsync2 --a any as dbsync, /run/dbsync2-not-configured.pid\n"
        );
    }
}

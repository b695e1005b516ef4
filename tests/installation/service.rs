//! The services of `scripts/service`: started, stopped and restarted, as far as any machine allows.

mod openrc;
mod systemd;
mod sysv;
mod without;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dbsync2::cli::flags;

use super::install::install;
use super::{as_root, run, said, scripts, stripped, succeed};
use crate::support::receiver::Receiver;
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
        // As /tmp: the service's user makes its directories there, and nobody else can exchange them.
        let everybody = std::fs::Permissions::from_mode(0o1777);
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
        let delivered = delivered_settings();
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
        status(&self.path("data/state/status.json"))
    }

    fn wait_for_round_of(&self, pid: u32) {
        wait_for_round_of(pid, &self.path("data/state/status.json"));
    }

    /// From now on it posts to this web service everything of the last month, with keys and a header from files.
    fn post_to(&self, receiver: &Receiver) {
        for (file, text) in [
            ("url", receiver.url()),
            ("keys", KEY.to_owned()),
            ("authorization", AUTHORIZATION.to_owned()),
            ("header", AUTHORIZATION.to_owned()),
        ] {
            std::fs::write(self.path(file), text + "\n").unwrap();
        }
    }
}

/// What a status file holds; nobody but root may read some.
fn status(file: &Path) -> Option<serde_json::Value> {
    let read = succeed(
        as_root("sh")
            .args(["-c", "cat \"$0\" 2>/dev/null || true"])
            .arg(file),
    );
    serde_json::from_str(&read).ok()
}

/// Waits until the process of this number has completed a round, by its status file.
fn wait_for_round_of(pid: u32, file: &Path) {
    wait_until("a round is complete", || {
        status(file).is_some_and(|status| {
            status["pid"].as_u64() == Some(pid.into()) && status["rounds"].as_u64() > Some(0)
        })
    });
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "not so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const AUTHORIZATION: &str = "Bearer of a header from a file";

/// A day on which the campaign has begun already.
fn a_month_ago(sim: &Simulator) -> String {
    (sim.now() - Duration::from_secs(30 * 24 * 3600))
        .date()
        .to_string()
}

/// Something was posted, signed and with the header from the file.
fn assert_posted_with_secrets(receiver: &Receiver) {
    receiver.wait_for(1);
    for arrival in receiver.arrivals() {
        assert_eq!(arrival.header("authorization"), Some(AUTHORIZATION));
        let signature = arrival.header("webhook-signature").unwrap();
        assert!(signature.starts_with("v1,"), "{signature}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What the service wrote belongs to its user.
        let _ = as_root("rm").arg("-rf").arg(self.path("data")).output();
    }
}

/// Whether a process runs; one that has ended, but was not waited for, does not.
fn runs(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

/// The one line of a file that begins so, behind the beginning.
fn line(path: &Path, begin: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(begin));
    let line = lines.next().unwrap().to_owned();
    assert_eq!(lines.next(), None);
    line
}

/// The file in which the settings are explained, as it is delivered.
fn delivered_settings() -> String {
    std::fs::read_to_string(scripts().join("service/dbsync2.default")).unwrap()
}

#[test]
fn each_setting_that_is_delivered_is_known() {
    let text = delivered_settings();
    let known: Vec<String> = flags::all()
        .flat_map(|flag| flag.environment())
        .chain(["HTTPS_PROXY", "RUN_AS"].map(str::to_owned))
        .collect();
    let mut named = Vec::new();
    for line in text.lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        if let Some((name, _)) = line.split_once('=')
            && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        {
            assert!(known.iter().any(|known| known == name), "{name}");
            named.push(name);
        }
    }
    for name in [
        "DBSYNC_A",
        "DBSYNC_URL_FILE",
        "DBSYNC_WEBHOOK_SECRET_FILE",
        "DBSYNC_HEADER",
    ] {
        assert!(named.contains(&name), "{name} is not in {named:?}");
    }
    for secret in ["DBSYNC_CT", "DBSYNC_URL", "DBSYNC_WEBHOOK_SECRET"] {
        assert!(!named.contains(&secret), "everybody may read the settings");
    }
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
        .replace("/run/credentials/%n", &here.to_string())
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
        .env("DBSYNC_INTERVAL", "50ms")
        .env("DBSYNC_STATE_DIR", place.path("data/state"))
        .env("DBSYNC_LOG_DIR", place.path("data/log"))
        .env("DBSYNC_STATUS_FILE", place.path("data/state/status.json"));
    shell
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

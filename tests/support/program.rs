//! The program under test as a process of its own: started, watched, told to stop, killed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::simulator::Simulator;
use super::temp::TempDir;

/// A run that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(240);

/// How to start the program against a simulator and a database. State and log stay from start to start.
pub struct Program {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
    directory: TempDir,
}

/// The words that start the program: the one just built, or that of `DBSYNC_TEST_PROGRAM`, such as
/// `qemu-aarch64-static dist/dbsync2-linux-aarch64`.
fn program() -> Vec<String> {
    let words = std::env::var("DBSYNC_TEST_PROGRAM").unwrap_or_default();
    match words.as_str() {
        "" => match option_env!("CARGO_BIN_EXE_dbsync2") {
            Some(built) => vec![built.to_owned()],
            None => panic!("DBSYNC_TEST_PROGRAM names no program (see scripts/torture.sh)"),
        },
        words => words.split_whitespace().map(str::to_owned).collect(),
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A run under way; killed when dropped.
pub struct Running {
    child: Child,
    directory: PathBuf,
    output: [PathBuf; 2],
    /// Bytes of the log before it was started.
    logged_before: usize,
}

impl Program {
    /// With the simulator's address, campaign and token, and quick retries.
    pub fn new(sim: &Simulator, database_url: &str) -> Self {
        let program = Program {
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
            directory: TempDir::new(),
        };
        let directory = program.directory.path().display().to_string();
        program
            .arg("--c", sim.campaign())
            .arg("--api-url", &sim.url())
            .arg("--url", database_url)
            .arg("--state-dir", &format!("{directory}/state"))
            .arg("--log-dir", &format!("{directory}/log"))
            .arg("--status-file", &format!("{directory}/status.json"))
            .arg("--retry-wait", "2ms")
            .arg("--interval", "20ms")
            .variable("DBSYNC_CT", sim.token())
    }

    /// Adds a flag with its value, in place of an earlier one.
    pub fn arg(mut self, flag: &str, value: &str) -> Self {
        self.set(flag, value);
        self
    }

    /// As [`Program::arg`], for runs to come.
    pub fn set(&mut self, flag: &str, value: &str) {
        self.remove(flag);
        self.arguments.push(format!("{flag}={value}"));
    }

    /// Takes a flag with a value away, for runs to come.
    pub fn remove(&mut self, flag: &str) {
        let start = format!("{flag}=");
        self.arguments.retain(|known| !known.starts_with(&start));
    }

    /// Adds a flag without a value.
    pub fn flag(mut self, flag: &str) -> Self {
        self.arguments.push(flag.to_owned());
        self
    }

    /// Adds a variable of the environment, which is empty otherwise.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves out a flag that [`Program::new`] gives, or a variable.
    pub fn without(mut self, name: &str) -> Self {
        let start = format!("{name}=");
        self.arguments.retain(|known| !known.starts_with(&start));
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Starts it through a shell: the script prepares what the process inherits.
    pub fn after(mut self, script: &str) -> Self {
        let script = format!("{script}; exec \"$@\"");
        self.wrapper = ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
        self
    }

    /// Starts it in a terminal of its own; what is shown there becomes its standard output.
    pub fn in_terminal(mut self) -> Self {
        let script =
            "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
        self.wrapper = ["python3", "-c", script].map(str::to_owned).to_vec();
        self
    }

    /// Starts it with the signals' default effects, whatever the tests were started by: what is ignored (by nohup) is
    /// inherited, and a shell can't change it back.
    pub fn with_default_signals(mut self) -> Self {
        self.wrapper = ["env", "--default-signal=HUP"].map(str::to_owned).to_vec();
        self
    }

    /// Where state, log and status are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Everything logged so far, all files.
    pub fn log(&self) -> String {
        log_in(self.directory.path())
    }

    /// Starts it in a mode.
    pub fn start(&self, mode: &str) -> Running {
        self.start_with(mode, &[])
    }

    /// Starts it in a mode with further flags.
    pub fn start_with(&self, mode: &str, flags: &[&str]) -> Running {
        let output = ["stdout", "stderr"].map(|name| self.directory.path().join(name));
        let [stdout, stderr] = output
            .each_ref()
            .map(|path| std::fs::File::create(path).unwrap());
        let logged_before = self.log().len();
        let mut words = self.wrapper.clone();
        words.extend(program());
        if !mode.is_empty() {
            words.push(format!("--a={mode}"));
        }
        let child = Command::new(&words[0])
            .args(&words[1..])
            .args(&self.arguments)
            .args(flags)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.directory.path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        Running {
            child,
            directory: self.directory.path().to_owned(),
            output,
            logged_before,
        }
    }

    /// Runs it to its end beside one that runs already, whose files it leaves alone.
    pub fn run_beside(&self, mode: &str) -> Ended {
        let words = program();
        let output = Command::new(&words[0])
            .args(&words[1..])
            .arg(format!("--a={mode}"))
            .args(&self.arguments)
            .env_clear()
            .env("HOME", self.directory.path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it to its end.
    pub fn run(&self, mode: &str) -> Ended {
        self.start(mode).wait(LIMIT)
    }

    /// One round of db_sync, which must be a good one.
    pub fn succeed_once(&self) {
        let ended = self.start_with("db_sync", &["--once"]).wait(LIMIT);
        assert_eq!(
            ended.code,
            Some(0),
            "db_sync --once: {}\n{}",
            ended.stdout,
            tail(&self.log())
        );
    }

    /// Runs it to its end, which must be a good one.
    pub fn succeed(&self, mode: &str) -> Ended {
        let ended = self.run(mode);
        assert_eq!(
            ended.code,
            Some(0),
            "{mode}: {}{}\n{}",
            ended.stdout,
            ended.stderr,
            tail(&self.log())
        );
        ended
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGKILL when so much time has passed since `begin`; false if it had ended before.
    pub fn kill_at(mut self, begin: Instant, moment: Duration) -> bool {
        while begin.elapsed() < moment && !self.has_ended() {
            std::thread::sleep(Duration::from_micros(300));
        }
        let alive = !self.has_ended();
        self.kill();
        alive
    }

    /// SIGTERM, or another signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([format!("-{name}"), pid])
                .status()
                .unwrap()
                .success()
        );
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end; kills it and fails after the limit.
    pub fn wait(mut self, limit: Duration) -> Ended {
        let status = self.wait_status(limit);
        let [stdout, stderr] = self.output.each_ref().map(|path| read(path));
        Ended {
            code: status.code(),
            stdout,
            stderr,
        }
    }

    fn wait_status(&mut self, limit: Duration) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if begin.elapsed() > limit {
                self.kill();
                panic!(
                    "the program did not end within {limit:?}:\n{}",
                    tail(&log_in(&self.directory))
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until it has written to its log: from then on it listens to signals.
    pub fn wait_for_log(&mut self) {
        let begin = Instant::now();
        while log_in(&self.directory).len() == self.logged_before && !self.has_ended() {
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "nothing is logged"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The status file, once there is one.
    pub fn status(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&read(&self.directory.join("status.json"))).ok()
    }

    /// Waits until the status file fulfils a condition; fails after a minute, or when the program ends before.
    pub fn wait_until(
        &mut self,
        what: &str,
        condition: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.status().filter(|status| condition(status)) {
                return status;
            }
            let ended = self.has_ended();
            assert!(
                !ended && begin.elapsed() < Duration::from_secs(120),
                "{what}: not seen, ended: {ended}, status {:?}\n{}",
                self.status(),
                tail(&log_in(&self.directory))
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until what Dialfire has by now is copied: one round may be under way, the next one learns what time it is,
    /// and one compares.
    pub fn wait_until_copied(&mut self) {
        self.wait_rounds(3);
    }

    /// Waits until so many rounds were completed from now on.
    pub fn wait_rounds(&mut self, more: u64) {
        let rounds = |status: &serde_json::Value| status["rounds"].as_u64().unwrap();
        let now = self.status().map_or(0, |status| rounds(&status));
        self.wait_until("more rounds", |status| rounds(status) >= now + more);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log_in(directory: &Path) -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory.join("log"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        // A test may have put a FIFO there, which would not end.
        .filter(|path| std::fs::symlink_metadata(path).is_ok_and(|data| data.is_file()))
        .collect();
    // Names have the second and the process, and the next process may have a smaller number.
    files.sort_by_key(|path| (modified(path), path.clone()));
    files.iter().map(|path| read(path)).collect()
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    std::fs::metadata(path)
        .and_then(|data| data.modified())
        .ok()
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = std::fs::File::open(path) {
        file.read_to_end(&mut bytes).unwrap();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The last lines of a log, for messages.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// Fails unless the log has one error, and it says that the contacts were lost, as a test has deleted them.
pub fn assert_only_contacts_lost(log: &str) {
    let errors: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("[ERROR]"))
        .collect();
    assert!(
        matches!(errors[..], [error] if error.contains("into the table contacts are not there")),
        "{errors:#?}"
    );
}

//! What another user of the computer may have prepared in the place of a file or directory: neither followed, nor waited
//! for, nor overwritten, nor read; the program ends with a sentence that says what to do, and `check` says it before.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::program::{Ended, Program, tail};
use crate::support::receiver::{Receiver, Reply};
use crate::support::simulator::{Config, Simulator};
use crate::support::temp::TempDir;

mod sqlite;

/// What is in the file that the neighbour wants to have read or written.
const SECRET: &str = "a line that only its owner may read";

/// The user `nobody` of every system.
const NOBODY: u32 = 65534;

fn campaign() -> Simulator {
    Simulator::start(Config {
        contacts: 20,
        long_texts: false,
        ..Config::default()
    })
}

fn is_root() -> bool {
    own_uid() == 0
}

/// The user that runs the tests, by a file that belongs to him.
fn own_uid() -> u32 {
    let own = TempDir::new();
    fs::metadata(own.path()).unwrap().uid()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A file somewhere else, and whether it is still as it was.
struct Target {
    directory: TempDir,
}

impl Target {
    fn new() -> Target {
        let target = Target {
            directory: TempDir::new(),
        };
        fs::write(target.path(), SECRET).unwrap();
        set_mode(&target.path(), 0o640);
        target
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("theirs")
    }

    fn assert_untouched(&self, what: &str) {
        assert_eq!(fs::read_to_string(self.path()).unwrap(), SECRET, "{what}");
        let mode = fs::metadata(self.path()).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o640, "{what}");
        assert_eq!(
            fs::read_dir(self.directory.path()).unwrap().count(),
            1,
            "{what}"
        );
    }
}

/// What is put in the place of a file, and what the program says of it.
#[derive(Debug, Clone, Copy)]
enum Trap {
    Link,
    DanglingLink,
    HardLink,
    Fifo,
    Directory,
    OfNobody,
}

impl Trap {
    /// Those that this user can set.
    fn all() -> Vec<Trap> {
        let mut all = vec![
            Trap::Link,
            Trap::DanglingLink,
            Trap::HardLink,
            Trap::Fifo,
            Trap::Directory,
        ];
        // Without root nobody can give a file away: the rule is then proved by the tests of src/files, which ask as
        // another user.
        if is_root() {
            all.push(Trap::OfNobody);
        }
        all
    }

    fn set(self, path: &Path, target: &Target) {
        if fs::symlink_metadata(path).is_ok() {
            fs::remove_file(path).unwrap();
        }
        match self {
            Trap::Link => symlink(target.path(), path).unwrap(),
            Trap::DanglingLink => {
                symlink(target.directory.path().join("not-there"), path).unwrap();
            }
            Trap::HardLink => fs::hard_link(target.path(), path).unwrap(),
            Trap::Fifo => make_fifo(path),
            Trap::Directory => fs::create_dir(path).unwrap(),
            Trap::OfNobody => {
                fs::write(path, "{}").unwrap();
                chown(path, Some(NOBODY), None).unwrap();
            }
        }
    }

    fn remove(self, path: &Path) {
        match self {
            Trap::Directory => fs::remove_dir(path).unwrap(),
            _ => fs::remove_file(path).unwrap(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Trap::Link | Trap::DanglingLink => {
                "it is a symbolic link, not a regular file: remove it"
            }
            Trap::HardLink => "it has 2 names (hard links)",
            Trap::Fifo => "it is a FIFO, not a regular file: remove it",
            Trap::Directory => "it is a directory, not a regular file: remove it",
            Trap::OfNobody => "it belongs to user 65534",
        }
    }
}

/// It ended at once, with code 1, and named the path and these words; nothing of the secret is anywhere.
fn assert_refused(program: &Program, ended: &Ended, path: &Path, words: &str) {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    let context = format!("{}: {words}: {said}", path.display());
    assert_eq!(ended.code, Some(1), "{context}");
    assert!(said.contains(&path.display().to_string()), "{context}");
    assert!(said.contains(words), "{context}");
    assert!(!said.contains(SECRET), "{context}");
    for directory in ["state", "log"] {
        for entry in fs::read_dir(program.directory().join(directory))
            .into_iter()
            .flatten()
        {
            let entry = entry.unwrap();
            let data = fs::symlink_metadata(entry.path()).unwrap();
            if data.is_file() && data.nlink() == 1 {
                let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
                assert!(!text.contains(SECRET), "{context}");
            }
        }
    }
}

/// The beginning of the names of all files of the state directory.
fn stem(program: &Program) -> String {
    let entries = fs::read_dir(program.directory().join("state")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let lock = names
        .into_iter()
        .find_map(|name| name.strip_suffix(".lock").map(str::to_owned));
    lock.unwrap()
}

/// Sets each trap in the place of each file, in a state directory that was in use.
fn no_trap_catches(program: &Program, mode: &str, flags: &[&str], names: &[&str]) {
    let run = |mode: &str, flags: &[&str]| {
        program
            .start_with(mode, flags)
            .wait(Duration::from_secs(60))
    };
    let good = run(mode, flags);
    assert_eq!(
        good.code,
        Some(0),
        "{}\n{}",
        good.stdout,
        tail(&program.log())
    );
    let target = Target::new();
    let stem = stem(program);
    for name in names {
        let path = program
            .directory()
            .join("state")
            .join(format!("{stem}.{name}"));
        let kept = fs::read(&path).ok();
        for trap in Trap::all() {
            trap.set(&path, &target);
            let ended = run(mode, flags);
            assert_refused(program, &ended, &path, trap.words());
            let checked = run("check", &[]);
            assert_refused(program, &checked, &path, trap.words());
            let what = format!("{trap:?} in place of {name}");
            target_is_untouched(&target, trap, &path, &what);
        }
        if let Some(kept) = kept {
            fs::write(&path, kept).unwrap();
        }
    }
    let good = run(mode, flags);
    assert_eq!(
        good.code,
        Some(0),
        "{}\n{}",
        good.stdout,
        tail(&program.log())
    );
}

fn target_is_untouched(target: &Target, trap: Trap, path: &Path, what: &str) {
    // It is still there: neither replaced nor removed.
    trap.remove(path);
    target.assert_untouched(what);
}

#[test]
fn no_trap_in_the_state_directory_catches_a_copy() {
    let sim = campaign();
    let program = program(&sim);
    no_trap_catches(
        &program,
        "db_init",
        &[],
        &[
            "json",
            "json.old",
            "json.new",
            "damaged.json",
            "lock",
            "lost",
            "rejected.jsonl",
            "rejected.jsonl.old",
        ],
    );
}

#[test]
fn no_trap_in_the_state_directory_catches_the_webhook() {
    let sim = campaign();
    let receiver = Receiver::start();
    let program = Program::new(&sim, &receiver.url());
    no_trap_catches(
        &program,
        "webhook",
        &["--once"],
        &[
            "json",
            "lock",
            "ledger",
            "ledger.new",
            "undelivered.jsonl",
            "undelivered.jsonl.new",
            "undelivered.damaged.jsonl",
        ],
    );
}

/// A program whose database lies beside its other files.
fn program(sim: &Simulator) -> Program {
    let program = Program::new(sim, "sqlite:");
    let url = format!("sqlite://{}/dialfire.db", program.directory().display());
    program.arg("--url", &url)
}

#[test]
fn no_trap_in_the_log_directory_catches_a_round() {
    let sim = campaign();
    let program = program(&sim);
    program.succeed_once();
    let log = fs::read_dir(program.directory().join("log")).unwrap();
    let path = log.map(|entry| entry.unwrap().path()).next().unwrap();
    let target = Target::new();
    for trap in Trap::all() {
        trap.set(&path, &target);
        let ended = program
            .start_with("db_sync", &["--once"])
            .wait(Duration::from_secs(60));
        assert_refused(&program, &ended, &path, trap.words());
        target_is_untouched(&target, trap, &path, &format!("{trap:?}"));
    }
    program.succeed_once();
    // Names of the coming minutes: another name is taken.
    for trap in [Trap::Link, Trap::DanglingLink, Trap::Fifo] {
        let now = time::OffsetDateTime::now_utc();
        let format = time::macros::format_description!("[year][month][day][hour][minute][second]");
        let traps: Vec<PathBuf> = (0..90)
            .map(|second| {
                let stamp = (now + Duration::from_secs(second)).format(format).unwrap();
                let name = format!("{}_db_init_{stamp}.log", sim.campaign());
                program.directory().join("log").join(name)
            })
            .collect();
        for path in &traps {
            trap.set(path, &target);
        }
        program.succeed("db_init");
        for path in traps {
            let _ = fs::remove_file(path);
        }
        target.assert_untouched(&format!("{trap:?}"));
    }
}

#[test]
fn no_trap_in_place_of_the_status_file_catches_it() {
    let sim = campaign();
    let program = program(&sim);
    let path = program.directory().join("status.json");
    let target = Target::new();
    for trap in Trap::all() {
        trap.set(&path, &target);
        for mode in ["db_init", "check"] {
            assert_refused(&program, &program.run(mode), &path, trap.words());
        }
        target_is_untouched(&target, trap, &path, &format!("{trap:?}"));
    }
    let before = fs::metadata("/dev/null").unwrap();
    for mode in ["db_init", "check"] {
        let ended = program
            .start_with(mode, &["--status-file=/dev/null"])
            .wait(Duration::from_secs(60));
        assert_refused(
            &program,
            &ended,
            Path::new("/dev/null"),
            "it is a device, not a regular file",
        );
    }
    let after = fs::metadata("/dev/null").unwrap();
    assert_eq!((before.ino(), before.rdev()), (after.ino(), after.rdev()));
    program.succeed("db_init");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn files_that_others_may_write_to_are_narrowed_before_rows_go_in() {
    let sim = campaign();
    let receiver = Receiver::start();
    receiver.behave(|_| Reply::status(422));
    let program = Program::new(&sim, &receiver.url());
    let once = || {
        program
            .start_with("webhook", &["--once"])
            .wait(Duration::from_secs(120))
    };
    assert_eq!(once().code, Some(0), "{}", tail(&program.log()));
    let stem = stem(&program);
    let state = program.directory().join("state");
    for name in ["json", "lock", "ledger", "undelivered.jsonl"] {
        let path = state.join(format!("{stem}.{name}"));
        if !path.exists() {
            fs::write(&path, "").unwrap();
        }
        set_mode(&path, 0o666);
    }
    for log in fs::read_dir(program.directory().join("log")).unwrap() {
        set_mode(&log.unwrap().path(), 0o666);
    }
    assert_eq!(once().code, Some(0), "{}", tail(&program.log()));
    for directory in ["state", "log"] {
        for entry in fs::read_dir(program.directory().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    assert!(
        program
            .log()
            .contains("was open to others (mode 666): now it is for its owner alone")
    );
}

/// The directory is refused by every mode that would use it, and by `check`.
fn assert_directory_refused(program: &Program, directory: &Path, words: &[&str]) {
    for mode in ["db_init", "check"] {
        let ended = program.run(mode);
        for words in words {
            assert_refused(program, &ended, directory, words);
        }
    }
}

#[test]
fn a_directory_that_others_may_write_to_is_refused_or_narrowed() {
    let sim = campaign();
    for name in ["state", "log"] {
        let program = program(&sim);
        let directory = program.directory().join(name);
        fs::create_dir(&directory).unwrap();
        for mode in [0o777, 0o775, 0o1777] {
            set_mode(&directory, mode);
            if is_root() || mode == 0o1777 {
                let words = [
                    format!("mode {mode:o}"),
                    format!("chmod go-w {}", directory.display()),
                ];
                assert_directory_refused(
                    &program,
                    &directory,
                    &words.each_ref().map(String::as_str),
                );
                assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o7777, mode);
                assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
            } else {
                program.succeed("db_init");
                assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o7777, 0o755);
                fs::remove_dir_all(&directory).unwrap();
                fs::create_dir(&directory).unwrap();
            }
        }
        set_mode(&directory, 0o755);
        program.succeed("db_init");
    }
}

#[test]
fn a_directory_that_others_could_exchange_is_refused() {
    let sim = campaign();
    for (flag, name) in [
        ("--state-dir", "state"),
        ("--log-dir", "log"),
        ("--status-file", "status.json"),
    ] {
        let program = program(&sim);
        let above = program.directory().join("above");
        fs::create_dir(&above).unwrap();
        let program = program.arg(flag, &above.join(name).display().to_string());
        set_mode(&above, 0o777);
        let words = format!("chmod go-w {}", above.display());
        assert_directory_refused(&program, &above, &["mode 777", &words]);
        assert_eq!(fs::read_dir(&above).unwrap().count(), 0);
        // As /tmp.
        set_mode(&above, 0o1777);
        program.succeed("db_init");
        program.succeed("check");
    }
}

/// As root: all that another user owns. As anybody else: what root would be asked the same way, see src/files.
#[test]
fn what_belongs_to_another_user_is_refused() {
    if !is_root() {
        let roots = dbsync2::files::open(Path::new("/etc/passwd")).unwrap_err();
        assert!(dbsync2::files::is_refusal(&roots), "{roots}");
        assert!(roots.to_string().starts_with("it belongs to user 0"));
        return;
    }
    let sim = campaign();
    for (flag, name) in [
        ("--state-dir", "state"),
        ("--log-dir", "log"),
        ("--status-file", "status.json"),
    ] {
        let mut program = program(&sim);
        let theirs = program.directory().join("theirs");
        fs::create_dir(&theirs).unwrap();
        chown(&theirs, Some(NOBODY), None).unwrap();
        let words = format!("user {NOBODY}");
        program.set(flag, &theirs.join(name).display().to_string());
        assert_directory_refused(&program, &theirs, &[&words, "this program runs as user 0"]);
        // The directory itself.
        if flag != "--status-file" {
            program.set(flag, &theirs.display().to_string());
            assert_directory_refused(&program, &theirs, &[&words, "chown -R 0"]);
        }
        assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0);
        // A way of theirs to a directory of root's.
        let roots = program.directory().join("roots");
        fs::create_dir(&roots).unwrap();
        let link = program.directory().join("link");
        symlink(&roots, &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(NOBODY), None).unwrap();
        program.set(flag, &link.join(name).display().to_string());
        assert_directory_refused(&program, &link, &[&words]);
        assert_eq!(fs::read_dir(&roots).unwrap().count(), 0);
    }
}

/// The same user's own directories are good, whoever he is: as root for nobody, else for the one who runs the tests.
#[test]
fn an_ordinary_user_works_in_his_own_directories() {
    let sim = campaign();
    let place = TempDir::new();
    let copy = place.path().join("dbsync2");
    fs::copy(env!("CARGO_BIN_EXE_dbsync2"), &copy).unwrap();
    set_mode(&copy, 0o755);
    let mut program = program(&sim);
    if is_root() {
        chown(program.directory(), Some(NOBODY), Some(NOBODY)).unwrap();
        program = program.after(&format!(
            "shift; exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups '{}' \"$@\"",
            copy.display()
        ));
    }
    let user = fs::metadata(program.directory()).unwrap().uid();
    for mode in ["check", "db_init", "check"] {
        program.succeed(mode);
    }
    let state = program.directory().join("state");
    let lock = state.join(format!("{}.lock", stem(&program)));
    assert_eq!(fs::metadata(&lock).unwrap().uid(), user);
    assert!(
        !program.log().contains("SQLite database"),
        "{}",
        tail(&program.log())
    );
    // And root, who could, does not: he would leave files there that the user can't open.
    if is_root() {
        let url = format!("sqlite://{}/second.db", place.path().display());
        let roots = Program::new(&sim, &url).arg("--state-dir", &state.display().to_string());
        let ended = roots.run("db_init");
        assert_refused(&roots, &ended, &state, "run it as that user");
    }
    // What others may write to is narrowed, if it is his.
    set_mode(&state, 0o777);
    program.succeed("db_init");
    assert_eq!(fs::metadata(&state).unwrap().mode() & 0o7777, 0o755);
    assert!(program.log().contains("now they no longer can"));
}

#[test]
fn secrets_may_come_through_pipes_and_links() {
    let sim = campaign();
    let secrets = TempDir::new();
    let token = secrets.path().join("token");
    fs::write(&token, format!("{}\nmore\n", sim.token())).unwrap();
    set_mode(&token, 0o600);
    symlink(&token, secrets.path().join("link")).unwrap();
    let link = format!("--token-file={}", secrets.path().join("link").display());
    let program = program(&sim).without("DBSYNC_CT");
    let ended = program
        .start_with("db_init", &[&link])
        .wait(Duration::from_secs(60));
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let program = program.after(&format!(
        "exec bash -c '\"$@\" --token-file <(cat {})' bash \"$@\"",
        token.display()
    ));
    program.succeed("db_init");
}

//! SQLite's database, which other programs use, too: what nobody but an attacker would prepare is refused, and what an app
//! may have made is used, with a warning.

use std::os::unix::fs::lchown;

use super::*;
use crate::support::compare::assert_equal;
use crate::support::database::Database;
use crate::support::servers::Kind;
use crate::support::simulator::TruthFilter;

/// A program that writes to `dialfire.db` in a directory of its own, and that directory.
fn program_at(sim: &Simulator, mode: u32) -> (Program, PathBuf) {
    let program = Program::new(sim, "sqlite:");
    let directory = program.directory().join("data");
    fs::create_dir(&directory).unwrap();
    set_mode(&directory, mode);
    let url = format!("sqlite://{}/dialfire.db", directory.display());
    (program.arg("--url", &url), directory)
}

fn assert_copied(sim: &Simulator, directory: &Path) {
    let url = format!("sqlite:{}/dialfire.db", directory.display());
    assert_equal(
        sim,
        &TruthFilter::default(),
        &Database::at(Kind::Sqlite, url),
    );
}

/// Both say so, and nothing is written.
fn assert_database_refused(program: &Program, path: &Path, words: &str) {
    for mode in ["check", "db_init"] {
        assert_refused(program, &program.run(mode), path, words);
    }
}

#[test]
fn no_trap_in_the_place_of_a_database_or_beside_it_catches() {
    let sim = campaign();
    let (program, directory) = program_at(&sim, 0o755);
    let target = Target::new();
    for name in [
        "dialfire.db",
        "dialfire.db-wal",
        "dialfire.db-shm",
        "dialfire.db-journal",
    ] {
        let path = directory.join(name);
        let traps: &[Trap] = match name {
            // A link of this user is one of the admin's.
            "dialfire.db" => &[Trap::HardLink, Trap::Fifo],
            _ => &[Trap::Link, Trap::DanglingLink, Trap::HardLink, Trap::Fifo],
        };
        for trap in traps {
            trap.set(&path, &target);
            assert_database_refused(&program, &path, trap.words());
            target_is_untouched(&target, *trap, &path, &format!("{trap:?} at {name}"));
        }
    }
    if is_root() {
        let path = directory.join("dialfire.db");
        symlink(target.path(), &path).unwrap();
        lchown(&path, Some(NOBODY), None).unwrap();
        assert_database_refused(&program, &path, "is a symbolic link of user 65534");
        target_is_untouched(&target, Trap::Link, &path, "a link of nobody's");
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    // A link of the admin's to another directory.
    let elsewhere = TempDir::new();
    symlink(
        elsewhere.path().join("dialfire.db"),
        directory.join("dialfire.db"),
    )
    .unwrap();
    for mode in ["check", "db_init", "check"] {
        program.succeed(mode);
    }
    assert_copied(&sim, elsewhere.path());
    let log = program.log();
    let warned = |line: &str| line.contains("[WARN ]") && line.contains("SQLite database");
    assert!(!log.lines().any(warned), "{}", tail(&log));
}

#[test]
fn a_directory_that_is_open_to_all_is_no_place_for_a_database_of_root() {
    let sim = campaign();
    let (program, directory) = program_at(&sim, 0o777);
    if is_root() {
        assert_database_refused(&program, &directory, "others can exchange what is in");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    } else {
        let checked = program.succeed("check");
        assert!(
            checked.stdout.contains("others can exchange what is in"),
            "{checked:?}"
        );
        program.succeed("db_init");
        assert!(program.log().contains("others can exchange what is in"));
    }
    // As /tmp: anybody can make a file there, but for a name that is taken.
    set_mode(&directory, 0o1777);
    if is_root() {
        let path = directory.join("dialfire.db");
        fs::write(&path, "").unwrap();
        set_mode(&path, 0o666);
        chown(&path, Some(NOBODY), None).unwrap();
        assert_database_refused(&program, &path, "it belongs to user 65534");
        assert_eq!(fs::read(&path).unwrap(), b"");
        fs::remove_file(&path).unwrap();
    }
    program.succeed("db_init");
    program.succeed("check");
    assert_copied(&sim, &directory);
}

/// An app's database, which root copies into; it stays the app's.
#[test]
fn a_database_of_another_user_is_used_by_root_with_a_warning() {
    let sim = campaign();
    let (program, directory) = program_at(&sim, 0o755);
    if !is_root() {
        // Who runs the tests can give no file away. His own gives no reason for a warning.
        let checked = program.succeed("check");
        assert!(!checked.stdout.contains("other users"), "{checked:?}");
        return;
    }
    let url = format!("sqlite:{}/dialfire.db", directory.display());
    let path = directory.join("dialfire.db");
    Database::at(Kind::Sqlite, url).execute("CREATE TABLE app (x); INSERT INTO app VALUES (1)");
    let words = "it belongs to user 65534, who can read and change all that it holds";
    for (file, line) in [
        (&path, words),
        (
            &directory,
            "belongs to user 65534, who can exchange what is in it",
        ),
    ] {
        chown(file, Some(NOBODY), Some(NOBODY)).unwrap();
        let checked = program.succeed("check");
        assert!(
            checked.stdout.contains("other users") && checked.stdout.contains(line),
            "{checked:?}"
        );
        program.succeed("db_init");
        let log = program.log();
        let warned = log
            .lines()
            .any(|logged| logged.contains("WARN") && logged.contains(line));
        assert!(warned, "{}", tail(&log));
        assert_copied(&sim, &directory);
        assert_eq!(fs::metadata(&path).unwrap().uid(), NOBODY);
    }
}

#[test]
fn a_file_that_others_may_write_to_is_said_once_in_a_run() {
    let sim = campaign();
    let place = TempDir::new();
    let file = place.path().join("test.db");
    let program = Program::new(&sim, &format!("sqlite:{}", file.display()));
    program.succeed("db_init");
    set_mode(&file, 0o666);
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    for number in 0..2 {
        // A file in the place of the open one: it is opened again.
        let copy = place.path().join(format!("copy{number}"));
        fs::copy(&file, &copy).unwrap();
        set_mode(&copy, 0o666);
        fs::rename(&copy, &file).unwrap();
        sim.advance(Duration::from_secs(3600));
        running.wait_until_copied();
    }
    running.signal("TERM");
    running.wait(Duration::from_secs(60));
    let log = program.log();
    let said = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    // What was written since is in the last one.
    let url = format!("sqlite:{}", file.display());
    let database = Database::at(Kind::Sqlite, url);
    assert_equal(&sim, &TruthFilter::default(), &database);
    assert_eq!(said("everybody may write to it (mode 666)"), 1, "{log}");
}

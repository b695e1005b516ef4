#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::*;
use crate::cli::{Parsed, parse};
use crate::scratch::Scratch;
use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use time::macros::datetime;

const START: OffsetDateTime = datetime!(2024-03-05 9:15:42.9 UTC);

#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings(more: &[&str]) -> Settings {
    let line = ["--a=db_sync", "--c=CAMP", "--ct=T", "--url=sqlite:///x"];
    match parse(line.iter().chain(more).map(OsString::from), &|_| None) {
        Ok(Parsed::Run(settings)) => *settings,
        other => panic!("{other:?}"),
    }
}

/// The lines without their times, after a check of these.
fn texts(log: &str) -> Vec<String> {
    log.lines()
        .map(|line| {
            let (time, text) = line.split_once(' ').unwrap();
            assert!(
                time.len() == 24 && time.ends_with('Z') && time.as_bytes()[19] == b'.',
                "{line}"
            );
            let rfc3339 = time::format_description::well_known::Rfc3339;
            assert!(OffsetDateTime::parse(time, &rfc3339).is_ok(), "{line}");
            text.to_owned()
        })
        .collect()
}

fn write(logger: &dyn Log, target: &str, level: Level, text: &str) {
    logger.log(
        &Record::builder()
            .target(target)
            .level(level)
            .args(format_args!("{text}"))
            .build(),
    );
}

/// What a line of each level and origin leaves in the file and on the screen.
fn log_everything(levels: Levels, with_file: bool) -> (Vec<String>, Vec<String>) {
    let scratch = Scratch::new().unwrap();
    let file = RotatingLog::create(scratch.path(), "C", LIMITS, clock_from(START)).unwrap();
    let path = file.path().to_owned();
    let screen = Screen::default();
    let logger = Logger::new(
        levels,
        with_file.then_some(file),
        Box::new(screen.clone()),
        None,
    );
    for level in Level::iter() {
        let name = level.as_str().to_lowercase();
        write(&logger, "dbsync2", level, &format!("{name} of ours"));
    }
    write(&logger, "dbsync2::sync", Level::Info, "deep");
    for level in Level::iter() {
        write(&logger, "rustls::client", level, "foreign");
        write(&logger, "dbsync2_other", level, "foreign");
    }
    let on_screen = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
    (texts(&fs::read_to_string(path).unwrap()), texts(&on_screen))
}

const OURS: [&str; 5] = [
    "[ERROR] error of ours",
    "[WARN ] warn of ours",
    "[INFO ] info of ours",
    "[DEBUG] debug of ours",
    "[INFO ] deep",
];
const FOREIGN: [&str; 4] = [
    "[ERROR] foreign",
    "[ERROR] foreign",
    "[WARN ] foreign",
    "[WARN ] foreign",
];

#[test]
fn errors_go_to_both_and_details_where_they_are_asked_for() {
    let levels = |more: &[&str]| Levels::new(&settings(more), true);

    let (file, screen) = log_everything(levels(&[]), true);
    assert_eq!(file, [&OURS[..3], &OURS[4..], &FOREIGN].concat());
    assert_eq!(screen, [&OURS[..1], &FOREIGN[..2]].concat());

    let (file, screen) = log_everything(levels(&["--v", "--l=2"]), true);
    assert_eq!(file, [&OURS[..2], &FOREIGN].concat());
    assert_eq!(screen, [&OURS[..], &FOREIGN].concat());

    let (file, screen) = log_everything(levels(&["--l=0"]), true);
    assert_eq!(file, [""; 0]);
    assert_eq!(screen, [&OURS[..1], &FOREIGN[..2]].concat());

    let (file, _) = log_everything(levels(&["--l=5"]), true);
    assert_eq!(file, [&OURS[..], &FOREIGN].concat());
}

#[test]
fn without_a_file_the_screen_gets_what_the_file_would() {
    let levels = |more: &[&str]| Levels::new(&settings(more), false);
    let (_, screen) = log_everything(levels(&[]), false);
    assert_eq!(screen, [&OURS[..3], &OURS[4..], &FOREIGN].concat());
    assert_eq!(levels(&["--l=0"]).stdout, LevelFilter::Error);
    assert_eq!(levels(&["--l=1"]).stdout, LevelFilter::Error);
    assert_eq!(levels(&["--l=3"]).stdout, LevelFilter::Info);
    assert_eq!(levels(&["--l=1", "--v"]).stdout, LevelFilter::Debug);
}

#[test]
fn standard_error_gets_errors_alone_whatever_the_levels() {
    for more in [&["--l=0"][..], &["--l=5", "--v"]] {
        let errors = Screen::default();
        let logger = Logger::new(
            Levels::new(&settings(more), true),
            None,
            Box::new(Screen::default()),
            Some(Box::new(errors.clone())),
        );
        for level in Level::iter() {
            write(&logger, "dbsync2", level, level.as_str());
        }
        let text = String::from_utf8(errors.0.lock().unwrap().clone()).unwrap();
        assert_eq!(texts(&text), ["[ERROR] ERROR"]);
    }
}

#[test]
fn a_message_stays_one_line() {
    let (screen, errors) = (Screen::default(), Screen::default());
    let logger = Logger::new(
        Levels::new(&settings(&[]), true),
        None,
        Box::new(screen.clone()),
        Some(Box::new(errors.clone())),
    );
    let message = "refused\n2024-03-05T00:00:00.000Z [ERROR] forged\r\u{1b}[2J\u{202e}\u{2028}x\n";
    write(&logger, "dbsync2", Level::Error, message);
    write(&logger, "dbsync2", Level::Error, &"x".repeat(20_000_000));
    let text = String::from_utf8(screen.0.lock().unwrap().clone()).unwrap();
    assert_eq!(
        texts(&text),
        [
            r"[ERROR] refused 2024-03-05T00:00:00.000Z [ERROR] forged \u{1b}[2J\u{202e} x",
            &format!("[ERROR] {}…", "x".repeat(text::MAX_LINE_CHARS - 1))
        ]
    );
    let copy = String::from_utf8(errors.0.lock().unwrap().clone()).unwrap();
    assert_eq!(texts(&copy), texts(&text));
}

#[cfg(not(windows))]
#[test]
fn directories_in_their_order() {
    let home = |name: &str| (name == "HOME").then(|| OsString::from("/home/u"));
    let path = Path::new;
    assert_eq!(
        directories(None, &home),
        [path("/var/log/dbsync"), path("/home/u/.dbsync/logs")]
    );
    assert_eq!(directories(None, &|_| None), [path("/var/log/dbsync")]);
    assert_eq!(
        directories(None, &|_| Some(OsString::new())),
        [path("/var/log/dbsync")]
    );
    assert_eq!(directories(Some(path("/l")), &home), [path("/l")]);
}

#[test]
fn the_first_directory_that_can_be_written_to_is_taken() {
    let scratch = Scratch::new().unwrap();
    // Below a file there can be no directory, whoever runs the test.
    fs::write(scratch.path().join("file"), "").unwrap();
    let bad = scratch.path().join("file/log");
    let good = scratch.path().join("good");
    let clock = || clock_from(START);

    let opened = open_first(&[bad.clone(), good.clone()], "CAMP_check", LIMITS, &clock);
    let expected = good.join("CAMP_check_20240305091542.log");
    assert_eq!(opened.file.unwrap().path(), expected);
    assert_eq!(opened.notice, format!("log file: {}", expected.display()));
    assert!(expected.exists());

    let opened = open_first(std::slice::from_ref(&bad), "C", LIMITS, &clock);
    assert!(opened.file.is_none() && opened.refused.is_empty());
    let notice = opened.notice;
    let beginning = format!("cannot write a log file: {}: ", bad.display());
    assert!(notice.starts_with(&beginning), "{notice}");
    assert!(notice.ends_with(" (give --log-dir); logging to standard output"));

    let opened = open_first(&[], "C", LIMITS, &clock);
    assert!(opened.file.is_none());
    assert!(opened.notice.contains("no directory is known"));
}

/// What could be written to, but only by trusting others, is passed over and told of.
#[cfg(unix)]
#[test]
fn a_directory_that_others_may_write_to_takes_no_log() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new().unwrap();
    let bad = scratch.path().join("bad");
    fs::create_dir(&bad).unwrap();
    fs::set_permissions(&bad, fs::Permissions::from_mode(0o1777)).unwrap();
    let good = scratch.path().join("good");
    let opened = open_first(&[bad.clone(), good.clone()], "C", LIMITS, &|| {
        clock_from(START)
    });
    assert!(opened.file.unwrap().path().starts_with(good));
    let [refused] = opened.refused.as_slice() else {
        unreachable!("{:?}", opened.refused)
    };
    let wanted = format!("{}: others may write to it (mode 1777", bad.display());
    assert!(refused.starts_with(&wanted), "{refused}");
    assert_eq!(fs::read_dir(&bad).unwrap().count(), 0);
}

const CHILD: &str = "DBSYNC2_TEST_LOG_DIR";

/// The global logger can be set only once in a process, so that the test runs itself in a second one.
#[test]
fn init_logs_to_file_and_standard_output() {
    if let Some(directory) = std::env::var_os(CHILD) {
        let settings = settings(&[&format!("--log-dir={}", directory.to_str().unwrap())]);
        let log_file = init(&settings, START).unwrap();
        log::error!("first");
        log::warn!("second");
        log::debug!("third");
        log::error!(target: "rustls", "fourth");
        log::info!(target: "rustls", "fifth");
        let path = log_file.path.unwrap();
        assert_eq!(
            texts(&fs::read_to_string(path).unwrap()),
            ["[ERROR] first", "[WARN ] second", "[ERROR] fourth"]
        );
        assert_eq!(log::max_level(), LevelFilter::Info);
        let again = init(&settings, START).unwrap_err();
        assert_eq!(again.kind(), crate::error::ErrorKind::Setup);
        return;
    }
    let scratch = Scratch::new().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "logging::tests::init_logs_to_file_and_standard_output",
            "--nocapture",
        ])
        .env(CHILD, scratch.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8(child.stdout).unwrap();
    assert!(child.status.success(), "{stdout}");
    assert!(stdout.contains("1 passed"), "{stdout}");
    let path = scratch.path().join("CAMP_db_sync_20240305091542.log");
    assert!(
        stdout.contains(&format!("log file: {}\n", path.display())),
        "{stdout}"
    );
    assert!(stdout.contains("Z [ERROR] first\n"), "{stdout}");
    assert!(stdout.contains("Z [ERROR] fourth\n"), "{stdout}");
    assert!(!stdout.contains("second"), "{stdout}");
}

//! `--completions`: each shell itself is asked what it completes.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use dbsync2::cli::settings::Mode;

use super::{printed, succeed};
use crate::support::temp::TempDir;

/// The completions of a shell in a file of this name, which the shell must be able to parse.
fn written(directory: &TempDir, shell: &str, name: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, printed(&["--completions", shell])).unwrap();
    succeed(Command::new(shell).arg("-n").arg(&path));
    path.to_str().unwrap().to_owned()
}

/// What bash completes, by its own rules for words; `compopt` for files is shown as its argument.
fn bash(words: &[&str]) -> Vec<String> {
    let directory = TempDir::new();
    let path = written(&directory, "bash", "dbsync2.bash");
    let script = "compopt() { COMPREPLY=(\"<$*>\"); }; . \"$0\"; COMP_WORDS=(\"$@\"); \
                  COMP_CWORD=$(($# - 1)); _dbsync2; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut all = vec!["-c", script, &path];
    all.extend(words);
    let output = succeed(
        Command::new("bash")
            .args(["--norc", "--noprofile"])
            .args(all),
    );
    output.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_flags_and_values() {
    let modes = ["db_init", "db_update", "db_sync"];
    assert_eq!(bash(&["dbsync2", "--a", "d"]), modes);
    assert_eq!(bash(&["dbsync2", "-mode", "d"]), modes);
    assert_eq!(bash(&["dbsync2", "--a", "=", "d"]), modes);
    assert_eq!(bash(&["dbsync2", "--a", "="]), Mode::ALL.map(Mode::name));
    assert_eq!(
        bash(&["dbsync2", "--l", ""]),
        ["0", "1", "2", "3", "4", "5"]
    );
    assert_eq!(bash(&["dbsync2", "--completions", "z"]), ["zsh"]);
    assert_eq!(
        bash(&["dbsync2", "--a", "check", "--log"]),
        ["--log-level", "--log-dir"]
    );
    assert_eq!(bash(&["dbsync2", "-log"]), ["-log-level", "-log-dir"]);
    assert_eq!(bash(&["dbsync2", "--once", "--onc"]), ["--once"]);
    assert_eq!(bash(&["dbsync2", "--ca-file", "x"]), ["<-o default>"]);
    assert_eq!(bash(&["dbsync2", "--state-dir", "x"]), ["<-o dirnames>"]);
    // Nothing is known of ids.
    assert_eq!(bash(&["dbsync2", "--c", ""]), [""]);
    assert!(bash(&["dbsync2", ""]).len() > 40);
}

fn fish(line: &str) -> Vec<String> {
    let directory = TempDir::new();
    let path = written(&directory, "fish", "dbsync2.fish");
    let output = succeed(
        Command::new("fish")
            .args(["--no-config", "-c", "source $argv[1]; complete -C $argv[2]"])
            .args([&path, line])
            .env("HOME", directory.path()),
    );
    let mut found: Vec<String> = output
        .lines()
        .map(|line| line.split('\t').next().unwrap().to_owned())
        .collect();
    found.sort();
    found
}

#[test]
fn fish_completes_flags_and_values() {
    let modes = ["db_init", "db_sync", "db_update"];
    assert_eq!(fish("dbsync2 --a d"), modes);
    assert_eq!(fish("dbsync2 --once -mode d"), modes);
    assert_eq!(fish("dbsync2 --filter=h"), ["--filter=hi_updates_only"]);
    assert_eq!(fish("dbsync2 --log"), ["--log-dir", "--log-level"]);
    let directory = TempDir::new();
    let place = directory.path().display();
    std::fs::write(directory.path().join("token.txt"), "").unwrap();
    std::fs::create_dir(directory.path().join("tokens")).unwrap();
    assert_eq!(
        fish(&format!("dbsync2 --token-file {place}/to")),
        [format!("{place}/token.txt"), format!("{place}/tokens/")]
    );
    assert_eq!(
        fish(&format!("dbsync2 --state-dir {place}/to")),
        [format!("{place}/tokens/")]
    );
    assert_eq!(fish("dbsync2 --c "), [""; 0]);
}

/// A shell in a terminal of its own, typed into.
struct Terminal {
    child: std::process::Child,
    shown: Receiver<Vec<u8>>,
    text: String,
}

impl Terminal {
    fn new(command: &str, home: &Path) -> Terminal {
        let mut child = Command::new("script")
            .args(["-qec", command, "/dev/null"])
            .env("HOME", home)
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script (run scripts/tools.sh install)");
        let mut output = child.stdout.take().unwrap();
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal {
            child,
            shown,
            text: String::new(),
        }
    }

    fn type_in(&mut self, keys: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(keys.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Waits until this is shown, and forgets it with all before.
    fn wait_for(&mut self, wanted: &str) {
        let begin = Instant::now();
        loop {
            if let Some((_, rest)) = self.text.split_once(wanted) {
                self.text = rest.to_owned();
                return;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{wanted:?} is not shown: {:?}",
                self.text
            );
            if let Ok(bytes) = self.shown.recv_timeout(Duration::from_secs(1)) {
                self.text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Types command lines with tabs in them; the program is a function that shows the arguments it gets.
fn completes_at_the_keyboard(terminal: &mut Terminal, set_up: &str, directory: &TempDir) {
    let place = directory.path().display();
    std::fs::write(directory.path().join("token.txt"), "").unwrap();
    std::fs::create_dir(directory.path().join("state of it")).unwrap();
    // Put together at the end, so that the echo of what is typed is not taken for the answer.
    terminal.type_in(&format!(
        "{set_up}; dbsync2() {{ printf '[%s]' \"$@\"; echo; }}; echo rea''dy\n"
    ));
    terminal.wait_for("ready");
    for (typed, expected) in [
        ("--a db_i\t", "[--a][db_init]".to_owned()),
        ("-mode ch\t", "[-mode][check]".to_owned()),
        ("--mode=db_u\t", "[--mode=db_update]".to_owned()),
        ("--onc\t --l 4", "[--once][--l][4]".to_owned()),
        (
            "--header A:1 --heade\t B:2",
            "[--header][A:1][--header][B:2]".to_owned(),
        ),
        (
            &format!("--webhook-secret-file {place}/tok\t"),
            format!("[--webhook-secret-file][{place}/token.txt]"),
        ),
        (
            &format!("--token-file {place}/tok\t"),
            format!("[--token-file][{place}/token.txt]"),
        ),
        (
            &format!("--state-dir {place}/sta\t"),
            format!("[--state-dir][{place}/state of it"),
        ),
    ] {
        terminal.type_in(&format!("dbsync2 {typed}\n"));
        terminal.wait_for(&expected);
    }
    terminal.type_in("exit\n");
}

#[test]
fn bash_completes_at_the_keyboard() {
    let directory = TempDir::new();
    let path = written(&directory, "bash", "dbsync2.bash");
    let mut terminal = Terminal::new("bash --norc --noprofile -i", directory.path());
    let set_up = format!("bind 'set bell-style none'; . {path}");
    completes_at_the_keyboard(&mut terminal, &set_up, &directory);
}

#[test]
fn zsh_completes_at_the_keyboard() {
    let directory = TempDir::new();
    written(&directory, "zsh", "_dbsync2");
    let mut terminal = Terminal::new("zsh -f -i", directory.path());
    let set_up = format!(
        "fpath=({} $fpath); autoload -Uz compinit; compinit -u -D",
        directory.path().display()
    );
    completes_at_the_keyboard(&mut terminal, &set_up, &directory);
}

//! What belongs to the program when it is installed: manual page, completions, services, package.

mod completions;
mod install;
mod manual;
mod modes;
mod package;
mod places;
mod service;
mod small_system;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::temp::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_dbsync2");

pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error} (run scripts/tools.sh install)"))
}

/// Standard output and standard error.
pub fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

/// Runs a command, which must succeed; returns what it wrote to standard output.
pub fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What the program prints with these arguments.
pub fn printed(arguments: &[&str]) -> String {
    succeed(Command::new(PROGRAM).args(arguments))
}

/// A command that needs root.
pub fn as_root(program: &str) -> Command {
    let mut command = if succeed(Command::new("id").arg("-u")).trim() == "0" {
        return Command::new(program);
    } else {
        Command::new("sudo")
    };
    command.args(["-n", "env", program]);
    command
}

/// A command that is started with umask 000, by which everybody may write to what it makes.
pub fn under_umask_000(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask 000; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}

/// What is in a directory and has one of these rights, with its mode.
pub fn with_mode(directory: &Path, rights: &str) -> String {
    succeed(
        as_root("find")
            .arg(directory)
            .args(["!", "-type", "l", "-perm"])
            .arg(format!("/{rights}"))
            .args(["-printf", "%m %p\n"]),
    )
}

/// The program without what only debuggers need, readable for all users.
pub fn stripped(directory: &TempDir) -> PathBuf {
    let path = directory.path().join("dbsync2");
    succeed(Command::new("strip").arg("-o").arg(&path).arg(PROGRAM));
    path
}

#[test]
fn shellcheck_has_nothing_to_say_about_the_scripts() {
    let mut files: Vec<PathBuf> = Vec::new();
    for directory in [scripts(), scripts().join("service")] {
        files.extend(
            std::fs::read_dir(directory)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == "sh" || e == "sysv")),
        );
    }
    assert!(files.len() > 6, "{files:?}");
    succeed(
        Command::new("shellcheck")
            .args(["--external-sources", "-S", "warning"])
            .args(files),
    );
    let openrc = scripts().join("service/dbsync2.openrc");
    succeed(Command::new("shellcheck").args(["-s", "sh"]).arg(openrc));
}

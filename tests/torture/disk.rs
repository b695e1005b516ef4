//! A disk of its own for a directory, that can be full, and directories that can be read-only.
//!
//! Root mounts a small file system in memory. Where that is refused, the size of the files that the program may write
//! stands for the room on the disk, and the mode of the directory for a read-only mount.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A directory with a size of its own; unmounted when dropped.
pub struct Disk {
    directory: PathBuf,
    megabytes: u32,
    /// Whether it is a file system of its own.
    pub mounted: bool,
}

impl Disk {
    /// Mounts it over an empty directory.
    pub fn mount(directory: &Path, megabytes: u32) -> Disk {
        let size = format!("size={megabytes}m,mode=755");
        Disk {
            mounted: run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs"], directory).is_ok(),
            directory: directory.to_owned(),
            megabytes,
        }
    }

    /// Takes all room that is left. False where that is impossible.
    pub fn fill(&self) -> bool {
        // What is written meanwhile makes the size too small.
        self.mounted && (0..50).any(|_| self.resize(&format!("{}k", self.used())).is_ok())
    }

    /// Gives the room back.
    pub fn free(&self) {
        if self.mounted {
            self.resize(&format!("{}m", self.megabytes)).unwrap();
        }
    }

    fn resize(&self, size: &str) -> Result<(), String> {
        let options = format!("remount,size={size}");
        run("mount", &["-o", &options], &self.directory)
    }

    fn used(&self) -> u64 {
        let output = Command::new("df")
            .args(["-k", "--output=used"])
            .arg(&self.directory)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().last().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // Of no interest to the test; the scripts unmount what is left.
            let _ = run("umount", &["-l"], &self.directory);
        }
    }
}

/// A directory that can't be written to for as long as this lives.
pub struct ReadOnly {
    directory: PathBuf,
    mounted: bool,
}

impl ReadOnly {
    pub fn new(directory: &Path) -> ReadOnly {
        let text = directory.to_str().unwrap();
        let mut mounted = run("mount", &["--bind", text], directory).is_ok();
        // Not while the program has a file open there for writing: what it had open before is of the mount below.
        while mounted && run("mount", &["-o", "remount,ro,bind"], directory).is_err() {
            run("umount", &["-l"], directory).unwrap();
            mounted = run("mount", &["--bind", text], directory).is_ok();
        }
        if !mounted {
            fs::set_permissions(directory, fs::Permissions::from_mode(0o500)).unwrap();
        }
        ReadOnly {
            directory: directory.to_owned(),
            mounted,
        }
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if self.mounted {
            run("umount", &["-l"], &self.directory).unwrap();
        } else {
            fs::set_permissions(&self.directory, fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
}

/// The largest file that a process may write, in place of a full disk: nothing that grows can grow any more.
pub fn limit_files(pid: u32, limited: bool) {
    let limit = if limited { "4096" } else { "unlimited" };
    let arguments = [
        "--pid",
        &pid.to_string(),
        &format!("--fsize={limit}:unlimited"),
    ];
    // It may have ended.
    let _ = Command::new("prlimit")
        .args(arguments)
        .stderr(Stdio::null())
        .status();
}

fn run(command: &str, arguments: &[&str], directory: &Path) -> Result<(), String> {
    let output = Command::new(command)
        .args(arguments)
        .arg(directory)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

//! The script of OpenRC.

use super::super::small_system::SmallSystem;
use super::super::with_mode;
use super::*;

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

#[test]
fn openrc_starts_restarts_and_stops_it() {
    let sim = campaign();
    let directory = TempDir::new();
    let system = SmallSystem::new(&stripped(&directory));
    system.add_openrc();
    let root = system.root();
    succeed(
        Command::new("cp")
            .arg("-r")
            .arg(scripts())
            .arg(root.join("tmp")),
    );
    // That it is OpenRC is found out.
    succeed(&mut system.command(&["sh", "/tmp/scripts/install.sh", "/tmp/dbsync2"]));
    let settings = delivered_settings().replace(
        "#DBSYNC_C=DEMQ2345WXYZ6789",
        &format!("DBSYNC_C={}", sim.campaign()),
    );
    let further = format!("DBSYNC_API_URL={}\nDBSYNC_INTERVAL=50ms\n", sim.url());
    let url = "sqlite:///var/lib/dbsync2/dialfire.db\n".to_owned();
    for (file, text) in [
        ("etc/default/dbsync2", settings + &further),
        ("etc/dbsync2/token", format!("{}\n", sim.token())),
        ("etc/dbsync2/url", url),
    ] {
        system.write(file, &text);
    }
    let secrets = ["/etc/dbsync2/token", "/etc/dbsync2/url"];
    succeed(&mut system.command(&[&["chgrp", "dbsync"], &secrets[..]].concat()));
    succeed(&mut system.command(&[&["chmod", "640"], &secrets[..]].concat()));

    let does = |action: &str, code: i32, words: &str| {
        let output = run(&mut system.command(&["/etc/init.d/dbsync2", action]));
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{action}: {said}");
        assert!(said.contains(words), "{action}: {said}");
    };
    let started = || {
        let pid = std::fs::read_to_string(root.join("run/dbsync2.pid")).unwrap();
        let pid: u32 = pid.trim().parse().unwrap();
        // start-stop-daemon asks /proc which program a process is.
        system.write(&format!("proc/{pid}/cmdline"), "");
        let program = system.root().join(format!("proc/{pid}/exe"));
        succeed(
            as_root("ln")
                .args(["-s", "/usr/local/bin/dbsync2"])
                .arg(program),
        );
        wait_for_round_of(pid, &root.join("var/lib/dbsync2/status.json"));
        Killed(pid)
    };
    does("status", 3, "stopped");
    does("start", 0, "Starting dbsync2");
    let first = started();
    for directory in ["var/lib/dbsync2", "var/log/dbsync2"] {
        assert_eq!(with_mode(&root.join(directory), "077"), "");
    }
    does("status", 0, "started");
    does("restart", 0, "Stopping dbsync2");
    assert!(!runs(first.0));
    let second = started();
    does("stop", 0, "Stopping dbsync2");
    assert!(!runs(second.0));
    does("status", 3, "stopped");
    system.write("etc/default/dbsync2", "");
    does(
        "start",
        1,
        "not configured: set DBSYNC_C in /etc/default/dbsync2",
    );
}

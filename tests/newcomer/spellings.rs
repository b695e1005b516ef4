//! All the ways in which settings may be spelt, and what an operator sees of a run.

use super::{assert_ends, campaign};
use crate::support::compare::assert_equal;
use crate::support::database::{Database, fresh_database};
use crate::support::program::Program;
use crate::support::servers::Kind;
use crate::support::simulator::{Config, Fault, Faults, Simulator, TruthFilter};

#[test]
fn passwords_with_every_special_character_work_in_every_form() {
    let sim = campaign();
    for kind in Kind::SERVERS {
        let url = Database::of_server(kind).url.clone();
        let encoded = "p%40ss%3Aw%2Frd%3F%23%25";
        assert!(url.contains(encoded), "the server's password");
        for password in [encoded, "p@ss:w/rd?#%", "p%40ss:w%2Frd?%23%25"] {
            let program = Program::new(&sim, &url.replace(encoded, password));
            program.succeed("check");
        }
        // Out of a file, which other users can't read from the list of processes.
        let program = Program::new(&sim, &url).without("--url");
        let file = program.directory().join("url");
        std::fs::write(&file, format!("{url}\n# the reporting database\n")).unwrap();
        program
            .arg("--url-file", &file.display().to_string())
            .succeed("check");
    }
}

#[test]
fn start_dates_in_every_form() {
    let sim = campaign();
    for start in [
        "2025-03-01",
        "2025-03-01T00:00",
        "2025-03-01T00:00:00",
        "2025-03-01T00:00:00.000",
        "2025-03-01T00:00:00Z",
    ] {
        let database = fresh_database(Kind::Sqlite);
        let program = Program::new(&sim, &database.url).arg("--s", start);
        program.succeed("db_update");
        let since = time::macros::datetime!(2025-03-01 0:00 UTC);
        let expected = (0..sim.contact_count())
            .filter(|contact| sim.last_change(*contact).is_some_and(|at| at >= since))
            .filter(|contact| !sim.deleted().contains(&sim.contact_id(*contact)))
            .count();
        assert!(expected > 0 && expected < 60, "{expected}");
        assert_eq!(database.dump("dfire_contacts").len(), expected, "{start}");
    }
    for start in [
        "yesterday",
        "2025-02-30",
        "01.03.2025",
        "2025-03-01 00:00:00 +01:00",
    ] {
        let database = fresh_database(Kind::Sqlite);
        let program = Program::new(&sim, &database.url).arg("--s", start);
        assert_ends(&program, "db_update", 2, &["--s", "YYYY-MM-DD"]);
    }
}

#[test]
fn settings_come_from_the_environment_and_old_command_lines_too() {
    let sim = campaign();
    for name in ["DBSYNC_CT", "DBSYNCCT", "DBSYNC_TOKEN"] {
        let database = fresh_database(Kind::Sqlite);
        let program = Program::new(&sim, &database.url)
            .without("DBSYNC_CT")
            .variable(name, sim.token());
        program.succeed("db_init");
        assert_equal(&sim, &TruthFilter::default(), &database);
    }
    // V1's single dashes, and values behind blanks.
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url)
        .without("--c")
        .without("--url")
        .without("DBSYNC_CT");
    let ended = program
        .start_with(
            "",
            &[
                "-a",
                "db_init",
                "-c",
                sim.campaign(),
                "-ct",
                sim.token(),
                "-url",
                &database.url,
                "-w",
                "4",
                "-d",
                "16",
            ],
        )
        .wait(std::time::Duration::from_secs(30));
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_equal(&sim, &TruthFilter::default(), &database);
    // A token out of a file; the command line wins over the environment.
    let program = Program::new(&sim, &database.url).variable("DBSYNC_CT", "wrong");
    let file = program.directory().join("token");
    std::fs::write(&file, format!("{}\n", sim.token())).unwrap();
    program
        .arg("--token-file", &file.display().to_string())
        .succeed("db_init");
    let program = Program::new(&sim, &database.url).without("DBSYNC_CT");
    assert_ends(&program, "db_init", 2, &["--ct", "token"]);
}

#[test]
fn the_old_clients_state_is_taken_over() {
    let sim = Simulator::start(Config {
        contacts: 200,
        daily_share: 1.0,
        ..Config::default()
    });
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url);
    let stamp = sim.now();
    sim.advance(std::time::Duration::from_secs(2 * 3600));
    let old = program.directory().join(".dbsync2");
    std::fs::create_dir(&old).unwrap();
    let text = format!(
        "{{\"timestamp\": \"{}\"}}",
        stamp
            .format(&time::format_description::well_known::Rfc3339)
            .unwrap()
    );
    std::fs::write(old.join(format!("{}.json", sim.campaign())), text).unwrap();
    // Home is where the program's directory is.
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    assert!(
        program.log().contains("where the old client stopped"),
        "{}",
        program.log()
    );
    let contacts = database.dump("dfire_contacts");
    let changed: Vec<String> = (0..sim.contact_count())
        .filter(|contact| sim.last_change(*contact).is_some_and(|at| at >= stamp))
        .map(|contact| sim.contact_id(contact))
        .filter(|id| !sim.deleted().contains(id))
        .collect();
    assert!(!changed.is_empty());
    for id in &changed {
        assert!(contacts.contains_key(id), "{id} changed after {stamp}");
    }
}

#[test]
fn the_status_file_and_the_profile_tell_how_things_stand() {
    let sim = campaign();
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url).flag("--p");
    let ended = program.succeed("db_init");
    assert!(
        ended.stdout.contains("time of this round:"),
        "{}",
        ended.stdout
    );
    let mut running = program.start("db_sync");
    sim.advance(std::time::Duration::from_secs(60));
    let status = running.wait_until("two rounds", |status| status["rounds"].as_u64() >= Some(2));
    assert_eq!(status["campaign"], sim.campaign());
    assert_eq!(status["mode"], "db_sync");
    assert_eq!(status["pid"], running.pid());
    assert_eq!(status["failed_rounds"], 0);
    assert_eq!(status["last_error"], serde_json::Value::Null);
    assert!(status["lag_seconds"].as_u64().unwrap() <= 60, "{status}");
    assert!(
        status["checkpoint"]
            .as_str()
            .unwrap()
            .starts_with("2025-03-10T09:3"),
        "{status}"
    );
    let target = status["target"].as_str().unwrap();
    assert!(target.starts_with("sqlite:"), "{target}");
}

#[test]
fn a_terminal_shows_percent_and_time_left_and_each_error_once() {
    let contacts = 600;
    let sim = Simulator::start(Config {
        contacts,
        long_texts: false,
        ..Config::default()
    });
    // So slow that there is something to show.
    sim.set_faults(Faults::at_rate(1.0, &[Fault::Delay(100)]));
    let database = fresh_database(Kind::Sqlite);
    let program = Program::new(&sim, &database.url)
        .arg("--w", "1")
        .in_terminal();
    let shown = program.succeed("db_init").stdout;
    // Such as: contacts: 120 of 600 (20%), 190/s, about 2 s left
    let lines: Vec<(u64, u64, &str)> = shown
        .split('\r')
        .filter_map(|line| {
            let (done, rest) = line.strip_prefix("contacts: ")?.split_once(" of ")?;
            let (total, rest) = rest.split_once(' ')?;
            Some((done.parse().ok()?, total.parse().ok()?, rest))
        })
        .collect();
    let stored = database.dump("dfire_contacts").len() as u64;
    let complete = |(done, total, rest): &&(u64, u64, &str)| {
        let percent = format!("({}%), ", done * 100 / total);
        rest.starts_with(&percent)
            && rest.contains("/s, about ")
            && rest.trim_end().ends_with(" s left")
    };
    let (done, total, _) = lines
        .iter()
        .find(complete)
        .unwrap_or_else(|| panic!("{shown:?}"));
    assert!(
        done < total && (stored..=u64::from(contacts)).contains(total),
        "{shown:?}"
    );

    let wrong = Program::new(&sim, "sqlite:/nowhere/at/all.db").in_terminal();
    let shown = wrong.run("db_init").stdout;
    assert_eq!(shown.matches("does not exist").count(), 1, "{shown}");
}

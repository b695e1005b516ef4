//! The unit of systemd.

use std::collections::BTreeSet;

use super::*;

/// The unit of the campaign, with the program where it is here.
fn unit_of(place: &Place, sim: &Simulator) -> PathBuf {
    let installed = place.path("root/etc/systemd/system/dbsync2@.service");
    let text = std::fs::read_to_string(installed).unwrap();
    let unit = place.path(&format!("dbsync2@{}.service", sim.campaign()));
    let program = place.program().display().to_string();
    std::fs::write(&unit, text.replace("/usr/local/bin/dbsync2", &program)).unwrap();
    unit
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    let sim = campaign();
    let place = Place::new(&sim, "systemd");
    let unit = unit_of(&place, &sim);
    let verify = run(Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit));
    assert_eq!(said(&verify), "");
    assert!(verify.status.success());
    // In tenths, from 0 (all is closed) to 100.
    succeed(
        Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--threshold=15"])
            .arg(&unit),
    );
}

/// The drop-in for a web service with all its lines in force.
fn for_a_web_service() -> String {
    let text = std::fs::read_to_string(scripts().join("service/webhook.conf")).unwrap();
    text.replace("#LoadCredential", "LoadCredential")
        .replace("#Environment", "Environment")
}

/// Behind the beginning, of all lines that begin so.
fn lines<'a>(text: &'a str, begin: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter_map(move |line| line.strip_prefix(begin))
}

#[test]
fn systemd_finds_no_fault_with_the_drop_in_for_a_web_service() {
    let sim = campaign();
    let place = Place::new(&sim, "systemd");
    let unit = unit_of(&place, &sim);
    let drop_in = place.path(&format!(
        "dbsync2@{}.service.d/webhook.conf",
        sim.campaign()
    ));
    std::fs::create_dir(drop_in.parent().unwrap()).unwrap();
    let verify = |drop_in_text: &str| {
        std::fs::write(&drop_in, drop_in_text).unwrap();
        said(&run(Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&unit)))
    };
    assert_eq!(verify(&for_a_web_service()), "");
    let wrong = for_a_web_service().replace("LoadCredential=", "LoadCredentials=");
    assert!(verify(&wrong).contains("LoadCredentials"));
    // Each credential that is used is loaded, and each one that is loaded is used.
    let both = std::fs::read_to_string(&unit).unwrap() + &for_a_web_service();
    let loaded: BTreeSet<&str> = lines(&both, "LoadCredential=")
        .map(|line| line.split_once(':').unwrap().0)
        .collect();
    let used: BTreeSet<&str> = ["/run/credentials/%n/", "${CREDENTIALS_DIRECTORY}/"]
        .iter()
        .flat_map(|place| both.split(place).skip(1))
        .filter_map(|rest| rest.split([' ', '\n', '"']).next())
        .collect();
    assert_eq!(loaded, used);
    assert_eq!(loaded, ["header", "keys", "token", "url"].into());
}

#[test]
fn what_systemd_starts_posts_to_a_web_service() {
    let sim = campaign();
    let receiver = Receiver::start();
    let place = Place::new(&sim, "systemd");
    place.post_to(&receiver);
    let unit = place.path("root/etc/systemd/system/dbsync2@.service");
    let command = moved(&place, &sim, &line(&unit, "ExecStart="));
    let drop_in = for_a_web_service();
    let mut variables = vec![line(&unit, "Environment=")];
    variables.extend(lines(&drop_in, "Environment=").map(str::to_owned));
    let variables = moved(&place, &sim, &variables.join(" "));
    let since = a_month_ago(&sim);
    let output = run(&mut shell(
        &place,
        &sim,
        &format!("env {variables} {command} --once --s {since}"),
    ));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_posted_with_secrets(&receiver);
}

#[test]
fn what_systemd_starts_runs() {
    let sim = campaign();
    let place = Place::new(&sim, "systemd");
    let unit = place.path("root/etc/systemd/system/dbsync2@.service");
    let command = moved(&place, &sim, &line(&unit, "ExecStart="));
    let variable = moved(&place, &sim, &line(&unit, "Environment="));
    let output = run(&mut shell(
        &place,
        &sim,
        &format!("{variable} {command} --once"),
    ));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let status = place.path(&format!("data/state/{}.status.json", sim.campaign()));
    let status: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(status).unwrap()).unwrap();
    assert_eq!(status["rounds"], 1);
}

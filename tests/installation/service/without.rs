//! Without a service: the line for cron, and nohup.

use super::*;

#[test]
fn the_line_for_cron_makes_a_round() {
    let sim = campaign();
    let place = Place::new(&sim, "none");
    let file = scripts().join("service/dbsync2.cron");
    let command = moved(&place, &sim, &line(&file, "* * * * * dbsync "));
    assert!(
        !command.contains('%'),
        "cron takes it for the end: {command}"
    );
    let output = run(&mut shell(&place, &sim, &command));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(said(&output), "");
    assert_eq!(place.status().unwrap()["rounds"], 1);
}

#[test]
fn under_nohup_it_outlives_the_terminal_and_ends_when_told() {
    let sim = campaign();
    let place = Place::new(&sim, "none");
    let command = moved(
        &place,
        &sim,
        &line(&scripts().join("service/nohup.sh"), "nohup "),
    );
    let output = run(&mut shell(
        &place,
        &sim,
        &format!("nohup {command} echo $!"),
    ));
    let pid: u32 = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap();
    let signal = |name: &str| {
        succeed(Command::new("kill").args([name, &pid.to_string()]));
    };
    let killed = Killed(pid);
    place.wait_for_round_of(pid);
    signal("-HUP");
    let rounds = || place.status().unwrap()["rounds"].as_u64().unwrap();
    let before = rounds();
    // One may have been on its way.
    wait_until("rounds go on", || rounds() > before + 1);
    signal("-TERM");
    wait_until("it has ended", || !runs(pid));
    drop(killed);
}

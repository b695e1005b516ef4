//! Custom fields that are added while the program can't make their columns: somebody holds the table, or the user may not.
//! All else is copied meanwhile, nobody waits, and what the columns lack comes in once they are there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::compare::{assert_equal, differences, truth_of};
use crate::support::database::{Database, Row, fresh_database};
use crate::support::locked::Locked;
use crate::support::other_user::OtherUser;
use crate::support::program::{Program, tail};
use crate::support::servers::Kind;
use crate::support::simulator::{AddedField, Config, Simulator, TruthFilter};

const HOUR: Duration = Duration::from_secs(3600);

/// What waits of 2 s may take on a busy machine.
const SHORT: Duration = Duration::from_secs(20);

/// A campaign that gets a field in its second hour.
fn campaign() -> Simulator {
    Simulator::start(Config {
        contacts: 120,
        daily_share: 3.0,
        new_per_day: 40.0,
        long_texts: false,
        added_fields: vec![AddedField::new(3600, "Nachtrag", "text")],
        new_key_after: None,
        ..Config::default()
    })
}

/// What is not copied, besides the field and what tells that a contact lacks something.
fn others_missing(sim: &Simulator, database: &Database) -> Vec<String> {
    let truth = truth_of(sim, &TruthFilter::default(), database);
    let mut missing = differences(&truth, database, "dfire_");
    missing.retain(|difference| {
        !difference.contains(": Nachtrag ") && !difference.contains(": $md5 ")
    });
    missing
}

/// How many contacts have a value in the field: as they should be, and as they are.
fn filled(sim: &Simulator, database: &Database) -> [usize; 2] {
    let has = |row: &&Row| row.get("Nachtrag").is_some_and(Option::is_some);
    let truth = truth_of(sim, &TruthFilter::default(), database);
    let stored = database.dump("dfire_contacts");
    [
        truth.contacts.values().filter(has).count(),
        stored.values().filter(has).count(),
    ]
}

/// Reads the contacts again and again while something is done; returns the longest wait.
fn longest_wait(database: &Database, work: impl FnOnce()) -> Duration {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !stop.load(Ordering::SeqCst) {
                let begin = Instant::now();
                database.query("SELECT count(*) FROM dfire_contacts");
                longest = longest.max(begin.elapsed());
                std::thread::sleep(Duration::from_millis(5));
            }
            longest
        });
        // Also where the work fails.
        let stopping = Stop(&stop);
        work();
        drop(stopping);
        reading.join().unwrap()
    })
}

fn while_somebody_reads_in_an_open_transaction(kind: Kind) {
    let (sim, database) = (campaign(), fresh_database(kind));
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    let reader = Locked::reading(&database).unwrap();
    let longest = longest_wait(&database, || {
        sim.advance(2 * HOUR);
        let begin = Instant::now();
        let mut missing = others_missing(&sim, &database);
        assert!(!missing.is_empty(), "nothing has changed");
        while !missing.is_empty() {
            assert!(
                begin.elapsed() < SHORT && !running.has_ended(),
                "{missing:#?}\n{}",
                tail(&program.log())
            );
            std::thread::sleep(Duration::from_millis(20));
            missing = others_missing(&sim, &database);
        }
        // Further contacts do not wait for the next attempt, either.
        sim.advance(Duration::from_secs(600));
        let begin = Instant::now();
        running.wait_until_copied();
        assert!(begin.elapsed() < SHORT, "{:?}", begin.elapsed());
        assert_eq!(others_missing(&sim, &database), [""; 0]);
    });
    assert!(longest < SHORT, "{longest:?}");
    let [wanted, there] = filled(&sim, &database);
    assert!(wanted > 0 && there == 0, "{there} of {wanted}");
    let log = program.log();
    let told = "column \"Nachtrag\" of table contacts cannot be added";
    assert_eq!(log.matches(told).count(), 1, "{log}");

    reader.release();
    sim.advance(HOUR);
    let begin = Instant::now();
    while filled(&sim, &database)[1] == 0 {
        assert!(
            begin.elapsed() < Duration::from_secs(120) && !running.has_ended(),
            "the column is not made\n{}",
            tail(&program.log())
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    running.wait_until_copied();
    // Also those that came while there was no column, and have not changed since.
    assert_equal(&sim, &TruthFilter::default(), &database);
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
}

#[test]
fn while_somebody_reads_in_an_open_transaction_with_postgresql() {
    while_somebody_reads_in_an_open_transaction(Kind::Postgres);
}

#[test]
fn while_somebody_reads_in_an_open_transaction_with_mariadb() {
    while_somebody_reads_in_an_open_transaction(Kind::Mysql);
}

/// A user that may read and write the tables, and owns none of them.
#[test]
fn while_the_user_may_not_add_columns() {
    let (sim, database) = (campaign(), fresh_database(Kind::Postgres));
    let mut program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    let user = OtherUser::of(&database, |user| {
        vec![format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {user}"
        )]
    });
    program.set("--url", &user.url);
    sim.advance(2 * HOUR);
    for (mode, flags) in [("db_init", &[][..]), ("db_sync", &["--once"])] {
        let ended = program
            .start_with(mode, flags)
            .wait(Duration::from_secs(120));
        assert_eq!(
            ended.code,
            Some(5),
            "{}\n{}",
            ended.stdout,
            tail(&program.log())
        );
        let line = ended.stdout.lines().last().unwrap_or_default();
        let told = "1 columns are not stored, as they can't be added (contacts.Nachtrag)";
        assert!(
            line.starts_with(&format!("{mode} incomplete: ")) && line.contains(told),
            "{line}"
        );
        assert_eq!(others_missing(&sim, &database), [""; 0], "{mode}");
        sim.advance(Duration::from_secs(600));
    }
    let log = program.log();
    let lines = log.lines().filter(|line| line.contains("cannot be added"));
    for line in lines {
        assert!(line.contains("owner"), "{line}");
    }
    let [wanted, there] = filled(&sim, &database);
    assert!(wanted > 0 && there == 0, "{there} of {wanted}");

    database.execute(&format!(
        "ALTER TABLE dfire_contacts OWNER TO {}",
        user.name
    ));
    let mut running = program.start("db_sync");
    running.wait_until_copied();
    assert_equal(&sim, &TruthFilter::default(), &database);
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
}

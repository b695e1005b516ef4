//! After each mode the tables equal the truth, value by value, under every reading of what is unknown of the API.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::compare::assert_equal;
use crate::support::database::{Database, fresh_database};
use crate::support::program::Program;
use crate::support::servers::Kind;
use crate::support::simulator::{
    AddedField, Config, CursorLife, EmptyAs, Endpoint, EventForm, EventsBy, Fault, Faults,
    FieldsAt, FilterMode, InboundBy, Md5Covers, Readings, Simulator, TruthFilter, UnknownIds,
};
use crate::support::size::size;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn all() -> TruthFilter {
    TruthFilter::default()
}

fn init(config: Config, kind: Kind) -> (Simulator, Database) {
    let sim = Simulator::start(config);
    let database = fresh_database(kind);
    Program::new(&sim, &database.url).succeed("db_init");
    (sim, database)
}

/// A first copy of contacts with all oddities, a fifth of all answers faulty; then three days of changes, late ones
/// included.
fn three_days_with_faults(kind: Kind) {
    let sim = Simulator::start(Config {
        contacts: size(kind).contacts,
        daily_share: 0.02,
        nul_characters: true,
        long_field_names: true,
        ..Config::default()
    });
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url);
    sim.set_faults(Faults::at_rate(0.2, &Fault::QUICK));
    program.succeed("db_init");
    assert_equal(&sim, &all(), &database);
    follow(&sim, &program, 3 * 24);
    assert_equal(&sim, &all(), &database);
}

/// db_sync while so many hours go by, at a pace of some minutes, then of a quarter of an hour.
fn follow(sim: &Simulator, program: &Program, hours: u32) {
    let mut running = program.start("db_sync");
    running.wait_rounds(1);
    for minutes in [1, 1, 2, 7, 11, 38] {
        sim.advance(minutes * MINUTE);
        running.wait_rounds(2);
    }
    for _ in 1..hours {
        sim.advance(HOUR);
        running.wait_rounds(2);
    }
    // Once more after the time of the last look back and the last reconcile.
    sim.set_faults(Faults::none());
    running.wait_rounds(1);
    running.signal("TERM");
    assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
    program.succeed_once();
}

#[test]
fn sqlite_equals_the_truth_after_db_init_and_three_days_of_db_sync_with_faults() {
    three_days_with_faults(Kind::Sqlite);
}

#[test]
fn postgresql_equals_the_truth_after_db_init_and_three_days_of_db_sync_with_faults() {
    three_days_with_faults(Kind::Postgres);
}

#[test]
fn sql_server_equals_the_truth_after_db_init_and_three_days_of_db_sync_with_faults() {
    three_days_with_faults(Kind::SqlServer);
}

#[test]
fn mariadb_equals_the_truth_after_db_init_and_three_days_of_db_sync_with_faults() {
    three_days_with_faults(Kind::Mysql);
}

/// db_init, then three days of db_sync, under these readings.
fn under(readings: Readings, kind: Kind) {
    let sim = Simulator::start(Config {
        contacts: 300,
        readings,
        daily_share: 0.2,
        ..Config::default()
    });
    let database = fresh_database(kind);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    assert_equal(&sim, &all(), &database);
    follow(&sim, &program, 72);
    assert_equal(&sim, &all(), &database);
}

#[test]
fn events_by_fired_or_modified_time_and_checksums_of_everything_or_the_contact_alone() {
    for events_by in [EventsBy::Fired, EventsBy::Modified] {
        for md5_covers in [Md5Covers::Everything, Md5Covers::ContactOnly] {
            for kind in Kind::ALL {
                under(
                    Readings {
                        events_by,
                        md5_covers,
                        ..Readings::default()
                    },
                    kind,
                );
            }
        }
    }
}

#[test]
fn unknown_contacts_absent_null_or_refused() {
    for unknown_ids in [
        UnknownIds::Absent,
        UnknownIds::Null,
        UnknownIds::Error404,
        UnknownIds::Error500,
    ] {
        for deleted_vanish in [true, false] {
            let readings = Readings {
                unknown_ids,
                deleted_vanish,
                ..Readings::default()
            };
            let sim = Simulator::start(Config {
                contacts: 300,
                readings,
                deleted_share: 0.2,
                ..Config::default()
            });
            let database = fresh_database(Kind::Sqlite);
            let program = Program::new(&sim, &database.url);
            let ended = program.run("db_init");
            // What a listing names is owed, and nobody can tell whether it was deleted.
            let code = if deleted_vanish { 0 } else { 5 };
            assert_eq!(ended.code, Some(code), "{unknown_ids:?}: {}", ended.stdout);
            // Contacts deleted before were never seen; those deleted from now on keep their last state.
            assert_equal(&sim, &all(), &database);
        }
    }
}

#[test]
fn every_other_form_that_answers_may_have() {
    let base = Readings::default;
    let short_lived = CursorLife {
        uses: Some(1),
        ..CursorLife::default()
    };
    for readings in [
        Readings {
            to_inclusive: !base().to_inclusive,
            ..base()
        },
        Readings {
            event_form: EventForm::Object,
            ..base()
        },
        Readings {
            pointer: false,
            suffix_digits: 6,
            ..base()
        },
        Readings {
            empty_as: EmptyAs::Null,
            ..base()
        },
        Readings {
            empty_as: EmptyAs::Missing,
            ..base()
        },
        Readings {
            inbound_by: InboundBy::Modified,
            ..base()
        },
        Readings {
            max_ids: Some(7),
            page_cap: 50,
            ..base()
        },
        Readings {
            fields_at: FieldsAt::Campaign,
            ..base()
        },
        Readings {
            cursor_life: short_lived,
            page_cap: 100,
            ..base()
        },
    ] {
        under(readings, Kind::Sqlite);
    }
}

#[test]
fn an_expired_cursor_begins_the_listing_again() {
    let sim = Simulator::start(Config {
        contacts: 300,
        readings: Readings {
            page_cap: 20,
            ..Readings::default()
        },
        ..Config::default()
    });
    let database = fresh_database(Kind::Sqlite);
    sim.fail_next(Some(Endpoint::List), Fault::ExpiredCursor, 3);
    let program = Program::new(&sim, &database.url);
    program.succeed("db_init");
    assert_equal(&sim, &all(), &database);
    assert_eq!(sim.faults_waiting(), 0);
}

#[test]
fn filters_choose_transactions_and_never_contacts() {
    for (flags, filter) in [
        (
            vec![("--fm", "updates_only")],
            TruthFilter {
                mode: FilterMode::UpdatesOnly,
                ..all()
            },
        ),
        (
            vec![("--fm", "hi_updates_only")],
            TruthFilter {
                mode: FilterMode::HiUpdatesOnly,
                ..all()
            },
        ),
        (
            vec![("--fp", "fc_, qc_")],
            TruthFilter {
                prefixes: vec!["fc_".to_owned(), "qc_".to_owned()],
                ..all()
            },
        ),
        (
            vec![("--fm", "hi_updates_only"), ("--fp", "fc_")],
            TruthFilter {
                mode: FilterMode::HiUpdatesOnly,
                prefixes: vec!["fc_".to_owned()],
                ..all()
            },
        ),
    ] {
        let sim = Simulator::start(Config {
            contacts: 300,
            daily_share: 0.3,
            ..Config::default()
        });
        let database = fresh_database(Kind::Sqlite);
        let mut program = Program::new(&sim, &database.url);
        for (flag, value) in flags {
            program.set(flag, value);
        }
        program.succeed("db_init");
        assert_equal(&sim, &filter, &database);
        follow(&sim, &program, 30);
        assert_equal(&sim, &filter, &database);
    }
}

/// Ids that differ in case only are one key to SQL Server, so that one of two contacts is never found as it is.
fn ids_that_share_a_row(sim: &Simulator) -> Vec<String> {
    let ids: Vec<String> = (0..sim.contact_count())
        .map(|contact| sim.contact_id(contact))
        .collect();
    let twins = |id: &&String| {
        ids.iter()
            .any(|other| other != *id && other.eq_ignore_ascii_case(id))
    };
    ids.iter().filter(twins).cloned().collect()
}

/// Contacts that the list gives no checksum for, or that have none of their own, can't be known to be unchanged.
fn assert_only_unknown_were_fetched(sim: &Simulator, database: &Database) {
    let quote = |name| database.kind.quote(name);
    let sql = format!(
        "SELECT {} FROM dfire_contacts WHERE {} IS NULL",
        quote("$id"),
        quote("$md5")
    );
    let mut may: BTreeSet<String> = database
        .query(&sql)
        .into_iter()
        .filter_map(|mut row| row.remove(0))
        .collect();
    may.extend(
        (0..sim.contact_count())
            .filter(|contact| contact % 151 == 21)
            .map(|contact| sim.contact_id(contact)),
    );
    if database.kind == Kind::SqlServer {
        may.extend(ids_that_share_a_row(sim));
    }
    assert!(may.len() < 10, "{may:?}");
    let fetched = sim.counters().fetched;
    assert!(
        fetched.is_subset(&may),
        "fetched again without need: {:?}",
        fetched.difference(&may)
    );
}

#[test]
fn a_new_filter_or_field_limit_makes_db_init_write_everything_again() {
    for kind in Kind::ALL {
        let sim = Simulator::start(Config {
            contacts: 200,
            record_ids: true,
            ..Config::default()
        });
        let database = fresh_database(kind);
        let mut program = Program::new(&sim, &database.url).arg("--fp", "fc_");
        program.succeed("db_init");
        let documents = sim.counters().documents;
        assert!(documents >= 180, "{documents}");
        assert!(sim.counters().fetched.len() >= 180);

        sim.reset_counters();
        program.succeed("db_init");
        assert_only_unknown_were_fetched(&sim, &database);

        program.set("--fp", "");
        program.succeed("db_init");
        assert_equal(&sim, &all(), &database);

        sim.reset_counters();
        program.succeed("db_init");
        assert_only_unknown_were_fetched(&sim, &database);
    }
}

#[test]
fn fields_that_appear_while_running_become_columns() {
    for kind in Kind::ALL {
        let sim = Simulator::start(Config {
            contacts: 200,
            daily_share: 0.5,
            added_fields: vec![
                AddedField::new(3600, "Später", "text"),
                AddedField::new(7200, "SPÄTER", "number"),
            ],
            new_key_after: Some(2 * HOUR),
            ..Config::default()
        });
        let database = fresh_database(kind);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        follow(&sim, &program, 30);
        assert_equal(&sim, &all(), &database);
    }
}

#[test]
fn more_fields_than_wanted_are_left_out_and_all_of_them_fit() {
    for kind in Kind::ALL {
        for (flag, fields) in [("7", 7), ("all", usize::MAX)] {
            let sim = Simulator::start(Config {
                contacts: 60,
                custom_fields: 300,
                ..Config::default()
            });
            let database = fresh_database(kind);
            Program::new(&sim, &database.url)
                .arg("--fields", flag)
                .succeed("db_init");
            assert_equal(&sim, &TruthFilter { fields, ..all() }, &database);
        }
    }
}

#[test]
fn db_init_and_db_update_end_by_themselves_and_go_on_where_the_other_stopped() {
    let (sim, database) = init(
        Config {
            contacts: 300,
            daily_share: 0.3,
            ..Config::default()
        },
        Kind::Sqlite,
    );
    let program = Program::new(&sim, &database.url);
    sim.advance(26 * HOUR);
    program.succeed("db_update");
    assert_equal(&sim, &all(), &database);
    // db_sync begins where db_update ended.
    sim.advance(26 * HOUR);
    program.succeed_once();
    program.succeed_once();
    assert_equal(&sim, &all(), &database);
}

//! Custom fields that are renamed, deleted or given another type while the program runs.

use std::time::Duration;

use crate::support::compare::{assert_holds, truth_of};
use crate::support::database::fresh_database;
use crate::support::program::Program;
use crate::support::servers::Kind;
use crate::support::simulator::{AddedField, Config, FieldEnd, Simulator, TruthFilter};
use crate::torture::judge::as_number;

const HOUR: Duration = Duration::from_secs(3600);

/// Text that came for a field while the program took it for a number is not lost, nor the other way round: once the
/// fields are read again, what was stored under the type before no longer counts as up to date.
#[test]
fn a_field_of_another_type_is_stored_by_its_new_type() {
    for kind in Kind::ALL {
        let sim = Simulator::start(Config {
            contacts: 120,
            daily_share: 3.0,
            long_texts: false,
            added_fields: vec![
                AddedField::new(0, "Art A", "number").until(2 * 3600, FieldEnd::Replaced),
                AddedField::new(2 * 3600, "Art A", "text"),
                AddedField::new(0, "Art B", "text").until(2 * 3600, FieldEnd::Replaced),
                AddedField::new(2 * 3600, "Art B", "number"),
            ],
            ..Config::default()
        });
        let database = fresh_database(kind);
        let program = Program::new(&sim, &database.url);
        program.succeed("db_init");
        let mut running = program.start("db_sync");
        running.wait_rounds(1);
        for _ in 0..2 {
            for _ in 0..3 {
                sim.advance(HOUR);
                running.wait_until_copied();
            }
            running.signal("TERM");
            assert_eq!(running.wait(Duration::from_secs(5)).code, Some(0));
            // What has not changed since is filled in as after a new field.
            program.succeed("db_init");
            let mut truth = truth_of(&sim, &TruthFilter::default(), &database);
            for (id, row) in database.dump("dfire_contacts") {
                for name in ["Art A", "Art B"] {
                    let wanted = truth.contacts.get_mut(&id).unwrap().get_mut(name).unwrap();
                    let found = row.get(name).cloned().flatten();
                    // A number column stays one until a value comes that is no number.
                    if as_number(&found) == as_number(wanted) {
                        *wanted = found;
                    }
                }
            }
            assert_holds(&truth, &database, "dfire_");
            running = program.start("db_sync");
            running.wait_rounds(1);
        }
    }
}

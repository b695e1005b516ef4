//! The connections and recordings of a transaction, as they are at one instant.

use super::campaign::Campaign;
use super::config::Config;
use super::document::{Connection, Fields, Item, List, Recording, Value};
use super::ids;
use super::instant::{Instant, SECOND, local, zulu};
use super::random::{Dice, pair};
use super::transactions::task_id;
use super::values;
use super::visit::{Kind, Late, Planned, Visit};

/// The connections of a transaction.
///
/// First the final state is made, the same at every instant; then what has not happened yet is taken away.
pub fn of(
    visit: &Visit,
    campaign: &Campaign,
    planned: &Planned,
    dice: &mut Dice,
    step: usize,
) -> List<Connection> {
    let odd = campaign.config.oddities;
    if planned.kind != Kind::Outcome {
        return match dice.below(4) {
            0 => List::Null,
            1 => List::of(Vec::new()),
            2 if odd && dice.one_in(10) => List::Junk(dice.pick(&["\"\"", "0", "{}"])),
            _ => List::Missing,
        };
    }
    let least = match visit.late {
        Late::Connections | Late::Disconnect | Late::Location => 1,
        Late::Legs => 2,
        _ => 0,
    };
    let count = dice.around(campaign.config.connections).max(least);
    let mut maker = Maker {
        visit,
        config: &campaign.config,
        begin: planned.fired - 600 * SECOND,
        serial: 0,
        dice: Dice::new(pair(visit.hash, 300)),
    };
    let mut connections: Vec<Connection> = (0..count)
        .map(|nth| maker.connection(nth, least > nth, 0))
        .collect();
    if !take_away(&mut connections, visit.late, step) {
        return match dice.below(3) {
            0 => List::Missing,
            1 => List::Null,
            _ => List::of(Vec::new()),
        };
    }
    if connections.is_empty() {
        return match dice.below(if odd { 5 } else { 2 }) {
            0 => List::of(Vec::new()),
            1 => List::Missing,
            2 => List::Null,
            3 => List::Junk("false"),
            _ => List::Junk("{\"0\":null}"),
        };
    }
    let mut list: Vec<Item<Connection>> = connections.into_iter().map(Item::Object).collect();
    if odd && visit.late == Late::Nothing && dice.one_in(40) {
        list.push(Item::Junk(dice.pick(&["null", "\"\"", "[]"])));
    }
    List::Items(list)
}

/// Takes away what has not arrived at this step; false if there is no connection at all yet.
fn take_away(connections: &mut Vec<Connection>, late: Late, step: usize) -> bool {
    let without_location = |connections: &mut Vec<Connection>| {
        let first = connections.first_mut().map(|c| &mut c.recordings);
        if let Some(List::Items(recordings)) = first
            && let Some(Item::Object(recording)) = recordings.first_mut()
        {
            recording.fields.set("location", Value::Null);
            recording.fields.set("stopped", Value::Null);
        }
    };
    match (late, step) {
        (Late::Connections, 0) => return false,
        (Late::Connections | Late::Disconnect, 1) | (Late::Location, 0) => {
            without_location(connections);
        }
        (Late::Disconnect, 0) => {
            without_location(connections);
            for (name, value) in [
                ("disconnected", Value::Empty),
                ("ended", Value::Null),
                ("duration", Value::Missing),
            ] {
                connections[0].fields.set(name, value);
            }
        }
        (Late::Legs, 0) => {
            connections.truncate(1);
            without_location(connections);
        }
        (Late::Legs, 1) => without_location(connections),
        _ => {}
    }
    true
}

/// Makes the connections of one transaction; each gets another `fired`.
struct Maker<'a> {
    visit: &'a Visit,
    config: &'a Config,
    begin: Instant,
    serial: u64,
    dice: Dice,
}

impl Maker<'_> {
    /// The nth connection of an array; a `regular` one is complete and has a recording.
    fn connection(&mut self, nth: usize, regular: bool, depth: usize) -> Connection {
        self.serial += 1;
        let config = self.config;
        let odd = config.oddities && !regular;
        let hash = pair(self.visit.hash, 1000 + self.serial);
        let fired = self.begin + self.serial as i64 * 7001;
        let ended = fired + 2 * SECOND + self.dice.below(90_000) as i64;
        let id = Value::text(ids::uuid(hash));
        let dice = &mut self.dice;
        let (id, fired_value) = match dice.below(if odd { 50 } else { 1 }) {
            1 => (Value::Missing, Value::text(zulu(fired))),
            2 => (Value::Null, Value::text(zulu(fired))),
            3 => (Value::fixed(""), Value::text(local(fired))),
            4 => (Value::number(hash >> 14), Value::text(zulu(fired))),
            5 => (Value::Missing, Value::Missing),
            6 => (id, Value::Null),
            _ => (id, values::time(config, dice, fired)),
        };
        let disconnected = match dice.below(if odd { 40 } else { 1 }) {
            1 => Value::Missing,
            2 => Value::Null,
            3 => Value::fixed(""),
            4 => Value::fixed("unbekannt"),
            _ => values::time(config, dice, ended),
        };
        let transfer = dice.one_in(if nth > 0 { 5 } else { 30 }) && depth < 3;
        let third = if depth > 0 {
            match dice.below(if odd { 8 } else { 1 }) {
                1 => Value::fixed("true"),
                2 => Value::token("1"),
                3 => Value::fixed("1"),
                4 => Value::Missing,
                _ => Value::Bool(true),
            }
        } else {
            match dice.below(if odd { 8 } else { 1 }) {
                1 => Value::Null,
                2 => Value::Missing,
                3 => Value::fixed("false"),
                4 => Value::token("0"),
                5 => Value::Empty,
                _ => Value::Bool(false),
            }
        };
        let duration = match dice.below(if odd { 20 } else { 1 }) {
            1 => Value::text((ended - fired).to_string()),
            2 => Value::token("9.33e4"),
            3 => Value::fixed("lang"),
            4 => Value::Null,
            _ => Value::number(ended - fired),
        };
        let code = match dice.below(if odd { 10 } else { 1 }) {
            1 => Value::fixed("200"),
            2 => Value::Null,
            3 => Value::fixed("no bid"),
            4 => Value::token("166"),
            _ => Value::token("200"),
        };
        let phone = match dice.below(if odd { 20 } else { 1 }) {
            1 => Value::number(49_301_234_567u64),
            2 => Value::Empty,
            _ => Value::text(values::phone(dice)),
        };
        let agent = self.visit.agent();
        let mut f = Fields(Vec::with_capacity(32));
        f.push("id", id);
        f.push("call_uuid", Value::text(ids::uuid(pair(hash, 1))));
        f.push(
            "global_call_uuid",
            Value::text(format!(
                "{}@dialer1.example.invalid",
                ids::uuid(self.visit.hash)
            )),
        );
        f.push(
            "transfer_target_address",
            if transfer {
                Value::fixed("sip:team2@example.invalid")
            } else {
                Value::Empty
            },
        );
        f.push("task_id", Value::text(task_id(self.visit.stage().name)));
        f.push("phone", phone.clone());
        f.push("user", Value::text(agent.clone()));
        f.push("actor", Value::text(agent));
        f.push(
            "hangup_party",
            Value::fixed(dice.pick(&["local", "remote", ""])),
        );
        f.push("isThirdPartyConnection", third);
        f.push("dialerdomain", Value::fixed("dialer1.example.invalid"));
        f.push("clientaddress", Value::fixed("192.0.2.10"));
        f.push("type", Value::fixed("outbound"));
        f.push("fired", fired_value);
        f.push("started", values::time(config, dice, fired));
        f.push("initiated", values::time(config, dice, fired + 310));
        f.push("connected", values::time(config, dice, fired + 1800));
        f.push("disconnected", disconnected);
        f.push("ended", values::time(config, dice, ended + 200));
        f.push("duration", duration);
        f.push("remote_number", phone);
        f.push("line_number", Value::fixed("+493023125000"));
        f.push(
            "technology",
            Value::fixed(if transfer { "transfer" } else { "sip" }),
        );
        f.push("result", Value::fixed("connect"));
        f.push("code", code);
        f.push("call_initiated", Value::text(local(fired + 310)));
        f.push("call_connected", Value::text(local(fired + 1800)));
        f.push("call_disconnected", Value::text(local(ended)));
        f.push("sequence_nr", Value::number(self.serial - 1));
        let recordings = self.recordings(hash, fired, ended, regular);
        let third_party = self.third_party(odd, depth);
        Connection {
            fields: f,
            recordings,
            third_party,
        }
    }

    fn third_party(&mut self, odd: bool, depth: usize) -> List<Connection> {
        if odd && depth < 3 && self.dice.one_in(if depth == 0 { 8 } else { 2 }) {
            let count = 1 + self.dice.below(2) as usize;
            return List::of(
                (0..count)
                    .map(|nth| self.connection(nth, false, depth + 1))
                    .collect(),
            );
        }
        match self.dice.below(3) {
            0 => List::Missing,
            1 => List::Null,
            _ => List::of(Vec::new()),
        }
    }

    fn recordings(
        &mut self,
        hash: u64,
        fired: Instant,
        ended: Instant,
        regular: bool,
    ) -> List<Recording> {
        let odd = self.config.oddities && !regular;
        let dice = &mut self.dice;
        let count = dice
            .around(self.config.recordings)
            .max(usize::from(regular));
        if count == 0 {
            return match dice.below(if odd { 4 } else { 2 }) {
                0 => List::of(Vec::new()),
                1 => List::Missing,
                2 => List::Null,
                _ => List::Junk("\"\""),
            };
        }
        let recordings = (0..count)
            .map(|nth| {
                let started = fired + 500 + nth as i64 * 311;
                let filename =
                    format!("demo_{}_{:04x}_{nth}.mp3", &local(fired)[..10], hash as u16);
                let location = Value::text(format!(
                    "https://api.dialfire.com/api/campaigns/{}/recordings/{}/{}/{filename}",
                    self.config.campaign,
                    local(fired)[..10].replace('-', "/"),
                    ids::uuid(hash),
                ));
                // Only the first one may have an id that comes from the connection alone.
                let shapes = match (odd, nth) {
                    (false, _) => 1,
                    (true, 0) => 20,
                    (true, _) => 18,
                };
                let begun = Value::text(zulu(started));
                let (location, started) = match dice.below(shapes) {
                    16 => (Value::Null, begun),
                    17 => (Value::Missing, begun),
                    18 => (Value::fixed(""), begun),
                    19 => (Value::Null, Value::Missing),
                    _ => (location, values::unique_time(self.config, dice, started)),
                };
                let mut f = Fields(Vec::with_capacity(5));
                f.push("started", started);
                f.push("stopped", values::time(self.config, dice, ended));
                f.push("filename", Value::text(filename));
                f.push("location", location);
                f.push("callnumber", Value::text(format!("{nth:04}")));
                Recording { fields: f }
            })
            .collect();
        List::of(recordings)
    }
}

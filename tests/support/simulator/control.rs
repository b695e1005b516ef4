//! `/control/…`: what the stand-alone simulator is told from outside.
//!
//! `status`, `advance?seconds=N`, `faults?rate=R` (all quick kinds), `delay?milliseconds=N` (before each
//! answer; 0 for none), `outage?on=true`, `deny?on=true`, `truth?table=NAME` (JSON lines, one per row).

use std::io::{self, Write};

use super::campaign::Existence;
use super::config::EmptyAs;
use super::counters::Endpoint;
use super::document::{Fields, Value};
use super::faults::{Fault, Faults};
use super::http::{Answer, Request};
use super::instant::{http_date, zulu};
use super::json::Writer;
use super::truth::{Rows, Truth, TruthFilter};
use super::world::World;

/// Answers a control request and ends the connection.
pub fn respond(world: &World, request: &Request, wire: &mut impl Write) -> io::Result<()> {
    let path = request.path();
    let on = request.parameter("on").as_deref() == Some("true");
    let answer = match path.trim_start_matches("/control/") {
        "status" => status(world),
        "advance" => match request
            .parameter("seconds")
            .and_then(|s| s.parse::<f64>().ok())
        {
            Some(seconds) if seconds >= 0.0 => {
                world.clock.advance((seconds * 1000.0) as i64);
                status(world)
            }
            _ => Answer::plain(400, "seconds=N is missing"),
        },
        "faults" => match request.parameter("rate").and_then(|r| r.parse().ok()) {
            Some(rate) => {
                let faults = Faults::at_rate(rate, &Fault::QUICK);
                world.faults.lock().unwrap().set(faults);
                status(world)
            }
            None => Answer::plain(400, "rate=R is missing"),
        },
        "delay" => match request
            .parameter("milliseconds")
            .and_then(|m| m.parse().ok())
        {
            Some(milliseconds) => {
                let faults = match milliseconds {
                    0 => Faults::none(),
                    _ => Faults::at_rate(1.0, &[Fault::Delay(milliseconds)]),
                };
                world.faults.lock().unwrap().set(faults);
                status(world)
            }
            None => Answer::plain(400, "milliseconds=N is missing"),
        },
        "outage" => {
            world.faults.lock().unwrap().outage = on;
            status(world)
        }
        "deny" => {
            world.faults.lock().unwrap().deny = on;
            status(world)
        }
        "truth" => return truth(world, request, wire),
        _ => Answer::plain(404, "404 - Not Found"),
    };
    let date = http_date(world.clock.now());
    wire.write_all(&answer.bytes(&date, false))?;
    wire.flush()
}

fn status(world: &World) -> Answer {
    let now = world.clock.now();
    let counters = world.counters.lock().unwrap();
    let mut fields = Fields::default();
    fields.push("now", Value::text(zulu(now)));
    fields.push("contacts", Value::number(world.campaign.population(now)));
    for endpoint in Endpoint::ALL {
        fields.push(
            format!("requests_{}", endpoint.name()),
            Value::number(counters.of(endpoint)),
        );
    }
    fields.push("documents", Value::number(counters.documents));
    fields.push("sent_bytes", Value::number(counters.sent_bytes));
    fields.push("answers_made", Value::number(counters.answers_made));
    fields.push("faults", Value::number(counters.faults));
    fields.push("most_connections", Value::number(counters.most_connections));
    let mut writer = Writer::new(EmptyAs::Null);
    writer.fields(&fields);
    Answer::json(writer.out)
}

/// The rows of one table, contact by contact, each as one line; deleted contacts are left out.
fn truth(world: &World, request: &Request, wire: &mut impl Write) -> io::Result<()> {
    let table = request.parameter("table").unwrap_or_default();
    let now = world.clock.now();
    let answer = Answer {
        content_type: "application/x-ndjson",
        ..Answer::json(Vec::new())
    };
    wire.write_all(&answer.head(&http_date(now), None, false))?;
    if table == "inbound_calls" {
        return write_rows(&world.inbound_truth(None, now), &table, wire);
    }
    let filter = TruthFilter::default();
    for contact in 0..world.campaign.population(now) {
        if world.campaign.existence(contact, now) == Existence::Live
            && let Some(rows) = world.truth_of(contact, &filter, now)
        {
            write_rows(&rows, &table, wire)?;
        }
    }
    wire.flush()
}

fn write_rows(truth: &Truth, table: &str, wire: &mut impl Write) -> io::Result<()> {
    let rows: Option<&Rows> = truth
        .tables()
        .into_iter()
        .find(|(n, _)| *n == table)
        .map(|(_, r)| r);
    for row in rows.into_iter().flat_map(Rows::values) {
        let mut fields = Fields::default();
        for (column, cell) in row {
            fields.push(
                column.clone(),
                cell.clone().map_or(Value::Null, Value::text),
            );
        }
        let mut writer = Writer::new(EmptyAs::Null);
        writer.fields(&fields);
        writer.out.push(b'\n');
        wire.write_all(&writer.out)?;
    }
    Ok(())
}

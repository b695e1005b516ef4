//! The simulator as a program of its own, for the demo and the benchmark.
//!
//! Prints `url=`, `campaign=` and `token=`, then serves until it is ended. `--help` lists the flags;
//! `/control/…` (see `control.rs`) moves time and gives the true rows.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "mod.rs"]
mod simulator;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::prelude::{Long, ValueExt};
use simulator::{
    Config, EmptyAs, EventForm, EventsBy, Fault, Faults, FieldsAt, InboundBy, Md5Covers, Simulator,
    TlsFiles, UnknownIds,
};

const HELP: &str = "\
Simulates the Dialfire API on 127.0.0.1.

  --port N             0 (default): any free port
  --seed N             1
  --start TIME         simulated time at the start, YYYY-MM-DD[Thh:mm:ss]
  --realtime           simulated time runs by itself
  --campaign ID  --token TOKEN
  --contacts N         contacts at the start (200)
  --visits X           calls per contact in the past, on average (2.0)
  --connections X      connections per call (1.2)
  --recordings X       recordings per connection (0.8)
  --custom-fields N    (40)
  --history-days N     (180)
  --daily-share X      share of the contacts that change per day (0.1)
  --new-per-day X      contacts created per day (5)
  --inbound-per-day N  (5)
  --plain              no odd names, values and shapes
  --no-gzip
  --cert FILE --key FILE   HTTPS
  --fault-rate X       share of the requests that go wrong (0)
  --delay MS           time before each answer, instead of faults
  --keep-answers       send the same contacts again at next to no cost
  --page-cap N  --max-ids N
  --events-by fired|modified   --md5-covers everything|contact
  --unknown-ids absent|null|404|500   --empty-as text|missing|null
  --inbound-by call|modified   --event-form text|object   --fields-at list|campaign
  --to-inclusive  --keep-deleted  --no-pointer  --suffix-digits N
";

fn main() -> ExitCode {
    match config() {
        Ok(Some((config, faults))) => serve(config, faults),
        Ok(None) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("simulator: {error} (see --help)");
            ExitCode::from(2)
        }
    }
}

fn serve(config: Config, faults: Faults) -> ExitCode {
    let sim = Simulator::start(config);
    sim.set_faults(faults);
    println!("url={}", sim.url());
    println!("campaign={}", sim.campaign());
    println!("token={}", sim.token());
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// The settings and faults that the command line asks for; `None` for `--help`.
fn config() -> Result<Option<(Config, Faults)>, lexopt::Error> {
    let mut config = Config::default();
    let mut faults = Faults::none();
    let (mut certificate, mut key) = (None, None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(flag) = parser.next()? {
        let Long(name) = flag else {
            return Err(flag.unexpected());
        };
        let readings = &mut config.readings;
        match name.to_owned().as_str() {
            "help" => return Ok(None),
            "port" => config.port = parser.value()?.parse()?,
            "seed" => config.seed = parser.value()?.parse()?,
            "start" => {
                let text = parser.value()?.string()?;
                let at = simulator::instant::parse(&text).ok_or("--start is no time")?;
                config.start = simulator::instant::to_datetime(at);
            }
            "realtime" => config.realtime = true,
            "campaign" => config.campaign = parser.value()?.string()?,
            "token" => config.token = parser.value()?.string()?,
            "contacts" => config.contacts = parser.value()?.parse()?,
            "visits" => config.visits = parser.value()?.parse()?,
            "connections" => config.connections = parser.value()?.parse()?,
            "recordings" => config.recordings = parser.value()?.parse()?,
            "custom-fields" => config.custom_fields = parser.value()?.parse()?,
            "history-days" => {
                let days: u64 = parser.value()?.parse()?;
                config.history = Duration::from_secs(days * 86_400);
            }
            "daily-share" => config.daily_share = parser.value()?.parse()?,
            "new-per-day" => config.new_per_day = parser.value()?.parse()?,
            "inbound-per-day" => config.inbound_per_day = parser.value()?.parse()?,
            "plain" => config.oddities = false,
            "no-gzip" => config.gzip = false,
            "cert" => certificate = Some(parser.value()?.into()),
            "key" => key = Some(parser.value()?.into()),
            "fault-rate" => faults = Faults::at_rate(parser.value()?.parse()?, &Fault::QUICK),
            "delay" => faults = Faults::at_rate(1.0, &[Fault::Delay(parser.value()?.parse()?)]),
            "keep-answers" => config.keep_answers = true,
            "page-cap" => readings.page_cap = parser.value()?.parse()?,
            "max-ids" => readings.max_ids = Some(parser.value()?.parse()?),
            "to-inclusive" => readings.to_inclusive = true,
            "keep-deleted" => readings.deleted_vanish = false,
            "no-pointer" => readings.pointer = false,
            "suffix-digits" => readings.suffix_digits = parser.value()?.parse()?,
            "events-by" => {
                readings.events_by = word(
                    &mut parser,
                    &[("fired", EventsBy::Fired), ("modified", EventsBy::Modified)],
                )?;
            }
            "md5-covers" => {
                readings.md5_covers = word(
                    &mut parser,
                    &[
                        ("everything", Md5Covers::Everything),
                        ("contact", Md5Covers::ContactOnly),
                    ],
                )?;
            }
            "unknown-ids" => {
                readings.unknown_ids = word(
                    &mut parser,
                    &[
                        ("absent", UnknownIds::Absent),
                        ("null", UnknownIds::Null),
                        ("404", UnknownIds::Error404),
                        ("500", UnknownIds::Error500),
                    ],
                )?;
            }
            "empty-as" => {
                readings.empty_as = word(
                    &mut parser,
                    &[
                        ("text", EmptyAs::Text),
                        ("missing", EmptyAs::Missing),
                        ("null", EmptyAs::Null),
                    ],
                )?;
            }
            "inbound-by" => {
                readings.inbound_by = word(
                    &mut parser,
                    &[
                        ("call", InboundBy::CallTime),
                        ("modified", InboundBy::Modified),
                    ],
                )?;
            }
            "event-form" => {
                readings.event_form = word(
                    &mut parser,
                    &[("text", EventForm::Text), ("object", EventForm::Object)],
                )?;
            }
            "fields-at" => {
                readings.fields_at = word(
                    &mut parser,
                    &[("list", FieldsAt::List), ("campaign", FieldsAt::Campaign)],
                )?;
            }
            other => return Err(format!("unknown flag --{other}").into()),
        }
    }
    config.tls = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        _ => return Err("--cert and --key belong together".into()),
    };
    Ok(Some((config, faults)))
}

/// One of these words.
fn word<T: Copy>(parser: &mut lexopt::Parser, words: &[(&str, T)]) -> Result<T, lexopt::Error> {
    let word = parser.value()?.string()?;
    let found = words.iter().find(|(name, _)| *name == word);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        format!("{word} is none of {}", names.join(", ")).into()
    })
}

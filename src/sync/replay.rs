//! replay: what could not be delivered is posted once more, word for word.

use std::io::Write;
use std::time::Duration;

use time::OffsetDateTime;

use crate::dialfire::retry::{Attempt, Pause, RetryPolicy};
use crate::error::{Error, ErrorKind, Result};
use crate::webhook::ledger::{Ledger, Mark};
use crate::webhook::receiver::{Receiver, Verdict};
use crate::webhook::sender::day;
use crate::webhook::spool::{Entry, Spool};

/// Posts all requests of the spool, oldest first, and prints what became of each.
///
/// # Errors
/// [`Setup`](ErrorKind::Setup) if any is left; [`Stopped`](ErrorKind::Stopped) when told to.
pub fn run(
    receiver: &Receiver,
    mut ledger: Ledger,
    mut spool: Spool,
    retry: RetryPolicy,
    pause: &Pause,
) -> Result<()> {
    let mut stopped = None;
    for key in spool.keys() {
        let Some(entry) = spool.read(key)? else {
            continue;
        };
        let name = format!("{} of contact {}", entry.transaction, entry.contact);
        match post(receiver, &entry, retry, pause) {
            Ok(()) => {
                let mark = Mark {
                    event: entry.event,
                    content: entry.content,
                };
                ledger.record(entry.key, mark, day(OffsetDateTime::now_utc()));
                spool.forget(key);
                print(&format!("sent         {name}"));
            }
            Err(error) if error.kind() == ErrorKind::Data => {
                print(&format!("still fails  {name}: {error}"));
            }
            Err(error) => {
                print(&format!("not sent     {name}: {error}"));
                stopped = Some(error);
                break;
            }
        }
    }
    if let Some(file) = ledger.begin_sync()? {
        file.sync_data()
            .map_err(|error| Error::transient(format!("cannot sync the ledger: {error}")))?;
    }
    spool.tidy()?;
    if let Some(error) = stopped.filter(|error| error.kind() == ErrorKind::Stopped) {
        return Err(error);
    }
    match spool.len() {
        0 => {
            print("nothing is left undelivered");
            Ok(())
        }
        left => Err(Error::setup(format!(
            "{left} requests are still undelivered: see {}",
            spool.path().display()
        ))),
    }
}

/// One request with its repetitions: [`ErrorKind::Data`] if it is refused, anything else if the receiver is down.
fn post(receiver: &Receiver, entry: &Entry, retry: RetryPolicy, pause: &Pause) -> Result<()> {
    retry.run("POST to the web service", pause, || {
        let timestamp = OffsetDateTime::now_utc().unix_timestamp();
        let again = |reason: String, retry_after: Option<Duration>| Attempt::Again {
            reason,
            retry_after,
        };
        match receiver.post(&entry.id, timestamp, &entry.body).verdict {
            Verdict::Delivered => Attempt::Done(()),
            Verdict::Refused(reason) => Attempt::Failed(Error::data(reason)),
            Verdict::Troubled(reason) | Verdict::Unreachable(reason) => again(reason, None),
            Verdict::Busy { reason, wait } => again(reason, wait),
        }
    })
}

fn print(line: &str) {
    log::info!("{line}");
    let _ = writeln!(std::io::stdout(), "{line}");
}

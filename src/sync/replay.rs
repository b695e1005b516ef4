//! replay: what could not be delivered is posted once more, word for word.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::closing::{Closing, say};
use crate::dialfire::retry::{Attempt, Pause, RetryPolicy};
use crate::error::{Error, ErrorKind, Result};
use crate::webhook::ledger::{Ledger, Mark};
use crate::webhook::receiver::{Receiver, Verdict};
use crate::webhook::sender::day;
use crate::webhook::spool::{Entry, Spool};

/// Posts all requests of the spool, oldest first, and prints what became of each; returns the exit code.
///
/// # Errors
/// Those of the state directory.
pub fn run(
    receiver: &Receiver,
    mut ledger: Ledger,
    mut spool: Spool,
    retry: RetryPolicy,
    pause: &Pause,
) -> Result<u8> {
    let begin = Instant::now();
    let (mut stopped, mut sent) = (None, 0);
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
                sent += 1;
                say(&format!("sent         {name}"));
            }
            Err(error) if error.kind() == ErrorKind::Data => {
                say(&format!("still fails  {name}: {error}"));
            }
            Err(error) => {
                say(&format!("not sent     {name}: {error}"));
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
    let left = spool.len();
    let missing = if left == 0 {
        Vec::new()
    } else {
        vec![format!(
            "{left} requests are still undelivered, see {}",
            spool.path().display()
        )]
    };
    let done = match stopped.filter(|error| error.kind() == ErrorKind::Stopped) {
        Some(error) => Err(error),
        None => Ok(()),
    };
    let closing = Closing {
        mode: "replay",
        counts: format!("{sent} requests sent"),
        missing,
        time: begin.elapsed(),
        ..Closing::default()
    };
    Ok(closing.end(done, None))
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

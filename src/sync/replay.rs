//! replay: what could not be delivered is posted once more, word for word, by the lanes of webhook: at its rate, one
//! request of a contact at a time, and with the pauses that the web service asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::closing::{Closing, say};
use crate::destination::webhook::sender::Sender;
use crate::error::{Error, ErrorKind, Result};
use crate::shutdown::Shutdown;

/// How often it looks whether it was told to stop.
const STEP: Duration = Duration::from_millis(100);

/// Posts all requests of the spool, oldest first, prints what became of each, and returns the exit code.
///
/// # Errors
/// Where the ledger or the spool can't be written.
pub fn run(sender: &Sender, shutdown: &Shutdown) -> Result<u8> {
    let begin = Instant::now();
    let mut names = BTreeMap::new();
    let done = post_all(sender, shutdown, &mut names);
    sender.stop();
    sender.sync_ledger()?;
    sender.spool().compact()?;
    let left: BTreeSet<u64> = sender.spool().keys().into_iter().collect();
    let refusals = sender.refusals();
    for (key, name) in &names {
        say(&match (left.contains(key), refusals.get(key)) {
            (false, _) => format!("sent         {name}"),
            (true, Some(reason)) => format!("still fails  {name}: {reason}"),
            (true, None) => format!("not sent     {name}"),
        });
    }
    let mut missing = Vec::new();
    if !left.is_empty() {
        missing.push(format!(
            "{} requests are still undelivered, see {}",
            left.len(),
            sender.spool().path().display()
        ));
    }
    // What keeps the web service from taking anything is no error of this program's.
    let done = match done {
        Err(error) if error.kind() == ErrorKind::Transient => {
            missing.push(error.to_string());
            Ok(())
        }
        done => done,
    };
    let sent = names.keys().filter(|key| !left.contains(key)).count();
    let closing = Closing {
        mode: "replay",
        counts: format!("{sent} requests sent"),
        missing,
        time: begin.elapsed(),
        ..Closing::default()
    };
    Ok(closing.end(done, None))
}

/// Hands everything to the lanes and waits until nothing more can be delivered. `names` takes what was handed over.
fn post_all(sender: &Sender, shutdown: &Shutdown, names: &mut BTreeMap<u64, String>) -> Result<()> {
    let keys = sender.spool().keys();
    for key in keys {
        let entry = sender.spool().read(key)?;
        let Some(entry) = entry else { continue };
        names.insert(
            key,
            format!("{} of contact {}", entry.transaction, entry.contact),
        );
        sender.put(vec![entry.into_delivery(0)], || go_on(sender, shutdown))?;
    }
    let mut standing = sender.standing();
    while standing.waiting > 0 {
        go_on(sender, shutdown)?;
        standing = sender.rest(STEP);
    }
    Ok(())
}

/// # Errors
/// [`Stopped`](ErrorKind::Stopped), or why nothing can be delivered for now.
fn go_on(sender: &Sender, shutdown: &Shutdown) -> Result<()> {
    if shutdown.requested() {
        return Err(Error::stopped());
    }
    let standing = sender.standing();
    if !standing.hopeless {
        return Ok(());
    }
    let why = standing.unnoted.or(standing.outage);
    Err(Error::transient(why.unwrap_or_else(|| {
        "the web service asks to wait, or does not answer".to_owned()
    })))
}

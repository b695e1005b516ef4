//! How things stand at the end of a round and in between: waiting for the receiver, the checkpoint, log and status.

use std::time::Instant;

use time::OffsetDateTime;

use super::begin::ledger_cutoff;
use super::{STEP, Tally, WebhookRun};
use crate::destination::webhook::sender::day;
use crate::error::{Error, ErrorKind, Result};
use crate::net::retry::random;
use crate::status::Deliveries;
use crate::sync::database::backoff;

impl WebhookRun {
    /// Waits until nothing moves any more: what remains rests before its next attempt. With `--once` nothing remains.
    ///
    /// Without it, an outage keeps nobody from the next poll: where it is only what is here that the receiver refuses, what
    /// comes next ends it.
    pub(super) fn wait_until_quiet(&self) -> Result<()> {
        let mut standing = self.sender.standing();
        while standing.moving || (self.settings.once && standing.waiting > 0) {
            self.patience()?;
            if standing.outage.is_some() && !self.settings.once {
                break;
            }
            standing = self.sender.rest(STEP);
        }
        Ok(())
    }

    /// To be asked again and again while waiting for the receiver.
    pub(super) fn patience(&self) -> Result<()> {
        if self.shutdown.requested() {
            return Err(Error::stopped());
        }
        self.board.borrow_mut().publish_in_between(Instant::now());
        let standing = self.sender.standing();
        let why = standing.unnoted.clone().or_else(|| {
            let reason = standing.outage.as_ref()?;
            Some(format!("the web service takes nothing: {reason}"))
        });
        if self.settings.once && standing.hopeless {
            let why = why.unwrap_or_else(|| {
                "the web service asks to wait or does not answer, or what it refuses can't be kept"
                    .to_owned()
            });
            return Err(Error::transient(format!("{why}; nothing is lost")));
        }
        if let Some(why) = why {
            let error = Error::transient(why);
            let mut board = self.board.borrow_mut();
            let known = board.status.last_error.as_ref();
            if known.is_none_or(|known| known.message != error.to_string()) {
                board.status.webhook = Some(self.deliveries());
                board.record_error(&error);
            }
        }
        Ok(())
    }

    pub(super) fn deliveries(&self) -> Deliveries {
        let standing = self.sender.standing();
        Deliveries {
            delivered: standing.counts.delivered,
            failed_attempts: standing.counts.failed,
            waiting: standing.waiting,
            undelivered: self.sender.spool().len(),
        }
    }

    /// Saves how far everything is delivered or spooled, once the ledger is on the disk.
    pub(super) fn save(&mut self) -> Result<()> {
        let rounds = self.sender.open_rounds();
        self.open.retain(|(round, _)| rounds.contains(round));
        self.sender.sync_ledger()?;
        let mut checkpoint = self.checkpoint.clone();
        if let Some((_, before)) = self.open.first() {
            checkpoint = before.clone();
            for (waiting, more) in [
                (&mut checkpoint.retry, &self.checkpoint.retry),
                (&mut checkpoint.absent, &self.checkpoint.absent),
            ] {
                waiting.extend(more.clone());
                waiting.sort_unstable();
                waiting.dedup();
            }
            checkpoint.recent.clone_from(&self.checkpoint.recent);
            let now = &self.checkpoint.unmatched;
            (checkpoint.unmatched)
                .retain(|before| !now.iter().any(|other| other.event == before.event));
            checkpoint.unmatched.extend(now.clone());
        }
        self.missing.save_in(&mut checkpoint);
        self.files.save(&checkpoint)?;
        let today = day(self.client.clock().now());
        if today != self.pruned {
            self.pruned = today;
            let now = self.client.clock().now();
            let cutoff = ledger_cutoff(Some(&checkpoint), now, self.settings.ledger_days);
            self.sender.ledger().prune(cutoff)?;
        }
        self.sender.spool().compact()
    }

    /// The end of a round, which is a success only if the checkpoint was saved as well.
    ///
    /// # Errors
    /// With `--once`, that it could not be saved.
    pub(super) fn ended(&mut self, tally: &Tally, begin: Instant) -> Result<()> {
        self.missing.end_round();
        let saved = self.save();
        let is_saved = saved.is_ok();
        if let Err(error) = saved {
            if self.settings.once {
                return Err(error);
            }
            log::error!("{error}");
            self.board.borrow_mut().record_error(&error);
        }
        let deliveries = self.deliveries();
        log::info!(
            "webhook: {} events looked at, {} contacts fetched; {} transactions delivered since the start, {} wait, {} \
             undelivered; {:.1} s",
            tally.listed,
            tally.fetched,
            deliveries.delivered,
            deliveries.waiting,
            deliveries.undelivered,
            begin.elapsed().as_secs_f64()
        );
        let lag = self
            .checkpoint
            .poll
            .map(|poll| (self.client.clock().now() - poll).whole_seconds().max(0));
        let mut board = self.board.borrow_mut();
        match &tally.doubt {
            None if is_saved => board.status.rounds += 1,
            None => board.status.failed_rounds += 1,
            Some(error) => {
                log::error!("this round does not count as a success: {error}");
                board.status.failed_rounds += 1;
                board.record_error(error);
            }
        }
        board.status.unanswered += u64::try_from(tally.unanswered).unwrap_or(u64::MAX);
        // A web service that takes nothing has not answered.
        if self.sender.standing().outage.is_none() && tally.doubt.is_none() && is_saved {
            board.status.last_success = Some(OffsetDateTime::now_utc());
        }
        board.status.checkpoint = self.checkpoint.poll;
        board.status.lag_seconds = lag.and_then(|lag| u64::try_from(lag).ok());
        board.status.webhook = Some(deliveries);
        board.publish();
        Ok(())
    }

    pub(super) fn failed(&mut self, error: Error, failures: u32) -> Result<()> {
        self.missing.end_round();
        let gives_up = self.settings.once
            || matches!(
                error.kind(),
                ErrorKind::Stopped | ErrorKind::Usage | ErrorKind::Locked
            );
        if let Err(error) = self.save() {
            log::error!("{error}");
        }
        if gives_up {
            return Err(error);
        }
        let wait = backoff(self.settings.retry_wait, u32::MAX).wait(failures, None, random());
        log::error!(
            "this round is not complete, what is missing is read again: {error}; next try in {:.1} s",
            wait.as_secs_f64()
        );
        {
            let mut board = self.board.borrow_mut();
            board.status.failed_rounds += 1;
            board.record_error(&error);
        }
        if self.shutdown.sleep(wait) {
            Err(Error::stopped())
        } else {
            Ok(())
        }
    }
}

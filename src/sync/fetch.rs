//! Worker threads: contact ids → documents → rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::list::Message;
use super::profile::{Activity, Profile};
use crate::error::{Error, Result};
use crate::logging::limit::LogLimit;
use crate::net::large::Held;
use crate::source::client::{Client, Fetched};
use crate::source::contacts::each_contact;
use crate::tables::batch::Batch;
use crate::tables::fields::Layout;
use crate::tables::filter::Filter;
use crate::tables::rows::{Remarks, RowMaker};
use crate::text;

/// Contacts per request: what the old client 1.15.0 asks for. Others ask for up to 30; the limit is not known.
pub const IDS_PER_REQUEST: usize = 20;

/// Bytes of rows that are handed over at a time, but for those of the last answer.
const MAX_ROWS: usize = 4 << 20;

/// Contacts to fetch, and where to send what came of it.
pub struct Job {
    /// Not more than [`IDS_PER_REQUEST`], none twice.
    pub ids: Vec<String>,
    /// Columns of the contacts table at this time.
    pub layout: Arc<Layout>,
    /// What `$changed` becomes.
    pub stamp: String,
    /// The main thread's inbox.
    pub reply: SyncSender<Message>,
    /// Set when the pass was given up: nobody waits for the answer any more.
    pub given_up: Arc<AtomicBool>,
    /// How often contacts of the pass were asked for again in vain.
    pub in_vain: Arc<InVain>,
}

/// What came of a job.
#[derive(Debug, Default)]
pub struct Answer {
    /// The ids of the job.
    pub ids: Vec<String>,
    /// Rows of the contacts that came.
    pub batch: Batch,
    /// Ids that the API has no document for.
    pub unanswered: Vec<String>,
    /// Ids that the API fails on although it works otherwise: to be tried again at the next reconcile.
    pub failing: Vec<String>,
    /// Ids that are to be asked for with another job, as the rows of those before are many.
    pub postponed: Vec<String>,
    /// What was odd in the documents.
    pub remarks: Remarks,
    /// Until the rows are taken no other large answer is read.
    pub held: Held,
}

/// The threads; they end when this is dropped.
pub struct Fetchers {
    jobs: Sender<Job>,
}

/// What each thread works with.
#[derive(Clone)]
pub struct Reader {
    /// The API.
    pub client: Client,
    /// Which transactions are stored.
    pub filter: Arc<Filter>,
    /// Where the time goes.
    pub profile: Profile,
}

impl Fetchers {
    /// Starts so many threads.
    ///
    /// # Errors
    /// [`Setup`](crate::error::ErrorKind::Setup) where the system refuses a thread.
    pub fn start(count: usize, reader: &Reader) -> Result<Self> {
        let (jobs, inbox) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        for number in 0..count {
            let (reader, inbox) = (reader.clone(), Arc::clone(&inbox));
            thread::Builder::new()
                .name(format!("fetch-{number}"))
                .spawn(move || work(&reader, &inbox))
                .map_err(|error| {
                    Error::setup(format!(
                        "cannot start {count} threads: {error} (choose a smaller --workers)"
                    ))
                })?;
        }
        Ok(Fetchers { jobs })
    }

    /// Hands over a job; never blocks.
    pub fn send(&self, job: Job) {
        // The threads live as long as the sender: nobody else closes the channel.
        let _ = self.jobs.send(job);
    }
}

fn work(reader: &Reader, inbox: &Mutex<Receiver<Job>>) {
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if job.given_up.load(Ordering::Relaxed) {
            continue;
        }
        // A thread that died would leave the main thread waiting for its answer for ever.
        let reply = match catch_unwind(AssertUnwindSafe(|| reader.fetch(&job))) {
            Ok(Ok(mut answer)) => {
                answer.batch.shrink();
                Message::Fetched(Box::new(answer))
            }
            Ok(Err(error)) => Message::Failed(error),
            Err(_) => Message::Failed(Error::transient(
                "an internal error while contacts were read (see the log)",
            )),
        };
        // Nobody listens any more where the pass was given up.
        let _ = job.reply.send(reply);
    }
}

/// Contacts that brought no document.
#[derive(Debug, Default)]
pub struct Missing {
    /// The API has no document for them.
    pub unanswered: Vec<String>,
    /// The API fails on them although it works otherwise.
    pub failing: Vec<String>,
    /// They were not asked for, as what came before is enough at a time.
    pub postponed: Vec<String>,
}

/// How often in a row contacts of whom nobody came are asked for again in smaller parts, in vain. Each deleted contact takes
/// two such requests, and a list may name any number of them.
const MAX_IN_VAIN: usize = 1_000;

/// How often contacts were asked for again in vain, since it last helped: shared by all that fetch for a pass.
#[derive(Debug, Default)]
pub struct InVain {
    count: AtomicUsize,
    failures: Failures,
}

/// The contacts that could not be fetched, by the status of the answer: of a run as a whole.
pub type Failures = Arc<Mutex<LogLimit<u16>>>;

impl InVain {
    /// For a pass of a run.
    pub fn new(failures: &Failures) -> Self {
        InVain {
            count: AtomicUsize::default(),
            failures: Arc::clone(failures),
        }
    }

    /// Logs that a contact could not be fetched, unless too many could not.
    fn log_failure(&self, id: &str, status: u16, reason: &str) {
        let line = (self.failures.lock())
            .unwrap_or_else(PoisonError::into_inner)
            .count(status, "", Instant::now());
        line.log(log::Level::Error, &format!(
            "cannot fetch contact {}: {reason}; other calls work, so it is left out and asked for again later",
            text::foreign(id)
        ));
    }

    /// Whether contacts of whom nobody came are worth another request.
    fn may_help(&self) -> bool {
        self.count.load(Ordering::Relaxed) < MAX_IN_VAIN
    }

    fn note(&self, helped: bool) {
        if helped {
            self.count.store(0, Ordering::Relaxed);
        } else {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Fetches contacts. A batch that the API refuses is halved until the contact that it refuses is alone. So is what an
/// answer left out: a contact counts as absent if it does not come when it is asked for alone. `fetch` returns what it
/// read, and the contacts that were not in the answer; `take` whether there is room for more.
///
/// # Errors
/// As [`Client::contacts`]: trouble with the API as a whole.
pub fn halving<T>(
    client: &Client,
    ids: &[String],
    in_vain: &InVain,
    mut fetch: impl FnMut(&[String]) -> Result<Fetched<(T, Vec<String>)>>,
    mut take: impl FnMut(T, Held) -> bool,
) -> Result<Missing> {
    let mut missing = Missing::default();
    let mut parts = vec![(ids.to_vec(), false)];
    let mut all_unreadable = true;
    while let Some((ids, is_repeated)) = parts.pop() {
        match fetch(&ids)? {
            Fetched::Read((part, absent), held) => {
                all_unreadable = false;
                let some_came = absent.len() < ids.len();
                if is_repeated {
                    in_vain.note(some_came);
                }
                if ids.len() > 1 && (some_came || in_vain.may_help()) {
                    let (first, second) = absent.split_at(absent.len() / 2);
                    for half in [second, first] {
                        if !half.is_empty() {
                            parts.push((half.to_vec(), true));
                        }
                    }
                } else {
                    missing.unanswered.extend(absent);
                }
                // An answer without any of them has no rows, however large it is.
                if some_came && !take(part, held) {
                    missing.postponed = parts.into_iter().flat_map(|(ids, _)| ids).collect();
                    return Ok(missing);
                }
            }
            Fetched::RefusedBatch { status, reason } => {
                let passing = status == 200 || status >= 500;
                if passing {
                    // Is it this batch, or the API as a whole? The latter is not the contacts' fault.
                    client.fields()?;
                }
                match ids.as_slice() {
                    [_] if status == 200 && all_unreadable && !missing.failing.is_empty() => {
                        // Not this contact or that one, but the form of the answers.
                        return Err(Error::transient(format!(
                            "contacts can't be read: {reason}"
                        )));
                    }
                    [id] if passing => {
                        all_unreadable &= status == 200;
                        in_vain.log_failure(id, status, &reason);
                        missing.failing.push(id.clone());
                    }
                    [id] => {
                        all_unreadable = false;
                        log::debug!("contact {id} is refused with status {status}");
                        missing.unanswered.push(id.clone());
                    }
                    ids => {
                        let (first, second) = ids.split_at(ids.len() / 2);
                        parts.push((second.to_vec(), is_repeated));
                        parts.push((first.to_vec(), is_repeated));
                    }
                }
            }
        }
    }
    Ok(missing)
}

impl Reader {
    /// Fetches the contacts of a job.
    ///
    /// # Errors
    /// As [`halving`].
    pub fn fetch(&self, job: &Job) -> Result<Answer> {
        let mut answer = Answer {
            batch: Batch::for_schema(job.layout.schema()),
            ..Answer::default()
        };
        let missing = halving(
            &self.client,
            &job.ids,
            &job.in_vain,
            |ids| self.fetch_part(ids, job),
            |part, held| {
                answer.held = held;
                if answer.batch.is_empty() {
                    // The ordinary case, without a copy: one part is all.
                    answer.batch = part.batch;
                } else {
                    answer.batch.append(&part.batch);
                }
                answer.remarks.append(part.remarks);
                answer.held.is_none() && answer.batch.bytes() < MAX_ROWS
            },
        )?;
        answer.unanswered = missing.unanswered;
        answer.failing = missing.failing;
        answer.ids.clone_from(&job.ids);
        answer.ids.retain(|id| !missing.postponed.contains(id));
        answer.postponed = missing.postponed;
        Ok(answer)
    }

    fn fetch_part(&self, ids: &[String], job: &Job) -> Result<Fetched<(Answer, Vec<String>)>> {
        let begin = Instant::now();
        let mut parsing = Duration::ZERO;
        let fetched = self.client.contacts(ids, |text| {
            let begin = Instant::now();
            let answer = self.read(text, ids, job);
            parsing += begin.elapsed();
            answer
        });
        self.profile.add(Activity::Parsing, parsing);
        self.profile
            .add(Activity::Fetching, begin.elapsed().saturating_sub(parsing));
        fetched
    }

    /// Reads the documents of an answer, and which contacts it has none for; the error says what is wrong with it.
    fn read(
        &self,
        text: &str,
        ids: &[String],
        job: &Job,
    ) -> std::result::Result<(Answer, Vec<String>), String> {
        let maker = RowMaker {
            layout: &job.layout,
            filter: &self.filter,
            stamp: &job.stamp,
        };
        let mut answer = Answer {
            batch: Batch::for_schema(job.layout.schema()),
            ..Answer::default()
        };
        let absent = each_contact(text, ids, |_, contact| {
            maker.contact(contact, &mut answer.batch, &mut answer.remarks)
        })?;
        Ok((answer, absent))
    }
}

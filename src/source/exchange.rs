//! From request to content: what each status means, and whether the content is what was expected.

use std::borrow::Cow;
use std::time::Duration;

use super::clock::Clock;
use super::json::{may_hold_surrogates, mend_surrogates};
use crate::error::{Error, ErrorKind, Result};
use crate::logging::limit::Line;
use crate::net::http::{Answer, Failure, Http};
use crate::net::large::Held;
use crate::net::retry::{Attempt, Pause, RetryPolicy};

/// Makes requests for one campaign and judges the answers.
pub struct Exchange {
    /// Sends.
    pub http: Http,
    /// Campaign id, for messages.
    pub campaign: String,
    /// Learns the time from each good answer.
    pub clock: Clock,
    /// How often and how patiently a request is tried.
    pub retry: RetryPolicy,
    /// How to wait between attempts.
    pub pause: Pause,
}

/// A request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its name in messages.
    pub call: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// JSON to post; `None` for GET.
    pub body: Option<&'a str>,
}

/// What came of a request, with its repetitions.
#[derive(Debug)]
pub enum Reply<T> {
    /// The content, as read.
    Read(T, Held),
    /// A 4xx that may mean something to the caller, with what the server said, as `: text` or nothing.
    Refused {
        /// HTTP status.
        status: u16,
        /// What the server said.
        said: String,
    },
}

/// What came of one attempt.
#[derive(Debug)]
pub enum Outcome<T> {
    /// The end of it, good or bad.
    Reply(Reply<T>),
    /// No repetition helps.
    Failed(Error),
    /// It may work later.
    Trouble {
        /// Why it failed.
        reason: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
        /// The HTTP status, if what was asked for may be the cause: the server failed on it (500), or its answer is too
        /// long or no proper JSON (200).
        of_content: Option<u16>,
    },
}

impl Exchange {
    /// Repeats the request until it brings a reply.
    ///
    /// # Errors
    /// [`Refused`](ErrorKind::Refused) for 401 and 403; [`Setup`](ErrorKind::Setup) for a redirect and for a certificate
    /// that is not trusted; [`Transient`](ErrorKind::Transient) after the last attempt; [`Stopped`](ErrorKind::Stopped).
    pub fn run<T>(
        &self,
        request: Request<'_>,
        mut read: impl FnMut(&str) -> std::result::Result<T, String>,
    ) -> Result<Reply<T>> {
        self.retry.run(request.call, &self.pause, || {
            match self.attempt(request, &mut read) {
                Outcome::Reply(reply) => Attempt::Done(reply),
                Outcome::Failed(error) => Attempt::Failed(error),
                Outcome::Trouble {
                    reason,
                    retry_after,
                    ..
                } => Attempt::Again {
                    reason,
                    retry_after,
                    line: Line::Whole,
                },
            }
        })
    }

    /// Makes one attempt. The reading of the content is part of it: an answer that can't be read is no answer.
    pub fn attempt<T>(
        &self,
        request: Request<'_>,
        read: &mut impl FnMut(&str) -> std::result::Result<T, String>,
    ) -> Outcome<T> {
        let call = request.call;
        let answer = match self.http.send(request.path, request.body) {
            Ok(answer) => answer,
            Err(Failure::Passing(reason)) => {
                return Outcome::Trouble {
                    reason,
                    retry_after: None,
                    of_content: None,
                };
            }
            Err(Failure::TooLong(reason)) => {
                return Outcome::Trouble {
                    reason,
                    retry_after: None,
                    of_content: Some(200),
                };
            }
            Err(Failure::Certificate(reason)) => {
                return Outcome::Failed(Error::setup(format!(
                    "{call}: the certificate of the server is not trusted: {reason} \
                     (check --ca-file, --api-url and the clock of this computer)"
                )));
            }
        };
        let status = answer.status;
        match status {
            200..=299 => {
                // Other answers may come from something in between, with another clock.
                self.clock.observe(answer.date);
                self.content(call, answer, read)
            }
            300..=399 => Outcome::Failed(Error::setup(format!(
                "{call}: the server answers HTTP {status} and points to {}, where the token is not sent (check --api-url)",
                answer.location.as_deref().unwrap_or("nowhere")
            ))),
            401 | 403 => Outcome::Failed(Error::new(
                ErrorKind::Refused,
                format!(
                    "{call}: Dialfire refuses access to campaign {}: HTTP {status}{} (check --c and --ct)",
                    self.campaign,
                    self.said(&answer)
                ),
            )),
            400..=499 if !matches!(status, 408 | 425 | 429) => Outcome::Reply(Reply::Refused {
                status,
                said: self.said(&answer),
            }),
            _ => Outcome::Trouble {
                reason: format!("HTTP {status}{}", self.said(&answer)),
                retry_after: answer.retry_after,
                of_content: Some(status).filter(|status| *status == 500),
            },
        }
    }

    /// The error for a 4xx that means nothing special to the caller.
    pub fn refusal(&self, call: &str, status: u16, said: &str) -> Error {
        let campaign = &self.campaign;
        Error::setup(match status {
            404 => format!(
                "{call}: Dialfire knows no campaign {campaign}: HTTP 404{said} (check --c and --api-url)"
            ),
            _ => format!(
                "{call}: Dialfire refuses the request for campaign {campaign}: HTTP {status}{said}"
            ),
        })
    }

    fn content<T>(
        &self,
        call: &str,
        mut answer: Answer,
        read: &mut impl FnMut(&str) -> std::result::Result<T, String>,
    ) -> Outcome<T> {
        let held = answer.held.take();
        let mut text = text(call, &answer);
        if may_hold_surrogates(&text) && mend_surrogates(text.to_mut()) {
            log::warn!("{call}: half a surrogate pair in the answer, replaced by U+FFFD");
        }
        let problem = match read(&text) {
            Ok(content) => return Outcome::Reply(Reply::Read(content, held)),
            Err(problem) => problem,
        };
        let (reason, of_content) = match text.trim_start().chars().next() {
            None => ("the answer is empty".to_owned(), None),
            Some('<') => (
                format!("a web page instead of JSON: {}", self.http.quote(&text)),
                None,
            ),
            Some(_) => (problem, Some(200)),
        };
        Outcome::Trouble {
            reason,
            retry_after: None,
            of_content,
        }
    }

    /// What an error answer says, as `: text`; nothing if it is JSON, which could hold personal data.
    fn said(&self, answer: &Answer) -> String {
        let quote = self.http.quote(&String::from_utf8_lossy(&answer.body));
        if quote.is_empty() || quote.starts_with(['{', '[', '"']) {
            String::new()
        } else {
            format!(": {quote}")
        }
    }
}

/// The body as text, without a byte order mark; what is no UTF-8 is replaced.
fn text<'a>(call: &str, answer: &'a Answer) -> Cow<'a, str> {
    let body = answer
        .body
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(&answer.body);
    // Much faster than the lossy way, which almost no answer needs.
    if let Ok(text) = std::str::from_utf8(body) {
        return Cow::Borrowed(text);
    }
    let text = String::from_utf8_lossy(body);
    if let Cow::Owned(_) = text {
        log::warn!("{call}: the answer is not all UTF-8; wrong characters are replaced");
    }
    text
}

//! How long the server may take, and how much it may send before the log-in is complete: a stream that fails instead of
//! waiting for ever or filling the memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long the server may take for one answer while rows are written.
pub(super) const ANSWER: Duration = Duration::from_secs(300);

/// How long it may take to rebuild a large table, or to make an index of it.
const REBUILD: Duration = Duration::from_secs(6 * 3600);

/// Silence is counted in this number of parts of the time allowed.
const PARTS: u32 = 20;

/// What a server may send until the log-in is complete, encryption included: some thousand times what one does send.
pub(super) const MAX_LOGIN_BYTES: u64 = 1024 * 1024;

/// What is allowed on a connection; its clones are one and the same.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    allowed: Arc<AtomicU64>,
    /// The time for connecting and logging in, and when it is over.
    login: (Duration, Instant),
    logged_in: Arc<AtomicBool>,
}

impl Patience {
    /// `allowed` is the silence while a statement runs, `login` the time from now on until [`Patience::logged_in`].
    pub(super) fn new(allowed: Duration, login: Duration) -> Self {
        Patience {
            allowed: Arc::new(AtomicU64::new(milliseconds(allowed))),
            login: (login, Instant::now() + login),
            logged_in: Arc::default(),
        }
    }

    /// The connection can be used: from now on statements count, not bytes.
    pub(super) fn logged_in(&self) {
        self.logged_in.store(true, Ordering::Relaxed);
    }

    fn is_logged_in(&self) -> bool {
        self.logged_in.load(Ordering::Relaxed)
    }

    fn allowed(&self) -> Duration {
        Duration::from_millis(self.allowed.load(Ordering::Relaxed))
    }

    /// Runs statements that may take hours.
    pub(super) fn while_rebuilding<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = (self.allowed).swap(milliseconds(REBUILD), Ordering::Relaxed);
        let done = work();
        self.allowed.store(before, Ordering::Relaxed);
        done
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A stream whose other end may be silent for so long only. Once it was silent for longer, all calls fail: what the
/// other end still says belongs to a question that nobody asks any more.
///
/// A connection is not polled between two statements. That is why silence is counted in short waits that ran out, of
/// which a pause between statements is one at most, and not from one point in time to another.
#[derive(Debug)]
pub(super) struct IdleTimeout<S> {
    stream: S,
    patience: Patience,
    wait: Option<(Duration, Pin<Box<Sleep>>)>,
    /// Ends with the time for the log-in.
    login: Option<Pin<Box<Sleep>>>,
    received: u64,
    silent: Duration,
    given_up: Option<GivenUp>,
}

/// Why the other end was given up.
#[derive(Debug, Clone, Copy)]
enum GivenUp {
    /// It was silent for so long.
    Silent(Duration),
    /// So long was not enough for it to log us in, though it sent something.
    Slow(Duration),
    /// It sent more than it may before the log-in is complete.
    Chatty,
}

impl<S> IdleTimeout<S> {
    pub(super) fn new(stream: S, patience: Patience) -> Self {
        IdleTimeout {
            stream,
            patience,
            wait: None,
            login: None,
            received: 0,
            silent: Duration::ZERO,
            given_up: None,
        }
    }

    /// Fails once the other end was given up.
    fn usable(&self) -> io::Result<()> {
        self.given_up.map_or(Ok(()), |why| Err(why.error()))
    }

    fn give_up<T>(&mut self, why: GivenUp) -> Poll<io::Result<T>> {
        self.given_up = Some(why);
        Poll::Ready(Err(why.error()))
    }

    /// Whether the time for the log-in is over. It does not begin again with each byte.
    fn login_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.patience.is_logged_in() {
            self.login = None;
            return false;
        }
        let (_, end) = self.patience.login;
        let login = (self.login).get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
        login.as_mut().poll(cx).is_ready()
    }

    /// What the stream did, or that it was silent for too long.
    fn heard<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.login_is_over(cx) {
            let (limit, _) = self.patience.login;
            return self.give_up(match self.received {
                0 => GivenUp::Silent(limit),
                _ => GivenUp::Slow(limit),
            });
        }
        if done.is_ready() {
            self.silent = Duration::ZERO;
            // It stays: who waits for an answer may have been told to before this was written.
            if let Some((length, wait)) = &mut self.wait {
                wait.as_mut().reset(Instant::now() + *length);
            }
            return done;
        }
        loop {
            let allowed = self.patience.allowed();
            let (length, wait) = self.wait.get_or_insert_with(|| {
                let length = (allowed / PARTS).max(Duration::from_millis(1));
                (length, Box::pin(sleep(length)))
            });
            ready!(wait.as_mut().poll(cx));
            self.silent = self.silent.saturating_add(*length);
            self.wait = None;
            if self.silent >= allowed {
                return self.give_up(GivenUp::Silent(allowed));
            }
        }
    }
}

impl GivenUp {
    fn error(self) -> io::Error {
        let (kind, text) = match self {
            GivenUp::Silent(limit) => (
                io::ErrorKind::TimedOut,
                format!("no answer within {} s", limit.as_secs_f32()),
            ),
            GivenUp::Slow(limit) => (
                io::ErrorKind::TimedOut,
                format!(
                    "the log-in was not complete within {} s",
                    limit.as_secs_f32()
                ),
            ),
            GivenUp::Chatty => (
                io::ErrorKind::InvalidData,
                format!("more than {MAX_LOGIN_BYTES} bytes before the log-in was complete"),
            ),
        };
        io::Error::new(kind, text)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.usable()?;
        let before = buffer.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        self.received = (self.received).saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if self.received > MAX_LOGIN_BYTES && !self.patience.is_logged_in() {
            buffer.set_filled(before);
            return self.give_up(GivenUp::Chatty);
        }
        let heard = self.heard(cx, done);
        if matches!(heard, Poll::Ready(Err(_))) {
            buffer.set_filled(before);
        }
        heard
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.usable()?;
        let done = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.heard(cx, done)
    }

    // A socket has nothing to flush, so that this says nothing about the other end; the same goes for the end.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.usable()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.usable()?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::future::Future;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// In a runtime whose clock stands still but where all wait for it.
    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(work)
    }

    fn pair(allowed: Duration) -> (IdleTimeout<DuplexStream>, DuplexStream, Patience) {
        let (ours, theirs) = duplex(16);
        let patience = Patience::new(allowed, Duration::from_secs(15));
        patience.logged_in();
        (IdleTimeout::new(ours, patience.clone()), theirs, patience)
    }

    fn before_the_login() -> (IdleTimeout<DuplexStream>, DuplexStream, Patience) {
        let (ours, theirs) = duplex(4096);
        let patience = Patience::new(ANSWER, Duration::from_secs(15));
        (IdleTimeout::new(ours, patience.clone()), theirs, patience)
    }

    #[test]
    fn the_log_in_has_a_limit_of_its_own_that_no_dripping_byte_puts_off() {
        run(async {
            let (mut ours, _theirs, _) = before_the_login();
            let error = ours.read_u8().await.unwrap_err();
            assert_eq!(error.to_string(), "no answer within 15 s");

            let (mut ours, mut theirs, _) = before_the_login();
            tokio::spawn(async move {
                while theirs.write_u8(b'.').await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            });
            let start = Instant::now();
            let error = ours.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.to_string(), "the log-in was not complete within 15 s");
            assert_eq!(start.elapsed().as_secs(), 15);

            let (mut ours, mut theirs, patience) = before_the_login();
            tokio::spawn(async move {
                for _ in 0..10 {
                    sleep(Duration::from_secs(10)).await;
                    theirs.write_u8(b'.').await.unwrap();
                }
            });
            assert_eq!(ours.read_u8().await.unwrap(), b'.');
            patience.logged_in();
            assert_eq!(ours.read_to_end(&mut Vec::new()).await.unwrap(), 9);
        });
    }

    #[test]
    fn one_byte_too_many_before_the_log_in_is_complete_ends_it() {
        let send = |bytes: u64, log_in: bool| {
            run(async move {
                let (mut ours, mut theirs, patience) = before_the_login();
                if log_in {
                    patience.logged_in();
                }
                tokio::spawn(async move {
                    let bytes = usize::try_from(bytes).unwrap();
                    let _ = theirs.write_all(&vec![b'.'; bytes]).await;
                });
                ours.read_to_end(&mut Vec::new()).await
            })
        };
        assert!(send(MAX_LOGIN_BYTES, false).is_ok());
        let error = send(MAX_LOGIN_BYTES + 1, false).unwrap_err();
        assert!(error.to_string().contains("before the log-in"), "{error}");
        assert!(send(MAX_LOGIN_BYTES + 1, true).is_ok());
    }

    #[test]
    fn gives_up_a_server_that_is_silent() {
        run(async {
            let (mut ours, mut theirs, _) = pair(ANSWER);
            let start = Instant::now();
            let error = ours.read_u8().await.unwrap_err();
            assert_eq!(error.to_string(), "no answer within 300 s");
            assert_eq!(start.elapsed().as_secs(), 300);
            // An answer that comes after that is not taken for that of the next question.
            theirs.write_all(b"late").await.unwrap();
            let error = ours.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(start.elapsed().as_secs(), 300);
        });
    }

    #[test]
    fn gives_up_a_server_that_takes_nothing() {
        run(async {
            let (mut ours, _theirs, _) = pair(ANSWER);
            let error = ours.write_all(&[0; 17]).await.unwrap_err();
            assert_eq!(error.to_string(), "no answer within 300 s");
        });
    }

    /// As the driver does it: it asks for the answer, then sends the question, and flushes each time it is woken.
    #[test]
    fn a_question_sent_while_the_answer_is_awaited_puts_nothing_off_for_ever() {
        run(async {
            let (mut ours, _theirs, _) = pair(ANSWER);
            let start = Instant::now();
            let mut sent = false;
            let error = std::future::poll_fn(|cx| {
                let mut byte = [0];
                let read = Pin::new(&mut ours).poll_read(cx, &mut ReadBuf::new(&mut byte));
                if !sent {
                    assert!(Pin::new(&mut ours).poll_write(cx, b"?").is_ready());
                    sent = true;
                }
                let _ = Pin::new(&mut ours).poll_flush(cx);
                read
            });
            assert_eq!(error.await.unwrap_err().kind(), io::ErrorKind::TimedOut);
            assert_eq!(start.elapsed().as_secs(), 300);
        });
    }

    #[test]
    fn waits_for_one_that_is_slow() {
        run(async {
            let (mut ours, mut theirs, _) = pair(ANSWER);
            tokio::spawn(async move {
                for number in 0..10 {
                    sleep(Duration::from_secs(290)).await;
                    theirs.write_u8(number).await.unwrap();
                }
            });
            for number in 0..10 {
                assert_eq!(ours.read_u8().await.unwrap(), number);
            }
        });
    }

    #[test]
    fn a_pause_between_statements_is_no_silence() {
        run(async {
            let (mut ours, mut theirs, _) = pair(ANSWER);
            theirs.write_u8(1).await.unwrap();
            assert_eq!(ours.read_u8().await.unwrap(), 1);
            // As the driver does, which looks for more before it lets go.
            let more = tokio::time::timeout(Duration::from_millis(1), ours.read_u8()).await;
            assert!(more.is_err());
            sleep(Duration::from_secs(3600)).await;
            tokio::spawn(async move {
                sleep(Duration::from_secs(280)).await;
                theirs.write_u8(2).await.unwrap();
            });
            assert_eq!(ours.read_u8().await.unwrap(), 2);
        });
    }

    #[test]
    fn a_large_table_may_take_hours() {
        run(async {
            let (mut ours, mut theirs, patience) = pair(ANSWER);
            tokio::spawn(async move {
                sleep(Duration::from_secs(5 * 3600)).await;
                theirs.write_u8(1).await.unwrap();
            });
            let before = patience.allowed();
            patience.while_rebuilding(|| assert_eq!(patience.allowed(), REBUILD));
            assert_eq!(patience.allowed(), before);
            let rebuild = u64::try_from(REBUILD.as_millis()).unwrap();
            patience.allowed.store(rebuild, Ordering::Relaxed);
            assert_eq!(ours.read_u8().await.unwrap(), 1);
        });
    }
}

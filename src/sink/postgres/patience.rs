//! How long the server may be silent: a stream that fails instead of waiting for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long the server may take for one answer while rows are written.
pub(super) const ANSWER: Duration = Duration::from_secs(300);

/// How long it may take to rebuild a large table, or to make an index of it.
const REBUILD: Duration = Duration::from_secs(6 * 3600);

/// Silence is counted in so many parts of what is allowed.
const PARTS: u32 = 20;

/// The silence that is allowed on a connection; its clones are one and the same.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    allowed: Arc<AtomicU64>,
}

impl Patience {
    pub(super) fn new(allowed: Duration) -> Self {
        let allowed = u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX);
        Patience {
            allowed: Arc::new(AtomicU64::new(allowed)),
        }
    }

    fn allowed(&self) -> Duration {
        Duration::from_millis(self.allowed.load(Ordering::Relaxed))
    }

    /// Runs statements that may take hours.
    pub(super) fn while_rebuilding<T>(&self, work: impl FnOnce() -> T) -> T {
        let rebuild = Patience::new(REBUILD).allowed.load(Ordering::Relaxed);
        let before = self.allowed.swap(rebuild, Ordering::Relaxed);
        let done = work();
        self.allowed.store(before, Ordering::Relaxed);
        done
    }
}

/// A stream whose other end may be silent for so long only. Once it was silent for longer, all calls fail: what the
/// other end still says belongs to a question that nobody asks any more.
///
/// A connection is not polled between two statements. That is why silence is counted in short waits that ran out, of
/// which a pause between statements is one at most, and not from one point in time to another.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    patience: Patience,
    wait: Option<(Duration, Pin<Box<Sleep>>)>,
    silent: Duration,
    given_up: Option<Duration>,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, patience: Patience) -> Self {
        Patient {
            stream,
            patience,
            wait: None,
            silent: Duration::ZERO,
            given_up: None,
        }
    }

    /// Fails once the other end was given up.
    fn usable(&self) -> io::Result<()> {
        self.given_up
            .map_or(Ok(()), |allowed| Err(silence(allowed)))
    }

    /// What the stream did, or that it was silent for too long.
    fn heard<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
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
                self.given_up = Some(allowed);
                return Poll::Ready(Err(silence(allowed)));
            }
        }
    }
}

fn silence(allowed: Duration) -> io::Error {
    let text = format!("no answer within {} s", allowed.as_secs_f32());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.usable()?;
        let done = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.heard(cx, done)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
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

    fn pair(allowed: Duration) -> (Patient<DuplexStream>, DuplexStream, Patience) {
        let (ours, theirs) = duplex(16);
        let patience = Patience::new(allowed);
        (Patient::new(ours, patience.clone()), theirs, patience)
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

//! Fewer calls of the system per request: head and body go out in one packet, and long time limits are set once.
//!
//! ureq writes head and body one after the other, and the other side is woken for each; and it sets what is left of the
//! time limit before each reading and writing. With many small requests that is most of what they cost.

use std::io;
use std::time::Duration;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// More than this is not held back.
const MAX_HELD: usize = 16 << 10;

/// From here on a time limit is rounded up to whole seconds.
const LONG: Duration = Duration::from_secs(10);

/// The same time limit for all requests that begin now: what is left of it differs by less than a second.
pub fn rounded(mut timeout: NextTimeout) -> NextTimeout {
    if *timeout.after >= LONG && !timeout.after.is_not_happening() {
        let begun = u64::from(timeout.after.subsec_nanos() > 0);
        timeout.after = Duration::from_secs(timeout.after.as_secs() + begun).into();
    }
    timeout
}

/// Puts a [`Buffered`] on top of each connection.
#[derive(Debug)]
pub struct WriteBuffer;

impl<In: Transport> Connector<In> for WriteBuffer {
    type Out = Buffered<In>;

    fn connect(
        &self,
        _details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Buffered {
            inner,
            held: Vec::new(),
            answered: false,
        }))
    }
}

/// A connection that sends when it has to.
#[derive(Debug)]
pub struct Buffered<In> {
    inner: In,
    held: Vec<u8>,
    /// Something was read since it was last asked whether the connection is open.
    answered: bool,
}

impl<In: Transport> Buffered<In> {
    fn flush(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        while !self.held.is_empty() {
            let output = self.inner.buffers().output();
            let amount = output.len().min(self.held.len());
            match (output.get_mut(..amount), self.held.get(..amount)) {
                (Some(to), Some(from)) if amount > 0 => to.copy_from_slice(from),
                _ => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
            }
            self.held.drain(..amount);
            self.inner.transmit_output(amount, rounded(timeout))?;
        }
        Ok(())
    }
}

impl<In: Transport> Transport for Buffered<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let output = self.inner.buffers().output();
        self.held
            .extend_from_slice(output.get(..amount).unwrap_or_default());
        if self.held.len() >= MAX_HELD {
            self.flush(timeout)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.flush(timeout)?;
        self.answered = true;
        self.inner.await_input(rounded(timeout))
    }

    fn is_open(&mut self) -> bool {
        // After an answer that came before the whole request was sent, the rest must not go in front of the next one.
        // ureq asks after each answer and again before each request: three calls of the system, of which the latter count.
        self.held.is_empty() && (std::mem::take(&mut self.answered) || self.inner.is_open())
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use ureq::Timeout;
    use ureq::unversioned::transport::LazyBuffers;

    use super::*;

    #[derive(Debug)]
    struct Recorder {
        buffers: LazyBuffers,
        packets: Vec<Vec<u8>>,
        is_open: bool,
    }

    impl Transport for Recorder {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }
        fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
            let packet = self.buffers.output()[..amount].to_vec();
            self.packets.push(packet);
            Ok(())
        }
        fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
            Ok(true)
        }
        fn is_open(&mut self) -> bool {
            self.is_open
        }
    }

    fn connection() -> Buffered<Recorder> {
        Buffered {
            inner: Recorder {
                buffers: LazyBuffers::new(1000, 1000),
                packets: Vec::new(),
                is_open: true,
            },
            held: Vec::new(),
            answered: false,
        }
    }

    fn timeout() -> NextTimeout {
        NextTimeout {
            after: Duration::from_secs(1).into(),
            reason: Timeout::Global,
            per_read: None,
            per_write: None,
        }
    }

    fn write(connection: &mut Buffered<Recorder>, bytes: &[u8]) {
        connection.buffers().output()[..bytes.len()].copy_from_slice(bytes);
        connection.transmit_output(bytes.len(), timeout()).unwrap();
    }

    #[test]
    fn head_and_body_are_one_packet() {
        let mut connection = connection();
        write(&mut connection, b"head ");
        write(&mut connection, b"body");
        assert!(connection.inner.packets.is_empty() && !connection.is_open());
        assert!(connection.await_input(timeout()).unwrap());
        assert_eq!(connection.inner.packets, [b"head body"]);
        assert!(connection.is_open());
        assert!(connection.await_input(timeout()).unwrap());
        assert_eq!(connection.inner.packets.len(), 1);
    }

    #[test]
    fn long_time_limits_are_whole_seconds_and_short_ones_exact() {
        for (millis, wanted) in [
            (29_999, 30_000),
            (30_000, 30_000),
            (29_001, 30_000),
            (10_001, 11_000),
            (9999, 9999),
            (1, 1),
        ] {
            let mut limit = timeout();
            limit.after = Duration::from_millis(millis).into();
            assert_eq!(*rounded(limit).after, Duration::from_millis(wanted));
        }
        let mut limit = timeout();
        limit.after = ureq::unversioned::transport::time::Duration::NotHappening;
        assert!(rounded(limit).after.is_not_happening());
    }

    #[test]
    fn a_closed_connection_is_seen_before_the_next_request() {
        let mut connection = connection();
        connection.inner.is_open = false;
        assert!(!connection.is_open());
        connection.await_input(timeout()).unwrap();
        assert!(connection.is_open());
        assert!(!connection.is_open());
    }

    #[test]
    fn large_bodies_are_not_held_back_and_stay_whole() {
        let mut connection = connection();
        let mut wanted = Vec::new();
        for n in 0..40_u8 {
            write(&mut connection, &[n; 700]);
            wanted.extend([n; 700]);
        }
        assert!(connection.held.len() < MAX_HELD);
        assert!(!connection.inner.packets.is_empty());
        connection.await_input(timeout()).unwrap();
        assert_eq!(connection.inner.packets.concat(), wanted);
    }
}

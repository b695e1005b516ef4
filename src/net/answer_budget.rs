//! One budget for all bytes of an answer: heads, informational answers, chunk sizes, body as it is sent, trailers.
//!
//! ureq limits the length of one head and that of the body; what a server sends beside them could go on until the time
//! limit.

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::write_buffer::rounded;

/// Puts a [`Budgeted`] on top of each connection.
#[derive(Debug)]
pub struct AnswerBudget {
    /// Bytes that an answer may have.
    pub bytes: u64,
}

impl<In: Transport> Connector<In> for AnswerBudget {
    type Out = Budgeted<In>;

    fn connect(
        &self,
        _details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Budgeted {
            inner,
            bytes: self.bytes,
            received: 0,
        }))
    }
}

/// A connection that counts what comes back, from the last byte that was sent on.
#[derive(Debug)]
pub struct Budgeted<In> {
    inner: In,
    bytes: u64,
    received: u64,
}

impl<In: Transport> Transport for Budgeted<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.received = 0;
        self.inner.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let before = self.inner.buffers().input().len();
        let came = self.inner.await_input(rounded(timeout))?;
        let added = self.inner.buffers().input().len().saturating_sub(before);
        self.received = self
            .received
            .saturating_add(u64::try_from(added).unwrap_or(u64::MAX));
        if self.received > self.bytes {
            return Err(Error::BodyExceedsLimit(self.bytes));
        }
        Ok(came)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

//! One handshake: read, compute, write, as far as the socket goes.

use std::io::{self, IoSlice};
use std::net::Shutdown;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use rustls::server::UnbufferedServerConnection;
use std::sync::Arc;
use tls_server::Loaded;

use super::{Handover, Job};
use crate::tls::{TlsFailure, TlsLayer, TlsState};

/// Reads that throw away what a refused client still sends, so that the alert is not overtaken by a reset.
const DISCARDED_READ_COUNT_MAX: usize = 16;

/// A handshake under way.
#[derive(Debug)]
pub(crate) struct Attempt {
    job: Job,
    loaded: Arc<Loaded>,
    tls: Box<TlsLayer>,
    state: TlsState,
    /// Bytes of MQTT that came behind the handshake.
    plain: Vec<u8>,
    output: Vec<u8>,
    received_bytes: usize,
    failure: Option<AttemptError>,
}

/// Where a handshake stands.
#[derive(Debug)]
pub(crate) enum Progress {
    /// It waits for the socket.
    Waiting,
    /// The connection stands; [`Attempt::into_handover`] has it.
    Done,
    /// It has ended.
    Failed(AttemptError),
}

/// Why a handshake failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum AttemptError {
    #[error("the client has gone")]
    Gone,
    #[error("{0}")]
    Tls(#[from] TlsFailure),
    #[error("more than {bytes_max} bytes without a finished handshake")]
    TooMuch { bytes_max: usize },
    #[error("the client's certificate does not verify any more")]
    Certificate,
}

impl Attempt {
    /// # Errors
    /// rustls's, when it cannot begin.
    pub(crate) fn new(job: Job) -> Result<Self, rustls::Error> {
        let loaded = job.tls.current();
        let connection = UnbufferedServerConnection::new(Arc::clone(loaded.config()))?;
        Ok(Self {
            job,
            loaded,
            tls: Box::new(TlsLayer::new(connection)),
            state: TlsState::Handshaking,
            plain: Vec::new(),
            output: Vec::new(),
            received_bytes: 0,
            failure: None,
        })
    }

    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    /// Goes on until the socket blocks. `scratch` is the thread's, larger than what is kept of one message.
    pub(crate) fn advance(&mut self, scratch: &mut [u8], received_bytes_max: usize) -> Progress {
        loop {
            match self.write_out() {
                Ok(true) => (),
                Ok(false) => return Progress::Waiting,
                Err(_) => return Progress::Failed(self.failure.take().unwrap_or(AttemptError::Gone)),
            }
            if let Some(failure) = self.failure.take() {
                self.discard(scratch);
                return Progress::Failed(failure);
            }
            match self.state {
                TlsState::Established => return Progress::Done,
                TlsState::PeerClosed => return Progress::Failed(AttemptError::Gone),
                TlsState::Handshaking => (),
            }
            let kept = self.tls.take_kept(scratch);
            match rustix::net::recv(&self.job.socket, &mut scratch[kept..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Progress::Failed(AttemptError::Gone),
                Ok((_, count)) => self.receive(&mut scratch[..kept + count], count, received_bytes_max),
                Err(Errno::INTR) => self.tls.keep(&scratch[..kept]),
                Err(Errno::AGAIN) => {
                    self.tls.keep(&scratch[..kept]);
                    return Progress::Waiting;
                }
                Err(_) => return Progress::Failed(AttemptError::Gone),
            }
        }
    }

    fn receive(&mut self, input: &mut [u8], count: usize, received_bytes_max: usize) {
        match self.tls.receive(input, &mut self.plain, &mut self.output) {
            Ok(state) => self.state = state,
            Err(failure) => self.failure = Some(failure.into()),
        }
        self.received_bytes += count;
        if self.received_bytes > received_bytes_max && self.state == TlsState::Handshaking {
            self.failure.get_or_insert(AttemptError::TooMuch { bytes_max: received_bytes_max });
        }
    }

    /// Sends what is to be sent; `false` when the socket takes no more at present.
    fn write_out(&mut self) -> io::Result<bool> {
        while !self.output.is_empty() {
            let slices = [IoSlice::new(&self.output)];
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match rustix::net::sendmsg(&self.job.socket, &slices, &mut SendAncillaryBuffer::default(), flags) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(Errno::INTR) => (),
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.output = Vec::new();
        Ok(true)
    }

    /// Tells the client that nothing follows, and takes what it sent meanwhile.
    fn discard(&self, scratch: &mut [u8]) {
        // Fails when the client is gone; then there is nobody to tell.
        let _client_is_gone = self.job.socket.shutdown(Shutdown::Write);
        for _ in 0..DISCARDED_READ_COUNT_MAX {
            match rustix::net::recv(&self.job.socket, &mut *scratch, RecvFlags::DONTWAIT) {
                Ok((_, 0)) | Err(_) => return,
                Ok(_) => (),
            }
        }
    }

    /// The connection, once it stands.
    ///
    /// # Errors
    /// [`AttemptError::Certificate`].
    pub(crate) fn into_handover(self) -> Result<(mailbox::Sender<Box<Handover>>, Box<Handover>), AttemptError> {
        let connection = self.tls.connection();
        let tls_peer = self.loaded.peer(connection.peer_certificates()).ok_or(AttemptError::Certificate)?;
        let Job { socket, peer, listener, core, .. } = self.job;
        Ok((core, Box::new(Handover { socket, peer, listener, tls: self.tls, tls_peer, plain: self.plain })))
    }
}

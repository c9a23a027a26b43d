//! TLS of one connection between socket and MQTT: records in, bytes out, and back. Knows no socket.
//!
//! rustls's unbuffered connection decrypts from and encrypts into buffers that belong to the core or to the handshake lane. So a
//! connection between two records holds its keys and no buffer; one within a record holds what came of it.

use std::fmt;

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};

/// Bytes of records, or of a handshake's message, that are not complete. More end the connection. A record has at most
/// 18 437 bytes; certificates of clients are what may be longer.
pub(crate) const KEPT_BYTES_MAX: usize = 48 << 10;
/// What a record may take beside its payload: header, nonce, tag, type.
const RECORD_OVERHEAD_BYTES: usize = 64;
/// The longest payload of a record.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// Where a connection stands after what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsState {
    /// More of the handshake must come.
    Handshaking,
    /// Bytes move both ways.
    Established,
    /// The client has closed; nothing more comes.
    PeerClosed,
}

/// Why a connection must end. The alert that tells the client, if any, has been appended to the output.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum TlsFailure {
    #[error(transparent)]
    Protocol(#[from] rustls::Error),
    #[error("more than {KEPT_BYTES_MAX} bytes of one TLS message")]
    TooLong,
    /// A key may be used no more.
    #[error("the TLS keys are used up")]
    Exhausted,
    /// rustls asks for something that was not agreed on.
    #[error("an unexpected state of the TLS connection")]
    Unexpected,
}

/// One connection.
pub(crate) struct TlsLayer {
    connection: UnbufferedServerConnection,
    /// The beginning of a record, or of a handshake's message.
    kept: Vec<u8>,
    /// A fault was found: rustls must not be asked again.
    has_failed: bool,
}

impl fmt::Debug for TlsLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TlsLayer").field("kept_bytes", &self.kept.len()).finish_non_exhaustive()
    }
}

/// What is to be done after a state was handled.
enum Step {
    Again,
    At(TlsState),
    Fail(TlsFailure),
}

impl TlsLayer {
    pub(crate) fn new(connection: UnbufferedServerConnection) -> Self {
        Self { connection, kept: Vec::new(), has_failed: false }
    }

    /// What tells the certificates that the client has shown.
    pub(crate) fn connection(&self) -> &UnbufferedServerConnection {
        &self.connection
    }

    /// Moves what was kept to the front of `input`, whose rest is for what comes; returns how much.
    pub(crate) fn take_kept(&mut self, input: &mut [u8]) -> usize {
        let count = self.kept.len();
        input[..count].copy_from_slice(&self.kept);
        // An idle connection holds no buffer.
        self.kept = Vec::new();
        count
    }

    /// Keeps what [`TlsLayer::take_kept`] has given, where nothing came.
    pub(crate) fn keep(&mut self, input: &[u8]) {
        self.kept = input.to_vec();
    }

    /// Takes what was kept and what came; appends what it says to `plain`, and what is to be sent to `output`.
    ///
    /// # Errors
    /// [`TlsFailure`]; what `plain` holds is good.
    pub(crate) fn receive(
        &mut self,
        input: &mut [u8],
        plain: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<TlsState, TlsFailure> {
        if self.has_failed {
            return Err(TlsFailure::Unexpected);
        }
        let mut at = 0;
        loop {
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(&mut input[at..]);
            let step = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    let mut step = Step::Again;
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                plain.extend_from_slice(record.payload);
                                discard += record.discard;
                            }
                            Err(error) => step = Step::Fail(error.into()),
                        }
                    }
                    step
                }
                Ok(ConnectionState::WriteTraffic(_)) => Step::At(TlsState::Established),
                Ok(ConnectionState::BlockedHandshake) => Step::At(TlsState::Handshaking),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Step::At(TlsState::PeerClosed),
                Ok(other) => housekeeping(other, output),
                Err(error) => Step::Fail(error.into()),
            };
            at += discard;
            match step {
                Step::Again => (),
                // What stands behind the close is not looked at.
                Step::At(TlsState::PeerClosed) => return Ok(TlsState::PeerClosed),
                Step::At(state) => {
                    let rest = &input[at..];
                    if rest.len() > KEPT_BYTES_MAX {
                        self.has_failed = true;
                        return Err(TlsFailure::TooLong);
                    }
                    self.keep(rest);
                    return Ok(state);
                }
                Step::Fail(failure) => {
                    self.take_alert(&mut input[at..], output);
                    return Err(failure);
                }
            }
        }
    }

    /// Appends the alert that says what was wrong. Nothing is read again: rustls would find the same fault once more.
    fn take_alert(&mut self, input: &mut [u8], output: &mut Vec<u8>) {
        self.has_failed = true;
        while self.connection.wants_write() {
            let UnbufferedStatus { state, .. } = self.connection.process_tls_records(input);
            let Ok(ConnectionState::EncodeTlsData(data)) = state else { return };
            if let Step::Fail(_) = encode(data, output) {
                return;
            }
        }
    }

    /// Appends the records of `plain`.
    ///
    /// # Errors
    /// [`TlsFailure`].
    pub(crate) fn encrypt(&mut self, plain: &[u8], output: &mut Vec<u8>) -> Result<(), TlsFailure> {
        let bound = plain.len() + (plain.len() / RECORD_BYTES_MAX + 2) * RECORD_OVERHEAD_BYTES;
        self.seal(bound, output, |traffic, output| traffic.encrypt(plain, output))
    }

    /// Appends the alert that nothing follows.
    ///
    /// # Errors
    /// [`TlsFailure`].
    pub(crate) fn close(&mut self, output: &mut Vec<u8>) -> Result<(), TlsFailure> {
        #[expect(
            clippy::redundant_closure_for_method_calls,
            reason = "the method is not general enough in its lifetimes"
        )]
        self.seal(2 * RECORD_OVERHEAD_BYTES, output, |traffic, output| traffic.queue_close_notify(output))
    }

    fn seal(
        &mut self,
        mut bound: usize,
        output: &mut Vec<u8>,
        mut write: impl FnMut(
            &mut rustls::unbuffered::WriteTraffic<'_, ServerConnectionData>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<(), TlsFailure> {
        if self.has_failed {
            return Err(TlsFailure::Unexpected);
        }
        loop {
            // What is kept is shown every time: rustls remembers how much of it it has seen.
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut self.kept);
            let mut is_written = false;
            let step = match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let start = output.len();
                    output.resize(start + bound, 0);
                    let written = write(&mut traffic, &mut output[start..]);
                    output.truncate(start + *written.as_ref().unwrap_or(&0));
                    match written {
                        Ok(_) => {
                            is_written = true;
                            Step::Again
                        }
                        Err(EncryptError::InsufficientSize(error)) if error.required_size > bound => {
                            bound = error.required_size;
                            Step::Again
                        }
                        Err(EncryptError::InsufficientSize(_) | EncryptError::EncryptExhausted) => {
                            Step::Fail(TlsFailure::Exhausted)
                        }
                    }
                }
                Ok(other) => housekeeping(other, output),
                Err(error) => Step::Fail(error.into()),
            };
            self.kept.drain(..discard);
            match step {
                Step::Again if is_written => return Ok(()),
                Step::Again => (),
                Step::At(_) => return Err(TlsFailure::Unexpected),
                Step::Fail(failure) => return Err(failure),
            }
        }
    }
}

/// Handles the states that only move rustls's own messages to the output.
fn housekeeping(state: ConnectionState<'_, '_, ServerConnectionData>, output: &mut Vec<u8>) -> Step {
    match state {
        ConnectionState::EncodeTlsData(data) => encode(data, output),
        ConnectionState::TransmitTlsData(transmit) => {
            // The output is sent in its order, and nothing is sent twice.
            transmit.done();
            Step::Again
        }
        ConnectionState::ReadTraffic(_)
        | ConnectionState::ReadEarlyData(_)
        | ConnectionState::PeerClosed
        | ConnectionState::Closed
        | ConnectionState::BlockedHandshake
        | ConnectionState::WriteTraffic(_)
        | _ => Step::Fail(TlsFailure::Unexpected),
    }
}

fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, output: &mut Vec<u8>) -> Step {
    let start = output.len();
    let mut bound = 0;
    loop {
        output.resize(start + bound, 0);
        match data.encode(&mut output[start..]) {
            Ok(count) => {
                output.truncate(start + count);
                return Step::Again;
            }
            Err(EncodeError::InsufficientSize(error)) if error.required_size > bound => bound = error.required_size,
            Err(EncodeError::InsufficientSize(_) | EncodeError::AlreadyEncoded) => {
                output.truncate(start);
                return Step::Fail(TlsFailure::Unexpected);
            }
        }
    }
}

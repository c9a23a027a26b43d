//! Waits on a glommio executor until a descriptor is readable.
//!
//! glommio 0.9 has no such wait in public, except at the start of a read of a socket: it polls the descriptor before it
//! reads. So a read of one byte is begun on a duplicate of the descriptor, through a type that serves for sockets. Where the
//! descriptor is no socket, the read that follows fails with ENOTSOCK; that failure is the answer.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd};

use futures_lite::AsyncReadExt;
use glommio::net::UnixStream;
use rustix::io::fcntl_dupfd_cloexec;

/// Waits for one descriptor, which is no socket.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    /// The duplicate of the last wait. It is closed when the next one is made, so that its number is free for that even
    /// while the process is out of descriptors.
    last: Option<UnixStream>,
}

impl Readiness {
    /// Resolves when `descriptor` is readable. May be dropped and called again.
    ///
    /// Costs two system calls beside glommio's own, for the duplicate.
    ///
    /// # Errors
    /// No duplicate could be made: the process is out of descriptors.
    pub(crate) async fn readable(&mut self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        drop(self.last.take());
        let duplicate = fcntl_dupfd_cloexec(descriptor, 3)?;
        // SAFETY: `into_raw_fd` gives up the duplicate, so the stream is its only owner and closes it once.
        #[expect(unsafe_code, reason = "glommio offers no safe way to wait for a descriptor")]
        let stream = self.last.insert(unsafe { UnixStream::from_raw_fd(duplicate.into_raw_fd()) });
        let outcome = stream.read(&mut [0]).await;
        debug_assert!(outcome.is_err(), "the descriptor is no socket");
        Ok(())
    }
}

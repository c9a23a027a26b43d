//! The socket with what is read from it and what waits to be written.

use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::{AsyncRead as _, AsyncWrite as _};
use glommio::net::TcpStream;

use crate::frame::ReadBuffer;

/// Memory that is kept for writing although nothing waits.
const WRITE_BYTES_KEPT: usize = 256 * 1_024;

/// One TCP connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    pub(crate) buffer: ReadBuffer,
    /// What is to be written; `written` bytes of it are.
    out: Vec<u8>,
    written: usize,
}

impl Wire {
    /// Connects, with `TCP_NODELAY`.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) async fn connect(
        address: SocketAddr,
        timeout: Duration,
        buffer_bytes: usize,
    ) -> Result<Self, io::Error> {
        let stream = TcpStream::connect_timeout(address, timeout.max(Duration::from_millis(1))).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: ReadBuffer::new(buffer_bytes), out: Vec::new(), written: 0 })
    }

    /// Where to put what is to be written.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.out.len() - self.written
    }

    /// Reads once; ready with 0 at the end of the stream.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, self.buffer.spare());
        if let Poll::Ready(Ok(count)) = &polled {
            self.buffer.filled(*count);
        }
        polled
    }

    /// Writes what waits, in as few writes as the socket takes it.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            match Pin::new(&mut self.stream).poll_write(context, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.out.drain(..self.written);
                    self.written = 0;
                    return Poll::Pending;
                }
            }
        }
        self.written = 0;
        self.out.clear();
        self.out.shrink_to(WRITE_BYTES_KEPT);
        Poll::Ready(Ok(()))
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// Reads once.
    ///
    /// # Errors
    /// Those of the socket; `UnexpectedEof` at the end of the stream.
    pub(crate) async fn read(&mut self) -> io::Result<()> {
        match poll_fn(|context| self.poll_read(context)).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Ends both directions at once: glommio sends a FIN for a dropped socket only at its reactor's next turn.
    pub(crate) async fn shutdown(&self) {
        // A connection that is gone already is closed.
        let _ = self.stream.shutdown(Shutdown::Both).await;
    }
}

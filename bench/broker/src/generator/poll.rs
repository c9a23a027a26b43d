//! Readiness of many sockets: epoll, level-triggered, one thread.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::Timespec;

/// Events taken at once.
const EVENTS_MAX: usize = 1_024;

/// What a socket is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Only its end.
    Nothing,
    /// Bytes from the peer.
    Read,
    /// Both directions: output waits for the kernel.
    ReadAndWrite,
}

/// What happened at a socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readiness {
    /// The token that it was added with.
    pub(crate) token: usize,
    /// Something can be read, an end included.
    pub(crate) is_readable: bool,
    /// Something can be written, or the connection is made.
    pub(crate) is_writable: bool,
}

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    /// Makes one.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Watches `socket`. It leaves when it is closed.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn add(&self, socket: impl AsFd, token: usize, interest: Interest) -> std::io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token as u64), flags(interest))?)
    }

    /// Watches it for something else.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn modify(&self, socket: impl AsFd, token: usize, interest: Interest) -> std::io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(token as u64), flags(interest))?)
    }

    /// Waits until something happens or `timeout` has passed.
    ///
    /// # Errors
    /// If the kernel fails.
    pub(crate) fn wait(&mut self, timeout: Duration) -> std::io::Result<()> {
        self.events.clear();
        let timeout = Timespec::try_from(timeout).map_err(std::io::Error::other)?;
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// How many sockets the last wait found.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The `index`-th of them.
    #[expect(clippy::cast_possible_truncation, reason = "tokens are indices")]
    pub(crate) fn readiness(&self, index: usize) -> Readiness {
        let Event { flags, data } = self.events[index];
        Readiness {
            token: data.u64() as usize,
            is_readable: flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR | EventFlags::RDHUP),
            is_writable: flags.contains(EventFlags::OUT),
        }
    }
}

fn flags(interest: Interest) -> EventFlags {
    match interest {
        Interest::Nothing => EventFlags::empty(),
        Interest::Read => EventFlags::IN,
        Interest::ReadAndWrite => EventFlags::IN | EventFlags::OUT,
    }
}

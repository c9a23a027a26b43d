//! The listening sockets of a core: connect rate, and a pause when descriptors run out.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use contract::Instant;
use rustix::io::Errno;

use crate::bind::CoreListener;

/// Accepting pauses for so long when the process is out of descriptors or the kernel out of memory.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Peers that vanished while they waited are passed over, so many in one call.
const VANISHED_COUNT_MAX: usize = 64;

/// The listeners of a core, with what limits them.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listeners: Vec<Listener>,
    /// The listener to ask first, so that a storm at one leaves the others their turn.
    first: usize,
    rate: Option<TokenBucket>,
    /// Nothing is accepted before; set when the rate, or descriptors, ran out.
    resume_at: Instant,
    /// How often it paused for the rate.
    pub(crate) rate_pause_count: u64,
    /// How often it paused because descriptors or memory ran out.
    pub(crate) exhausted_count: u64,
}

#[derive(Debug)]
struct Listener {
    socket: CoreListener,
    /// Peers may wait: the kernel said so, and accepting has not found the queue empty since.
    acceptable: bool,
    rate: Option<TokenBucket>,
    /// It is not asked before; set when its rate ran out.
    resume_at: Instant,
}

/// A connection that came.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    /// The number of its listener among the core's.
    pub(crate) listener: usize,
}

impl Acceptor {
    /// `connect_rate_max` is in connections a second, over all listeners; a second's worth may come at once.
    pub(crate) fn new(listeners: Vec<CoreListener>, connect_rate_max: Option<u32>) -> Self {
        let listener = |socket: CoreListener| {
            let rate = socket.connect_rate_max().map(TokenBucket::new);
            Listener { socket, acceptable: true, rate, resume_at: Instant::ZERO }
        };
        Self {
            listeners: listeners.into_iter().map(listener).collect(),
            first: 0,
            rate: connect_rate_max.map(TokenBucket::new),
            resume_at: Instant::ZERO,
            rate_pause_count: 0,
            exhausted_count: 0,
        }
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = &CoreListener> {
        self.listeners.iter().map(|listener| &listener.socket)
    }

    /// Notes that peers wait at a listener.
    pub(crate) fn set_acceptable(&mut self, index: usize) {
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.acceptable = true;
        }
    }

    /// When [`Acceptor::accept`] may have a connection; `None` while no peer waits.
    fn acceptable_at(&self) -> Option<Instant> {
        let waiting = self.listeners.iter().filter(|listener| listener.acceptable);
        waiting.map(|listener| listener.resume_at.max(self.resume_at)).min()
    }

    /// Whether it is worth to call [`Acceptor::accept`].
    pub(crate) fn may_accept(&self, now: Instant) -> bool {
        self.acceptable_at().is_some_and(|at| at <= now)
    }

    /// When a pause ends, where peers wait for that.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        self.acceptable_at().filter(|at| *at > now)
    }

    /// Closes the listeners; peers that wait are refused by the kernel.
    pub(crate) fn close(&mut self) {
        self.listeners.clear();
    }

    /// The next connection that waits; `None` when there is none, or a pause begins.
    pub(crate) fn accept(&mut self, now: Instant) -> Option<Accepted> {
        let mut vanished_count = 0;
        while self.may_accept(now) {
            if let Some(resume_at) = self.rate.as_ref().and_then(|rate| rate.empty_until(now)) {
                self.resume_at = resume_at;
                self.rate_pause_count += 1;
                return None;
            }
            let count = self.listeners.len();
            let may = |index: &usize| self.listeners[*index].acceptable && self.listeners[*index].resume_at <= now;
            let index = (self.first..self.first + count).map(|i| i % count).find(may)?;
            let listener = &mut self.listeners[index];
            if let Some(resume_at) = listener.rate.as_ref().and_then(|rate| rate.empty_until(now)) {
                listener.resume_at = resume_at;
                self.rate_pause_count += 1;
                continue;
            }
            match listener.socket.socket().accept() {
                Ok((socket, peer)) => {
                    self.first = index + 1;
                    for rate in self.rate.iter_mut().chain(&mut listener.rate) {
                        rate.take(now);
                    }
                    return Some(Accepted { socket, peer, listener: index });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => listener.acceptable = false,
                Err(error) if is_exhausted(&error) => {
                    tracing::warn!(%error, address = %listener.socket.address(), "cannot accept; pausing for {BACK_OFF:?}");
                    self.resume_at = now + BACK_OFF;
                    self.exhausted_count += 1;
                    return None;
                }
                // A peer that vanished while it waited, or a network error of its own (accept(2), "Error handling").
                Err(_) => {
                    vanished_count += 1;
                    if vanished_count == VANISHED_COUNT_MAX {
                        return None;
                    }
                }
            }
        }
        None
    }
}

/// Whether the process or the machine is out of descriptors or memory.
fn is_exhausted(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].iter().any(|errno| code == Some(errno.raw_os_error()))
}

/// A token bucket that holds a second's worth, as the instant at which it will be full.
#[derive(Debug)]
struct TokenBucket {
    period: Duration,
    full_at: Instant,
}

impl TokenBucket {
    const HOLDS: Duration = Duration::from_secs(1);

    fn new(rate_max: u32) -> Self {
        Self { period: Self::HOLDS / rate_max.max(1), full_at: Instant::ZERO }
    }

    /// When there is a token again; `None` when there is one.
    fn empty_until(&self, now: Instant) -> Option<Instant> {
        let missing = self.full_at.saturating_since(now) + self.period;
        missing.checked_sub(Self::HOLDS).filter(|wait| !wait.is_zero()).map(|wait| now + wait)
    }

    fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.period;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bind::{ListenerConfig, bind};

    #[test]
    fn a_listener_at_its_rate_pauses_and_the_others_go_on() {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let slow = bind(&ListenerConfig { connect_rate_max: Some(1), ..ListenerConfig::new(loopback) }).unwrap();
        let free = bind(&ListenerConfig::new(loopback)).unwrap();
        let peers: Vec<TcpStream> = [&slow, &slow, &free, &free]
            .into_iter()
            .map(|listener| TcpStream::connect(listener.address()).unwrap())
            .collect();
        let mut acceptor = Acceptor::new(slow.into_cores().into_iter().chain(free.into_cores()).collect(), None);
        let mut accepted_at = |now| {
            let mut listeners: Vec<usize> = std::iter::from_fn(|| acceptor.accept(now)).map(|it| it.listener).collect();
            listeners.sort_unstable();
            (listeners, acceptor.next_timeout(now), acceptor.may_accept(now))
        };
        let now = Instant::from_millis(10_000);
        let second = now + Duration::from_secs(1);
        assert_eq!(accepted_at(now), (vec![0, 1, 1], Some(second), false));
        assert_eq!(accepted_at(second).0, [0]);
        drop(peers);
    }

    #[test]
    fn a_token_bucket_gives_a_second_s_worth_at_once_and_then_its_rate() {
        let mut bucket = TokenBucket::new(4);
        let mut now = Instant::from_millis(10_000);
        for _ in 0..4 {
            assert_eq!(bucket.empty_until(now), None);
            bucket.take(now);
        }
        for _ in 0..8 {
            let next = bucket.empty_until(now).expect("it is empty");
            assert_eq!(next - now, Duration::from_millis(250));
            now = next;
            assert_eq!(bucket.empty_until(now), None);
            bucket.take(now);
        }
    }
}

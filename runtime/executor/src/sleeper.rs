//! A core's sleep in the kernel, past glommio, where nothing but its bell and its sockets can wake it.
//!
//! glommio's park costs some ten system calls at each wake-up. A core whose sockets all sit in one epoll instance (all of the
//! broker's do) needs one: it waits in that instance, where an event descriptor stands for the core's doorbell. A core with other
//! shells (an OPC UA transport, a state file) parks in glommio, which knows how to wake them.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use contract::Instant;
use mailbox::Doorbell;
use rustix::event::{EventfdFlags, eventfd};

use crate::gather::Gather;

/// Where a core may sleep: an epoll instance with all of its sockets, and whoever reads them.
///
/// Methods are called on the core's thread, outside of its turns.
pub trait Sleep {
    /// Waits until a socket, or the event descriptor, is ready, or `timeout` is over; keeps what is ready for the next turn.
    /// Answers whether there was anything.
    ///
    /// # Errors
    /// The kernel's. The core takes a turn.
    fn sleep(&self, timeout: Duration) -> io::Result<bool>;

    /// Has the next turn look at the sockets.
    fn look(&self);
}

/// Writes to an event descriptor when woken: an [`std::task::Waker`] for a thread that sleeps in the kernel.
struct EventWaker {
    event: OwnedFd,
}

impl Wake for EventWaker {
    fn wake(self: Arc<Self>) {
        // Fails only when the counter is full, after 2^64 rings.
        let _counter_is_full = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }
}

/// What a core needs to sleep by itself.
pub(crate) struct Sleeper {
    /// `None` where the kernel had no descriptor left: then the core parks in glommio.
    event: Option<(Arc<EventWaker>, Waker)>,
    bed: RefCell<Option<Weak<dyn Sleep>>>,
    gather: RefCell<Gather>,
}

impl fmt::Debug for Sleeper {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sleeper").field("can_sleep", &self.bed().is_some()).finish_non_exhaustive()
    }
}

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The bell had been rung before.
    NotSlept,
    /// By the bell, a socket, or blindly after gathering.
    BySomething,
    /// Its time was over.
    ByTimeout,
}

impl Sleeper {
    pub(crate) fn new(gather_max: Duration) -> Self {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let event = eventfd(0, flags).ok().map(|event| {
            let waker = Arc::new(EventWaker { event });
            (Arc::clone(&waker), Waker::from(waker))
        });
        Self { event, bed: RefCell::default(), gather: RefCell::new(Gather::new(gather_max)) }
    }

    /// The descriptor that becomes readable with each ring during a sleep.
    pub(crate) fn event(&self) -> Option<BorrowedFd<'_>> {
        self.event.as_ref().map(|(waker, _)| waker.event.as_fd())
    }

    /// Sleeps there from the next sleep on, as long as it lives.
    pub(crate) fn set_bed(&self, bed: &Rc<dyn Sleep>) {
        *self.bed.borrow_mut() = Some(Rc::downgrade(bed));
    }

    /// Where the core can sleep by itself.
    pub(crate) fn bed(&self) -> Option<Rc<dyn Sleep>> {
        self.event.as_ref()?;
        self.bed.borrow().as_ref()?.upgrade()
    }

    /// Sleeps until the bell rings, a socket is ready or `duration` is over. `work` is what the core was given so far.
    pub(crate) fn sleep(
        &self,
        bed: &dyn Sleep,
        doorbell: &Doorbell,
        now: Instant,
        duration: Duration,
        work: u64,
    ) -> Woken {
        let Some((_, waker)) = &self.event else { return Woken::NotSlept };
        let mut context = Context::from_waker(waker);
        if doorbell.poll_rung(&mut context).is_ready() {
            return Woken::NotSlept;
        }
        let blind = self.gather.borrow_mut().before_sleep(now, work).filter(|blind| *blind <= duration);
        let woken = match blind {
            Some(blind) => {
                std::thread::sleep(blind);
                bed.look();
                Woken::BySomething
            }
            None => match bed.sleep(duration) {
                Ok(false) => Woken::ByTimeout,
                Ok(true) => Woken::BySomething,
                Err(error) => {
                    tracing::trace!(%error, "a sleep was interrupted; the next turn looks");
                    bed.look();
                    Woken::BySomething
                }
            },
        };
        doorbell.forget_waker();
        woken
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// A bed without sockets.
    struct Bare {
        event: OwnedFd,
        looks: Cell<u32>,
    }

    impl Bare {
        fn of(sleeper: &Sleeper) -> Self {
            let event = sleeper.event().unwrap().try_clone_to_owned().unwrap();
            Self { event, looks: Cell::new(0) }
        }
    }

    impl Sleep for Bare {
        fn sleep(&self, timeout: Duration) -> io::Result<bool> {
            let timeout = Timespec { tv_sec: 0, tv_nsec: 0 } + Timespec::try_from(timeout).unwrap();
            let count = poll(&mut [PollFd::new(&self.event, PollFlags::IN)], Some(&timeout))?;
            let _count = rustix::io::read(&self.event, &mut [0; 8]);
            Ok(count > 0)
        }

        fn look(&self) {
            self.looks.set(self.looks.get() + 1);
        }
    }

    #[test]
    fn a_bell_of_another_thread_ends_the_sleep_each_time() {
        let sleeper = Sleeper::new(Duration::ZERO);
        let (bed, bell) = (Bare::of(&sleeper), Doorbell::new());
        for _ in 0..100 {
            let ringer = bell.clone();
            let thread = std::thread::spawn(move || ringer.ring());
            // Either it was rung before, or the sleep is ended by it.
            assert_ne!(sleeper.sleep(&bed, &bell, Instant::ZERO, LONG, 0), Woken::ByTimeout);
            thread.join().unwrap();
            bell.clear();
        }
        assert_eq!(bed.looks.get(), 0);
    }

    #[test]
    fn a_ring_before_the_sleep_is_not_slept_over() {
        let sleeper = Sleeper::new(Duration::ZERO);
        let (bed, bell) = (Bare::of(&sleeper), Doorbell::new());
        bell.ring();
        assert_eq!(sleeper.sleep(&bed, &bell, Instant::ZERO, LONG, 0), Woken::NotSlept);
        assert_eq!(sleeper.sleep(&bed, &bell, Instant::ZERO, Duration::from_millis(1), 0), Woken::ByTimeout);
    }

    #[test]
    fn a_bed_is_slept_in_as_long_as_it_lives() {
        let sleeper = Sleeper::new(Duration::ZERO);
        assert!(sleeper.bed().is_none());
        let bed: Rc<dyn Sleep> = Rc::new(Bare::of(&sleeper));
        sleeper.set_bed(&bed);
        assert!(sleeper.bed().is_some());
        drop(bed);
        assert!(sleeper.bed().is_none());
    }
}

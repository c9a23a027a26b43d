//! Bounded, lock-free channels between cores, and the doorbell that wakes a core once for many messages.
//!
//! A core (or a lane) owns one [`Doorbell`]. Every [`Receiver`] of that core is made with it, so whoever
//! sends rings it, and the core, woken once, drains all its mailboxes:
//!
//! ```
//! use std::collections::VecDeque;
//!
//! let doorbell = mailbox::Doorbell::new();
//! let (sender, mut receiver) = mailbox::channel::<u32>(64, &doorbell);
//! sender.try_send(7).expect("64 places are free");
//!
//! let mut inbox = VecDeque::new();
//! futures_lite::future::block_on(doorbell.wait()); // the ring is kept until somebody waits
//! assert_eq!(receiver.receive_many(&mut inbox, 256), 1);
//! ```
//!
//! | File | Its idea |
//! |---|---|
//! | `doorbell.rs` | one wake per park, however many ring |
//! | `channel.rs` | the two ends, and what happens at the limit |
//! | `queue.rs` | the bounded queue, allocated by its first message |
//! | `waiters.rs` | senders that met a full channel and want to hear of space |
//! | `sync.rs` | atomics: the processor's, or loom's |
//!
//! **Memory.** A channel that carried nothing takes some 250 bytes, so channels between all pairs of
//! cores are cheap to make. The first message allocates `capacity` slots of a message plus 8 bytes; they
//! stay until both ends are gone.
//!
//! **Cost.** A send is one compare-and-swap of the queue and one swap of the doorbell; a wake is paid only
//! by the first ring since the core looked. Where a sender has several messages,
//! [`Sender::send_many`] rings once. A channel that runs full and empty by turns costs a wake per message
//! (some 10 us): give it room and drain it whole.
//!
//! **Proof.** `tests/loom.rs` runs the shipped doorbell, channel ends and waiters through all
//! interleavings, with the queue itself replaced by a model:
//! `RUSTFLAGS="--cfg loom" cargo test -p mailbox --release --test loom`.
//! The crate holds no `unsafe`: the waker's cell is that of `futures`, the queue that of `crossbeam`.

mod channel;
mod doorbell;
mod queue;
mod sync;
mod waiters;

pub use channel::{Receiver, SendError, Sender, channel};
pub use doorbell::{Doorbell, Wait};

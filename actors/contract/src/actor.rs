//! The shape of every actor: messages and a time in, effects out.

use crate::{Effects, Instant};

/// A state machine that owns its state and never waits.
///
/// One step is one call; between steps nothing is borrowed. The runtime drains `effects` before the next
/// step, starts the work that they name, and brings its completion back as a message.
pub trait Actor {
    /// All that may arrive: a closed enum. Each variant says what happens when the mailbox is full.
    type Message;
    /// All that it may ask of the runtime: a closed enum.
    type Effect;

    /// Takes one message at `now` and pushes what must happen next, in order.
    fn handle(&mut self, message: Self::Message, now: Instant, effects: &mut Effects<Self::Effect>);

    /// When [`Actor::handle_timeout`] is next due; `None` while nothing is.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Does what is due at `now`. A call that comes early does nothing.
    fn handle_timeout(&mut self, now: Instant, effects: &mut Effects<Self::Effect>);
}

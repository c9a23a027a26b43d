//! One Session against the model server on virtual time.

mod behaviour;
mod by_hand;
mod faults;
mod world;

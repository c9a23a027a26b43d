//! One Session against the model server on virtual time.

mod behaviour;
mod faults;
mod world;

//! The loop: commands in, answers out, until the routes are closed.

use std::collections::VecDeque;

use executor::{BoxError, LaneContext};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use mailbox::{Receiver, Sender};

use crate::config::RouteConfig;
use crate::message::{LaneAnswer, LaneCommand};
use crate::route::{Done, RouteState, Work};

/// Commands taken from the mailbox before the lane looks at its sockets again.
const COMMANDS_AT_ONCE_MAX: usize = 64;

/// One route to start a lane with.
#[derive(Debug)]
pub struct Route {
    /// Where it leads.
    pub config: RouteConfig,
    /// The mailbox of its batcher's core. Routes of one core share it by a clone each; answers name their route.
    pub answers: Sender<LaneAnswer>,
}

/// Serves `routes` until each was closed, or until nobody can send a command any more; then closes what is open.
///
/// `commands` is made with the doorbell of `context`'s lane, and holds at least what all batchers together may have
/// unanswered, or their cores must wait. At a stop the lane goes on, so that batches settle, and gives up at the
/// stop's deadline. A command for a route that there is not, or that was closed, is dropped with a warning.
///
/// # Errors
/// None: what fails is the answer to a command. The type is that of [`executor::Lane::start`].
pub async fn run_lane(
    context: LaneContext,
    routes: Vec<Route>,
    mut commands: Receiver<LaneCommand>,
) -> Result<(), BoxError> {
    crate::install_crypto_provider();
    let mut lane = LaneState::new(routes);
    let serve = async {
        loop {
            let took_all = lane.take_commands(&mut commands);
            for route in &mut lane.routes {
                route.flush(&context.doorbell);
            }
            let nobody_asks = commands.is_disconnected() && commands.is_empty();
            if nobody_asks || lane.routes.iter().all(RouteState::is_closed) {
                break;
            }
            tokio::select! {
                () = context.doorbell.wait(), if took_all => {}
                () = std::future::ready(()), if !took_all => tokio::task::yield_now().await,
                Some(done) = lane.work.next(), if !lane.work.is_empty() => lane.finish(done),
            }
        }
        lane.close().await;
    };
    tokio::select! {
        () = serve => {}
        () = past_deadline(&context) => tracing::warn!("the lane of Event Hubs gave up at the stop's deadline"),
    }
    Ok(())
}

async fn past_deadline(context: &LaneContext) {
    context.stop_token.stopped().await;
    // A later call may have shortened the time while this slept; then the deadline has passed, and the loop ends.
    while let Some(deadline) = context.stop_token.deadline().filter(|deadline| *deadline > context.clock.now()) {
        tokio::time::sleep(context.clock.until(deadline)).await;
    }
}

struct LaneState {
    routes: Vec<RouteState>,
    /// Everything under way: batches, as many as the routes allow, and for each route what opens and closes clients.
    work: FuturesUnordered<Work>,
    inbox: VecDeque<LaneCommand>,
}

impl LaneState {
    fn new(routes: Vec<Route>) -> Self {
        let state = |(index, route): (usize, Route)| RouteState::new(index, route.config, route.answers);
        Self {
            routes: routes.into_iter().enumerate().map(state).collect(),
            work: FuturesUnordered::new(),
            inbox: VecDeque::new(),
        }
    }

    /// Starts what the mailbox asks for; whether that was all.
    fn take_commands(&mut self, commands: &mut Receiver<LaneCommand>) -> bool {
        let count = commands.receive_many(&mut self.inbox, COMMANDS_AT_ONCE_MAX);
        for LaneCommand { route, request } in self.inbox.drain(..) {
            if let Some(state) = self.routes.get_mut(route).filter(|route| !route.is_closed()) {
                state.handle(request, |work| self.work.push(work));
            } else {
                tracing::warn!(route, "a command for a route that is not served");
            }
        }
        count < COMMANDS_AT_ONCE_MAX
    }

    fn finish(&mut self, done: Done) {
        self.routes[done.route].finish(done.result, |work| self.work.push(work));
    }

    /// Closes the clients; batches under way end within their timeouts.
    async fn close(&mut self) {
        for route in &mut self.routes {
            route.let_go_of_client(|work| self.work.push(work));
        }
        while let Some(done) = self.work.next().await {
            self.finish(done);
        }
    }
}

//! The shell against servers that misbehave: one Connected or Disconnected for each Connect, one answer for each request.

#![expect(clippy::unwrap_used, reason = "what cannot go on fails its test")]

mod server;

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use contract::Instant;
use executor::{
    Blocking, BlockingSpec, Core, CoreContext, CoreFactory, Decision, ExecutorSpec, Executors, LocalReceiver,
    LocalSender, StopReport, Supervisor, Turn, local_channel,
};
use opcua_subscription::{DisconnectReason, Message, Request, Response, StatusCode};
use opcua_transport::{Command, TransportConfig, spawn_transport};
use opcua_types::{CloseSessionResponse, PublishResponse, ResponseHeader, ServiceFault};

use crate::server::{APPLICATION_URI, frame, serve};

const GRACE: Duration = Duration::from_secs(20);

#[test]
fn what_a_server_says_while_connecting_is_told_as_what_it_is() {
    let closed = |code| DisconnectReason::ClosedByServer(StatusCode(code));
    let broken = |code| DisconnectReason::ProtocolError(StatusCode(code));
    for (bytes, expected) in [
        (frame(*b"ERRF", &[&0x807D_0000_u32.to_le_bytes()[..], &[0xFF; 4]].concat()), closed(0x807D_0000)),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), broken(0x807E_0000)),
        (frame(*b"ACKF", &[0; 20]), broken(0x8007_0000)),
        (frame(*b"MSGF", &[0; 20]), broken(0x807E_0000)),
        (b"MSGF\xff\xff\xff\x7f".to_vec(), broken(0x8080_0000)),
        (Vec::new(), closed(0x80AE_0000)),
    ] {
        let (address, server) = serve(move |peer| {
            peer.accept();
            peer.read();
            peer.write(&bytes);
        });
        let messages = play(address, vec![Command::Connect], 1);
        assert!(matches!(&messages[..], [Message::Disconnected { reason, .. }] if *reason == expected), "{messages:?}");
        server.join().unwrap();
    }
}

#[test]
fn nobody_at_the_port_is_unreachable() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let messages = play(address, vec![Command::Connect], 1);
    assert!(matches!(reason(&messages[0]), DisconnectReason::Unreachable(_)), "{messages:?}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let (address, server) = serve(|peer| {
        peer.accept();
        while peer.read().is_some() {}
    });
    let messages = play(address, vec![Command::Connect], 1);
    assert_eq!(reason(&messages[0]), DisconnectReason::TimedOut);
    server.join().unwrap();
}

#[test]
fn a_disconnect_while_connecting_is_answered_once() {
    // It ends with the process: the connection may be called off before it is made.
    let (address, _server) = serve(|peer| {
        peer.accept();
        while peer.read().is_some() {}
    });
    let messages = play(address, vec![Command::Connect, Command::Disconnect, Command::Disconnect], 1);
    assert_eq!(reason(&messages[0]), DisconnectReason::Requested);
}

#[test]
fn each_request_is_answered_once_and_the_disconnect_too() {
    let (address, server) = serve(|peer| {
        peer.connect();
        let [first, second, third, _never] = [(); 4].map(|()| peer.read_request());
        let bad = opcua_types::StatusCode::BadTooManyPublishRequests;
        let header = ResponseHeader::new_service_result(2, bad);
        peer.answer(second, &ServiceFault { response_header: header });
        peer.write_chunk(*b"MSGC", third, b"half");
        peer.write_chunk(*b"MSGA", third, &0x8003_0000_u32.to_le_bytes());
        let header = ResponseHeader::new_good(1);
        peer.answer(first, &PublishResponse { response_header: header, ..PublishResponse::default() });
        // Nobody asked for this one.
        peer.answer(999, &CloseSessionResponse { response_header: ResponseHeader::new_good(9) });
        assert_eq!(&peer.read().unwrap()[..4], b"CLOF");
        assert_eq!(peer.read(), None, "the client closes");
    });
    let commands = [
        Command::Connect,
        send(1, Request::Publish { acknowledgements: Vec::new() }, None),
        send(2, Request::Publish { acknowledgements: Vec::new() }, None),
        send(3, Request::CloseSession { delete_subscriptions: true }, Some(Duration::from_secs(20))),
        send(4, Request::CloseSession { delete_subscriptions: true }, Some(Duration::from_millis(300))),
    ];
    let messages = play_with(address, 1, move |messages, commands_of| match messages.len() {
        0 => commands_of.extend_from_slice(&commands[..1]),
        1 => commands_of.extend_from_slice(&commands[1..]),
        5 => commands_of.push(Command::Disconnect),
        _ => {}
    });
    server.join().unwrap();
    let [connected, fault, aborted, published, late, end] = &messages[..] else { panic!("{messages:?}") };
    let Message::Connected { server_application_uri, .. } = connected else { panic!("{connected:?}") };
    assert_eq!(&**server_application_uri, APPLICATION_URI);
    assert_eq!(answer(fault), (2, Err(StatusCode::BAD_TOO_MANY_PUBLISH_REQUESTS)));
    assert_eq!(answer(aborted), (3, Err(StatusCode::BAD_OUT_OF_MEMORY)));
    let Message::PublishResponse { request_handle: 1, body, .. } = published else { panic!("{published:?}") };
    assert_eq!(body[..4], [0; 4], "the body begins with the SubscriptionId");
    assert_eq!(answer(late), (4, Err(StatusCode::BAD_TIMEOUT)));
    assert_eq!(reason(end), DisconnectReason::Requested);
}

#[test]
fn bytes_that_are_no_answer_end_the_connection() {
    let (address, server) = serve(|peer| {
        peer.connect();
        let request_id = peer.read_request();
        peer.write_chunk(*b"MSGF", request_id, b"no answer");
        assert_eq!(peer.read(), None);
    });
    let request = Request::Publish { acknowledgements: Vec::new() };
    let messages = play_with(address, 64, move |messages, commands| match messages.len() {
        0 => commands.push(Command::Connect),
        1 => commands.push(send(1, request.clone(), None)),
        _ => {}
    });
    server.join().unwrap();
    assert!(matches!(reason(&messages[1]), DisconnectReason::ProtocolError(_)), "{messages:?}");
}

// --- what the tests lean on ---

fn send(request_handle: u32, request: Request, timeout: Option<Duration>) -> Command {
    Command::Send { request_handle, authentication_token: None, request, timeout }
}

fn reason(message: &Message) -> DisconnectReason {
    let Message::Disconnected { reason, .. } = message else { panic!("{message:?}") };
    reason.clone()
}

fn answer(message: &Message) -> (u32, Result<Response, StatusCode>) {
    let Message::Response { request_handle, result, .. } = message else { panic!("{message:?}") };
    (*request_handle, result.clone())
}

/// Gives all commands at once; what came until the last Disconnected, and that nothing comes after it.
fn play(address: SocketAddr, commands: Vec<Command>, capacity: usize) -> Vec<Message> {
    play_with(address, capacity, move |messages, given| {
        if messages.is_empty() {
            given.extend_from_slice(&commands);
        }
    })
}

/// Asks `next` for commands at the start and after every message; what came until Disconnected.
fn play_with(
    address: SocketAddr,
    capacity: usize,
    next: impl FnMut(&[Message], &mut Vec<Command>) + Send + 'static,
) -> Vec<Message> {
    let supervisor = Supervisor::new(GRACE, |_| Decision::EndProcess);
    let stop = supervisor.stop_handle();
    let (told, all) = mpsc::channel();
    let factory: CoreFactory = Box::new(move |context: CoreContext| {
        Box::pin(async move {
            let spec = BlockingSpec { name: "pool".to_owned(), thread_count: 1, queue_max: 4, cpu: None };
            let (commands, to_shell) = local_channel(16, None);
            let (from_shell, messages) = local_channel(capacity, Some(context.local_bell()));
            let connect_timeout = Duration::from_millis(1_500);
            let config = TransportConfig {
                connect_timeout,
                ..TransportConfig::new(format!("opc.tcp://{address}/configured"), "unused")
            };
            let blocking = Blocking::start(&spec)?;
            spawn_transport(&context, "opcua-transport", config, to_shell, from_shell, blocking)?;
            let commands = Some(commands);
            let seen = Vec::new();
            let stop = Box::new(move || stop.stop(GRACE));
            let mut player = Player { commands, messages, next: Box::new(next), seen, stop, told };
            player.ask();
            Ok(Box::new(player) as Box<dyn Core>)
        })
    });
    let executors = Executors::start(&supervisor, vec![(ExecutorSpec::new("player", None), factory)]).unwrap();
    assert_eq!(executors.join(), Ok(StopReport::default()));
    all.recv().unwrap()
}

type Next = Box<dyn FnMut(&[Message], &mut Vec<Command>)>;

struct Player {
    commands: Option<LocalSender<Command>>,
    messages: LocalReceiver<Message>,
    next: Next,
    seen: Vec<Message>,
    stop: Box<dyn Fn()>,
    told: mpsc::Sender<Vec<Message>>,
}

impl Player {
    fn ask(&mut self) {
        let mut given = Vec::new();
        (self.next)(&self.seen, &mut given);
        for command in given {
            self.commands.as_ref().unwrap().try_send(command).unwrap();
        }
    }
}

impl Core for Player {
    fn turn(&mut self, _now: Instant) -> Turn {
        while let Some(message) = self.messages.try_receive() {
            let is_last = matches!(message, Message::Disconnected { .. });
            assert!(self.commands.is_some(), "a word after the last one: {message:?}");
            self.seen.push(message);
            if is_last {
                // The shell ends of it; a further message would fail the assertion above.
                self.commands = None;
                (self.stop)();
            } else {
                self.ask();
            }
        }
        Turn::default()
    }

    fn stop(&mut self, _now: Instant) {
        self.told.send(std::mem::take(&mut self.seen)).unwrap();
    }

    fn stopped(&self) -> bool {
        true
    }

    fn stall_culprit(&self) -> &'static str {
        "player"
    }

    fn panic_culprit(&self) -> &'static str {
        "player"
    }

    fn restart(&mut self, _now: Instant) {}
}

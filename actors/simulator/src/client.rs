//! One MQTT client over all of its connections: how it connects, what it believes of its session, how it leaves.

use std::time::Duration;

use contract::{ConnectionAddress, Instant};

use crate::Dice;
use crate::cut::{Cut, PacketKind, Way};
use crate::from_server::{self, FromServer};
use crate::inbox::Inbox;
use crate::kept::{Kept, Wish};
use crate::message::Sent;
use crate::outbox::{Outbox, Topic};
use crate::will::{End, Wills};
use crate::wire::{self, Hello, Version, WillText};

/// Bytes of the largest packet that some clients take; the large messages are larger.
const SMALL_PACKET_BYTES: u32 = 2_000;

/// A CONNECT that nobody answered reaches its home no later than so long after it was sent.
const STRAGGLER_MAX: Duration = Duration::from_secs(1);

/// What a client is there for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Publishes numbered messages to its topics.
    Publisher,
    /// Subscribes to a Topic Filter, perhaps one with `$share/{ShareName}/`.
    Subscriber { topic_filter: String, share_name: Option<String>, qos: u8 },
    /// Comes with a new Client Identifier each time, for its Will alone.
    Guest,
}

/// What a client is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Habits {
    /// How long it wants its session kept, in seconds; 0: it always starts clean.
    pub(crate) session_expiry_s: u32,
    /// What the server makes of a session of version 3.1.1 that is to be kept.
    pub(crate) session_expiry_v3_s: u32,
    /// It offers a small Maximum Packet Size now and then.
    pub(crate) has_small_packets: bool,
    pub(crate) room: Room,
}

/// How much room the server has for sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// It ends a session where its memory has no room to keep it.
    pub(crate) is_tight: bool,
    /// It refuses a client where it has no room for its session.
    pub(crate) may_refuse: bool,
}

/// One connection of a client, for the judge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialed {
    pub(crate) address: ConnectionAddress,
    pub(crate) at: Instant,
    /// CONNACK said that a session was there.
    pub(crate) is_resumed: bool,
}

/// How a connection ended, as far as its client can know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// The server knew of the end no earlier.
    pub(crate) since: Instant,
    /// The server hears of it at once.
    pub(crate) is_known: bool,
    pub(crate) end: End,
}

/// DISCONNECT, as it was sent.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    end: End,
    session_expiry_s: u32,
}

/// A client that is always there, though its connection may not be.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a state of its own: connection, offer, session, rest")]
pub(crate) struct Client {
    name: String,
    pub(crate) identifier: String,
    pub(crate) version: Version,
    pub(crate) role: Role,
    habits: Habits,
    pub(crate) connection: Option<ConnectionAddress>,
    /// CONNACK let it in.
    pub(crate) is_welcome: bool,
    inbound: Vec<u8>,
    /// Its connection broke, and what still comes is not for it.
    is_cut_off: bool,
    wish: Wish,
    has_small_packets: bool,
    kept: Kept,
    kept_at_dial: Kept,
    leaving: Option<Leaving>,
    /// A CONNECT is not answered.
    awaits_connack: bool,
    dialed_at: Instant,
    /// The CONNECT before may reach its home behind this connection's, and take over from it.
    has_straggler: bool,
    /// A CONNECT that nobody answered may have begun another session, of which Session Present tells nothing.
    is_session_uncertain: bool,
    /// The server lost its connection to a panic, and the client has not noticed yet.
    is_session_doubtful: bool,
    pub(crate) dialed: Vec<Dialed>,
    pub(crate) outbox: Outbox,
    pub(crate) inbox: Inbox,
    pub(crate) wills: Wills,
    /// Where its connection is to break.
    pub(crate) cut: Option<Cut>,
    /// It reads nothing until then.
    pub(crate) stalled_until: Instant,
    /// It stays away until then.
    pub(crate) away_until: Instant,
    /// It publishes no more, and stays.
    pub(crate) is_at_rest: bool,
}

impl Client {
    pub(crate) fn new(name: String, version: Version, role: Role, topics: Vec<Topic>, habits: Habits) -> Self {
        Self {
            identifier: name.clone(),
            name,
            version,
            role,
            habits,
            connection: None,
            is_welcome: false,
            inbound: Vec::new(),
            is_cut_off: false,
            wish: Wish { clean_start: true, session_expiry_s: 0 },
            has_small_packets: false,
            kept: Kept::Nothing,
            kept_at_dial: Kept::Nothing,
            leaving: None,
            awaits_connack: false,
            dialed_at: Instant::ZERO,
            has_straggler: false,
            is_session_uncertain: false,
            is_session_doubtful: false,
            dialed: Vec::new(),
            outbox: Outbox::new(topics),
            inbox: Inbox::default(),
            wills: Wills::default(),
            cut: None,
            stalled_until: Instant::ZERO,
            away_until: Instant::ZERO,
            is_at_rest: false,
        }
    }

    /// The socket is open: what the client writes first.
    pub(crate) fn opened(&mut self, address: ConnectionAddress, now: Instant, dice: &mut Dice) -> Vec<u8> {
        self.connection = Some(address);
        let number = self.dialed.len() as u64 + 1;
        self.dialed.push(Dialed { address, at: now, is_resumed: false });
        self.inbound.clear();
        self.is_cut_off = false;
        self.is_welcome = false;
        self.leaving = None;
        self.is_session_doubtful = false;
        if self.role == Role::Guest {
            self.identifier = format!("{}-{number}", self.name);
            self.kept = Kept::Nothing;
        }
        self.has_straggler = self.awaits_connack && now < self.dialed_at + STRAGGLER_MAX;
        self.dialed_at = now;
        if self.awaits_connack {
            let is_there = matches!(self.kept_at_dial, Kept::Surely { until, .. } if now < until);
            let goes_on = is_there && !self.wish.clean_start;
            self.is_session_uncertain |= !goes_on || self.wish.session_expiry_s == 0;
        }
        self.awaits_connack = true;
        self.wish = self.wish(dice);
        self.has_small_packets = self.version == Version::V5 && self.habits.has_small_packets && dice.one_in(2);
        let receive_maximum =
            if self.version == Version::V5 { u16::try_from(dice.within(1..9)).expect("small") } else { u16::MAX };
        if self.wish.clean_start {
            self.inbox.forget();
        }
        self.inbox.dialed(self.dialed.len() - 1, receive_maximum, self.has_small_packets);
        self.kept_at_dial = self.kept;
        self.kept = self.kept.after_attempt(self.wish);
        let will = WillText {
            message: Sent { topic: format!("will/{}", self.name), number },
            qos: u8::try_from(dice.within(1..3)).expect("small"),
            delay_s: if self.version == Version::V5 { u32::try_from(dice.within(0..3)).expect("small") } else { 0 },
        };
        self.wills.attempt(&will);
        let hello = Hello {
            client_identifier: &self.identifier,
            clean_start: self.wish.clean_start,
            session_expiry_s: self.wish.session_expiry_s,
            receive_maximum,
            maximum_packet_size: self.has_small_packets.then_some(SMALL_PACKET_BYTES),
            will: &will,
        };
        wire::connect(self.version, &hello)
    }

    fn wish(&self, dice: &mut Dice) -> Wish {
        // A guest's session is to make room soon, which version 3.1.1 cannot say.
        let is_guest_v3 = self.role == Role::Guest && self.version == Version::V3;
        let keeps = self.habits.session_expiry_s > 0 && !is_guest_v3;
        let clean_start = !keeps || dice.one_in(8);
        match self.version {
            Version::V5 => Wish { clean_start, session_expiry_s: self.habits.session_expiry_s },
            Version::V3 if clean_start => Wish { clean_start, session_expiry_s: 0 },
            Version::V3 => Wish { clean_start, session_expiry_s: self.habits.session_expiry_v3_s },
        }
    }

    /// The broker is gone, with all that it remembered.
    pub(crate) fn lost_to_a_kill(&mut self, now: Instant, has_come: impl Fn(&Sent) -> bool) {
        if self.connection.is_some() {
            self.lost(Loss { since: now, is_known: true, end: End::Doubtful });
        }
        self.kept = Kept::Nothing;
        self.outbox.forgotten();
        self.wills.forgotten(has_come);
    }

    /// The socket is gone.
    pub(crate) fn lost(&mut self, loss: Loss) {
        self.connection = None;
        let Wish { session_expiry_s, .. } = self.wish;
        let end = self.leaving.map_or(loss.end, |leaving| leaving.end);
        // A panic, or a stop of the server, may have come before it read DISCONNECT.
        let is_server_first = end == End::Taken && (self.is_session_doubtful || loss.end == End::Doubtful);
        let end = if self.has_straggler || is_server_first { End::Doubtful } else { end };
        let expiry_s = self.leaving.map_or(session_expiry_s, |leaving| leaving.session_expiry_s);
        let least_s = session_expiry_s.min(expiry_s);
        if self.is_welcome {
            self.kept = match Kept::after_end(least_s, loss.since, loss.is_known) {
                // DISCONNECT changed it, and perhaps nobody read that.
                Kept::Nothing if session_expiry_s > 0 && end != End::Taken => Kept::Perhaps,
                Kept::Surely { until, .. } if expiry_s != session_expiry_s => Kept::Surely { until, gone_at: None },
                kept @ (Kept::Nothing | Kept::Perhaps | Kept::Surely { .. }) => kept,
            };
        }
        if (std::mem::take(&mut self.is_session_doubtful) || self.habits.room.is_tight) && self.kept != Kept::Nothing {
            self.kept = Kept::Perhaps;
        }
        if std::mem::take(&mut self.has_straggler) {
            self.kept = Kept::Perhaps;
            self.is_session_uncertain = true;
        }
        self.wills.ended(end, session_expiry_s, loss.since);
        self.is_welcome = false;
        self.leaving = None;
        self.outbox.lost();
        self.inbox.lost();
    }

    /// The server lost a connection to a panic of its own, and the session with it; this client is to notice, or has gone on.
    pub(crate) fn lost_to_a_panic(&mut self, address: ConnectionAddress) {
        if self.connection == Some(address) {
            self.is_session_doubtful = true;
            return;
        }
        for kept in [&mut self.kept, &mut self.kept_at_dial] {
            if *kept != Kept::Nothing {
                *kept = Kept::Perhaps;
            }
        }
        let is_newest = self.dialed.last().is_some_and(|dialed| dialed.address == address);
        self.wills.doubt(if is_newest { 1 } else { usize::MAX });
    }

    /// Whether every exchange is complete, and the client is there.
    pub(crate) fn is_done(&self) -> bool {
        let is_there = match self.role {
            Role::Publisher => self.is_welcome,
            Role::Subscriber { .. } => self.is_welcome && self.inbox.subscribed_since.is_some(),
            Role::Guest => true,
        };
        is_there && self.outbox.is_empty() && self.inbox.is_done()
    }

    /// Takes bytes from the server; what the client answers, and whether its connection breaks here.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: Instant) -> (Vec<u8>, Option<Cut>) {
        let mut answer = Vec::new();
        if self.is_cut_off {
            return (answer, None);
        }
        self.inbound.extend_from_slice(bytes);
        while let Some((first_byte, packet)) = from_server::take(self.version, &mut self.inbound) {
            let is_of = |cut: &Cut| cut.way == Way::ToClient && PacketKind::of(first_byte) == Some(cut.packet);
            let cut = self.cut.filter(is_of);
            self.is_cut_off = cut.is_some();
            if cut.is_some_and(|cut| !cut.arrives) {
                return (answer, cut);
            }
            let bytes = self.take(packet, now);
            if cut.is_some() {
                return (answer, cut);
            }
            answer.extend(bytes);
        }
        (answer, None)
    }

    fn take(&mut self, packet: FromServer, now: Instant) -> Vec<u8> {
        match packet {
            FromServer::ConnAck { session_present, code } => return self.take_connack(session_present, code, now),
            FromServer::SubAck { codes } => {
                assert!(codes.iter().all(|code| *code < 0x80), "{} may subscribe", self.identifier);
                self.inbox.subscribed(now);
            }
            FromServer::UnsubAck => return self.subscribe(),
            FromServer::Publish(publish) => self.inbox.take_publish(&publish),
            FromServer::PubRel { packet_identifier } => self.inbox.take_pubrel(self.version, packet_identifier),
            FromServer::PubAck { packet_identifier, reason } => self.outbox.take_puback(packet_identifier, reason),
            FromServer::PubRec { packet_identifier, reason } => {
                return self.outbox.take_pubrec(packet_identifier, reason);
            }
            FromServer::PubComp { packet_identifier, reason } => self.outbox.take_pubcomp(packet_identifier, reason),
            FromServer::PingResp | FromServer::Disconnect => {}
        }
        self.inbox.answers()
    }

    fn take_connack(&mut self, session_present: bool, code: u8, now: Instant) -> Vec<u8> {
        let name = &self.identifier;
        assert!(!self.is_welcome, "{name} is let in once");
        self.awaits_connack = false;
        if code != 0 {
            let expected = if self.version == Version::V5 { 0x97 } else { 3 };
            assert!(code == expected && self.habits.room.may_refuse, "{name} is refused with {code:#x}");
            assert!(!session_present, "a refusal has no session (MQTT-3.2.2-6)");
            let is_owed = matches!(self.kept_at_dial, Kept::Surely { until, .. } if now < until);
            assert!(!is_owed, "{name} is refused, though its session is there");
            self.wills.refused();
            self.kept = self.kept_at_dial;
            return Vec::new();
        }
        let dialed = self.dialed.last_mut().expect("a CONNECT was sent");
        if let Err(wrong) = self.kept_at_dial.allows(session_present, self.wish, dialed.at, now) {
            panic!("{name} ({:?}): {wrong}", self.wish);
        }
        dialed.is_resumed = session_present;
        self.is_welcome = true;
        self.wills.welcomed(session_present, now);
        if std::mem::take(&mut self.is_session_uncertain) && session_present {
            self.inbox.forget();
            self.outbox.session_is_uncertain();
        }
        self.inbox.welcomed(session_present, self.has_small_packets);
        if !session_present {
            self.outbox.session_is_new();
        }
        let mut bytes = self.outbox.greet(self.version);
        if self.inbox.subscribed_since.is_none() {
            bytes.extend(self.subscribe());
        }
        bytes
    }

    fn subscribe(&mut self) -> Vec<u8> {
        let Role::Subscriber { topic_filter, share_name, qos } = &self.role else { return Vec::new() };
        self.inbox.asks();
        let topic_filter = match share_name {
            Some(share_name) => &format!("$share/{share_name}/{topic_filter}"),
            None => topic_filter,
        };
        wire::subscribe(self.version, 9, topic_filter, *qos)
    }

    /// What it does of its own accord, now and then.
    pub(crate) fn tick(&mut self, now: Instant, dice: &mut Dice) -> Vec<u8> {
        let (count, topic) = (dice.within(1..5), dice.index(3));
        if !self.is_welcome || self.is_cut_off || self.leaving.is_some() {
            return Vec::new();
        }
        match &self.role {
            Role::Publisher if self.is_at_rest => Vec::new(),
            Role::Publisher => self.outbox.publish(count, topic, self.version, now, self.dialed.len() as u64),
            Role::Subscriber { topic_filter, share_name, .. } => {
                let unsubscribes = !self.is_at_rest && share_name.is_none() && dice.one_in(16);
                self.inbox.is_dawdling = !self.is_at_rest && dice.one_in(3);
                if unsubscribes && self.inbox.subscribed_since.is_some() {
                    self.inbox.unsubscribes();
                    return wire::unsubscribe(self.version, 11, topic_filter);
                }
                let answers = self.inbox.answers();
                if answers.is_empty() { wire::pingreq() } else { answers }
            }
            Role::Guest => wire::pingreq(),
        }
    }

    /// Says DISCONNECT; `is_read` says whether its socket is read. Nothing where it is not there.
    pub(crate) fn leave(&mut self, now: Instant, is_read: bool, dice: &mut Dice) -> Vec<u8> {
        if !self.is_welcome || self.is_cut_off || self.is_at_rest {
            return Vec::new();
        }
        let mut session_expiry_s = self.wish.session_expiry_s;
        if self.version == Version::V5 && session_expiry_s > 0 && dice.one_in(4) {
            session_expiry_s = u32::try_from(dice.within(0..4)).expect("small");
        }
        let keeps_will =
            self.version == Version::V5 && session_expiry_s == self.wish.session_expiry_s && dice.one_in(3);
        // Nothing that it has under way keeps the server from reading on.
        let is_surely_read = self.outbox.is_empty() && self.stalled_until <= now && !self.inbox.is_dawdling && is_read;
        let end = match (keeps_will, is_surely_read) {
            (true, _) => End::Abrupt,
            (false, true) => End::Taken,
            (false, false) => End::Doubtful,
        };
        self.leaving = Some(Leaving { end, session_expiry_s });
        let changed = (session_expiry_s != self.wish.session_expiry_s).then_some(session_expiry_s);
        wire::disconnect(self.version, if keeps_will { 0x04 } else { 0 }, changed)
    }

    /// DISCONNECT did not arrive, or the connection was broken before.
    pub(crate) fn doubt_leaving(&mut self, end: End) {
        if let Some(leaving) = &mut self.leaving {
            leaving.end = end;
        }
    }
}

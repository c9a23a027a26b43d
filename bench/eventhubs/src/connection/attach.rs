//! Links come and go (AMQP 1.0 §2.6.3, §2.6.4).

use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;

use super::address::{self, ReadFrom};
use super::link::{Direction, Egress, Ingress, Link, Node, Source};
use super::session::HANDLE_MAX;
use super::{Connection, Failure};
use crate::codec::DecodeError;
use crate::codec::decoder::Decoder;
use crate::codec::frame::FrameKind;
use crate::codec::outcome::AmqpError;
use crate::codec::performative::{Attach, Detach, Flow, Performative};
use crate::codec::value::Value;
use crate::namespace::{ReceiverRefusal, ReceiverRequest};
use crate::selector::Start;
use crate::token::path_of;

const SOURCE: u64 = 0x28;
const TARGET: u64 = 0x29;
const UNAUTHORIZED: &str = "amqp:unauthorized-access";

/// What a source or target says.
#[derive(Default)]
struct Terminus {
    address: Option<String>,
    /// A source's filters, or null.
    filter: Value,
}

impl Terminus {
    fn decode(raw: &Bytes) -> Result<Self, DecodeError> {
        if raw.is_empty() {
            return Ok(Self::default());
        }
        let mut decoder = Decoder::new(raw);
        let code = decoder.descriptor()?;
        if code != SOURCE && code != TARGET {
            return Err(DecodeError::Descriptor(code));
        }
        let mut fields = decoder.fields()?;
        let address = fields.value()?.and_then(|address| address.as_text().map(str::to_owned));
        let mut filter = Value::Null;
        if code == SOURCE {
            // Durable, expiry policy, timeout, dynamic, properties of dynamic nodes, distribution mode.
            for _ in 0..6 {
                fields.raw()?;
            }
            filter = fields.value()?.unwrap_or_default();
        }
        fields.end()?;
        Ok(Self { address, filter })
    }

    /// Where to start, as the selector among the filters says.
    fn start(&self) -> Result<Start, AmqpError> {
        let Value::Map(filters) = &self.filter else { return Ok(Start::Earliest) };
        for (name, filter) in filters {
            let filter = if let Value::Described(parts) = filter { &parts.1 } else { filter };
            if let (Some(name), Some(selector)) = (name.as_text(), filter.as_text())
                && name.contains("selector-filter")
            {
                return Start::parse(selector).map_err(|reason| AmqpError::new("amqp:invalid-field", reason));
            }
        }
        Ok(Start::Earliest)
    }
}

impl Connection {
    pub(super) fn on_attach(&mut self, channel: u16, attach: Attach) -> Result<(), Failure> {
        let session = self.sessions.get(&channel).expect("the caller looked it up");
        if attach.handle > HANDLE_MAX {
            return Err(Failure::connection("amqp:connection:framing-error", "the handle is above handle-max"));
        }
        if session.links.contains_key(&attach.handle) {
            return Err(Failure::session("amqp:session:handle-in-use", "the handle has a link already"));
        }
        let source = Terminus::decode(&attach.source)?;
        let target = Terminus::decode(&attach.target)?;
        let properties =
            if attach.properties.is_empty() { Value::Null } else { Decoder::new(&attach.properties).value()? };
        let opened = if attach.is_receiver {
            self.open_egress(&attach, &source, &target, &properties)
        } else {
            self.open_ingress(&target)
        };
        match opened {
            Ok(link) => self.accept_attach(channel, attach, link),
            Err(error) => self.refuse_attach(channel, attach, error),
        }
        Ok(())
    }

    fn accept_attach(&mut self, channel: u16, attach: Attach, link: Link) {
        let handle = attach.handle;
        let is_ingress = matches!(link.direction, Direction::Ingress(_));
        let answer = Attach {
            is_receiver: is_ingress,
            receiver_settle_mode: 0,
            initial_delivery_count: (!is_ingress).then_some(0),
            message_bytes_max: Some(self.namespace.borrow().options.message_bytes_max),
            properties: Bytes::new(),
            ..attach
        };
        self.send(FrameKind::Amqp, channel, &Performative::Attach(Box::new(answer)));
        let session = self.sessions.get_mut(&channel).expect("the caller looked it up");
        session.links.insert(handle, link);
        if is_ingress {
            self.send_flow(channel, Some(handle));
        } else if !self.senders.contains(&(channel, handle)) {
            // An earlier link of this handle may not have been taken out of the round yet.
            self.senders.push_back((channel, handle));
        }
    }

    /// Attaches without a terminus, so that the peer knows what follows, and detaches (§2.6.3).
    fn refuse_attach(&mut self, channel: u16, attach: Attach, error: AmqpError) {
        let handle = attach.handle;
        let is_ingress = !attach.is_receiver;
        let answer = Attach {
            is_receiver: is_ingress,
            receiver_settle_mode: 0,
            source: if is_ingress { attach.source } else { Bytes::new() },
            target: if is_ingress { Bytes::new() } else { attach.target },
            initial_delivery_count: (!is_ingress).then_some(0),
            properties: Bytes::new(),
            name: attach.name,
            handle,
            sender_settle_mode: attach.sender_settle_mode,
            message_bytes_max: None,
        };
        self.send(FrameKind::Amqp, channel, &Performative::Attach(Box::new(answer)));
        let session = self.sessions.get_mut(&channel).expect("the caller looked it up");
        // It carries nothing, and waits for the peer's detach.
        let direction = Direction::Ingress(Ingress::new(Node::Cbs));
        session.links.insert(handle, Link { direction, path: None, is_detaching: false });
        self.detach(channel, handle, error);
    }

    fn open_ingress(&mut self, target: &Terminus) -> Result<Link, AmqpError> {
        let address = target.address.as_deref().unwrap_or_default();
        let node = address::target(address, &self.namespace.borrow())?;
        let path = matches!(node, Node::Hub { .. }).then(|| path_of(address));
        self.authorize(path.as_deref())?;
        Ok(Link { direction: Direction::Ingress(Ingress::new(node)), path, is_detaching: false })
    }

    fn open_egress(
        &mut self,
        attach: &Attach,
        source: &Terminus,
        target: &Terminus,
        properties: &Value,
    ) -> Result<Link, AmqpError> {
        let address = source.address.as_deref().unwrap_or_default();
        let from = address::source(address, &self.namespace.borrow())?;
        let (source, path) = match from {
            ReadFrom::Node(node) => {
                (Source::Node { node, address: target.address.clone(), answers: VecDeque::new() }, None)
            }
            ReadFrom::Partition { hub, partition, group } => {
                let path = path_of(address);
                self.authorize(Some(&path))?;
                let start = source.start()?;
                let epoch = properties.get("com.microsoft:epoch").and_then(Value::as_integer);
                let mailbox = Rc::clone(&self.mailbox);
                let mut namespace = self.namespace.borrow_mut();
                let key = namespace
                    .add_receiver(ReceiverRequest { hub, partition, group, epoch, mailbox })
                    .map_err(|refusal| refusal_error(refusal, address))?;
                let cursor = namespace.hubs[hub].partitions[partition].partition.cursor(start);
                (Source::Partition { hub, partition, cursor, key }, Some(path))
            }
        };
        let egress = Egress {
            source,
            delivery_count: 0,
            credit: 0,
            drain: false,
            settled: attach.sender_settle_mode == 1,
            rest: None,
        };
        Ok(Link { direction: Direction::Egress(egress), path, is_detaching: false })
    }

    fn authorize(&mut self, path: Option<&str>) -> Result<(), AmqpError> {
        let Some(path) = path else { return Ok(()) };
        if self.authority.allows(path) {
            return Ok(());
        }
        self.namespace.borrow_mut().counters.unauthorized += 1;
        Err(AmqpError::new(UNAUTHORIZED, format!("Unauthorized access. A token for '{path}' was not put to $cbs.")))
    }

    pub(super) fn on_detach(&mut self, channel: u16, detach: &Detach) -> Result<(), Failure> {
        let session = self.sessions.get_mut(&channel).expect("the caller looked it up");
        let Some(link) = session.links.remove(&detach.handle) else {
            return Err(Failure::session("amqp:session:unattached-handle", "the handle has no link"));
        };
        link.forget(&mut self.namespace.borrow_mut());
        if !link.is_detaching {
            let answer = Detach { handle: detach.handle, closed: detach.closed, error: None };
            self.send(FrameKind::Amqp, channel, &Performative::Detach(answer));
        }
        Ok(())
    }

    /// Ends a link from our side. It stays until the peer has detached it too.
    pub(super) fn detach(&mut self, channel: u16, handle: u32, error: AmqpError) {
        let Some(session) = self.sessions.get_mut(&channel) else { return };
        let Some(link) = session.links.get_mut(&handle) else { return };
        if link.is_detaching {
            return;
        }
        link.is_detaching = true;
        link.forget(&mut self.namespace.borrow_mut());
        let detach = Detach { handle, closed: true, error: Some(error) };
        self.send(FrameKind::Amqp, channel, &Performative::Detach(detach));
    }

    /// Detaches the links that receivers with a higher epoch took over.
    pub(super) fn detach_stolen(&mut self) {
        if self.mailbox.stolen.borrow().is_empty() {
            return;
        }
        let stolen: BTreeSet<u64> = std::mem::take(&mut self.mailbox.stolen.borrow_mut());
        let error = AmqpError::new("amqp:link:stolen", "New receiver was created with a higher or equal epoch.");
        for (channel, handle) in self.links_where(|link| match &link.direction {
            Direction::Egress(Egress { source: Source::Partition { key, .. }, .. }) => stolen.contains(key),
            Direction::Egress(_) | Direction::Ingress(_) => false,
        }) {
            self.detach(channel, handle, error.clone());
        }
    }

    /// Detaches the links whose token ran out.
    pub(super) fn detach_expired(&mut self, now: Instant) {
        if !self.authority.has_expired(now) {
            return;
        }
        let authority = &self.authority;
        let orphans = self.links_where(|link| link.path.as_ref().is_some_and(|path| !authority.allows(path)));
        for (channel, handle) in orphans {
            self.detach(channel, handle, AmqpError::new(UNAUTHORIZED, "ExpiredToken: the token of the link expired."));
        }
    }

    fn links_where(&self, wanted: impl Fn(&Link) -> bool) -> Vec<(u16, u32)> {
        let links = self
            .sessions
            .iter()
            .flat_map(|(channel, session)| session.links.iter().map(move |(handle, link)| (*channel, *handle, link)));
        links.filter(|(_, _, link)| !link.is_detaching && wanted(link)).map(|(c, h, _)| (c, h)).collect()
    }

    pub(super) fn on_flow(&mut self, channel: u16, flow: &Flow) -> Result<(), Failure> {
        let session = self.sessions.get_mut(&channel).expect("the caller looked it up");
        session.on_flow(flow);
        let Some(handle) = flow.handle else {
            if flow.echo {
                self.send_flow(channel, None);
            }
            return Ok(());
        };
        let Some(link) = session.links.get_mut(&handle) else {
            return Err(Failure::session("amqp:session:unattached-handle", "the handle has no link"));
        };
        if link.is_detaching {
            return Ok(());
        }
        match &mut link.direction {
            Direction::Egress(egress) => {
                // The receiver grants credit from the count that it has seen (§2.6.7).
                let seen = flow.delivery_count.unwrap_or(0);
                let in_flight = egress.delivery_count.wrapping_sub(seen);
                egress.credit = flow.link_credit.unwrap_or(0).saturating_sub(in_flight);
                egress.drain = flow.drain;
            }
            Direction::Ingress(ingress) => {
                // A sender that skips ahead spends the credit of what it skips.
                if let Some(count) = flow.delivery_count {
                    let skipped = count.wrapping_sub(ingress.delivery_count);
                    if skipped <= ingress.credit {
                        ingress.delivery_count = count;
                        ingress.credit -= skipped;
                    }
                }
            }
        }
        if flow.echo {
            self.send_flow(channel, Some(handle));
        }
        Ok(())
    }

    /// Says how session and link stand.
    pub(super) fn send_flow(&mut self, channel: u16, handle: Option<u32>) {
        let Some(session) = self.sessions.get(&channel) else { return };
        let mut flow = session.flow();
        if let Some((handle, link)) = handle.and_then(|handle| session.links.get_key_value(&handle)) {
            link.fill(*handle, &mut flow);
        }
        self.send(FrameKind::Amqp, channel, &Performative::Flow(flow));
    }
}

fn refusal_error(refusal: ReceiverRefusal, address: &str) -> AmqpError {
    match refusal {
        ReceiverRefusal::Stolen => {
            AmqpError::new("amqp:link:stolen", format!("A receiver with a higher epoch reads '{address}'."))
        }
        ReceiverRefusal::TooMany => {
            AmqpError::new("amqp:resource-limit-exceeded", format!("'{address}' has as many receivers as it may."))
        }
    }
}

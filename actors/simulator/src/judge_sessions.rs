//! What subscribers and Wills must have come to when everything has drained, told from the clients' side.

use std::collections::{BTreeMap, BTreeSet};

use contract::{ConnectionAddress, Instant};

use crate::client::{Client, Role};
use crate::inbox::Received;
use crate::judge::{judge_order, matches};
use crate::message::Sent;
use crate::will::Owed;

/// What the judge knows beside the clients.
pub(crate) struct Evidence<'a> {
    pub(crate) clients: &'a [Client],
    /// Messages that a partition refused.
    pub(crate) refused: &'a BTreeSet<Sent>,
    /// When the hub that takes everything stored each message first.
    pub(crate) stored_at: &'a BTreeMap<Sent, Instant>,
    /// When the session of a connection was at rest in all partitions.
    pub(crate) parked_at: &'a BTreeMap<ConnectionAddress, Instant>,
    /// The process stopped with messages under way: nothing is owed.
    pub(crate) is_cut_off: bool,
}

impl Evidence<'_> {
    /// Judges one subscriber that is subscribed by itself: what came is right, and what is owed came. `dropped_count` records
    /// were dropped for it at limits.
    pub(crate) fn judge_subscriber(&self, subscriber: &Client, dropped_count: u64) -> Result<(), String> {
        let Role::Subscriber { topic_filter, share_name: None, qos } = &subscriber.role else { return Ok(()) };
        self.judge_absence(subscriber)?;
        let Some(since) = subscriber.inbox.subscribed_since else { return Ok(()) };
        let mut lost_count = 0;
        for publisher in self.clients {
            // What was sent before may come as a second copy, behind what followed the first one.
            let is_later = |sent: &Sent| publisher.outbox.first_sent.get(sent).is_some_and(|(at, _)| *at > since);
            // One that was too large for a connection, was dropped at a limit, or went lost at QoS 0 with a connection, may come as a
            // second copy later.
            let is_too_large = |sent: &Sent| subscriber.inbox.had_small_packets && sent.is_for_no_hub();
            let may_be_lost = dropped_count > 0 || *qos == 0;
            let is_second = |sent: &Sent| may_be_lost && publisher.outbox.sent_again.contains(sent);
            let is_judged = |received: &&Received| {
                let sent = &received.sent;
                is_later(sent) && !is_too_large(sent) && !is_second(sent)
            };
            let came = subscriber.inbox.received.iter().filter(is_judged);
            let came = without_resends(&subscriber.identifier, came)?;
            judge_order(&subscriber.identifier, &came, publisher, self.refused)?;
            let there: BTreeSet<&Sent> = subscriber.inbox.received.iter().map(|received| &received.sent).collect();
            let wanted = publisher.outbox.acknowledged.iter().filter(|sent| is_later(sent));
            let mut lost = wanted.filter(|sent| matches(topic_filter, &sent.topic) && !there.contains(sent));
            let is_owed = |sent: &&Sent| *qos > 0 && publisher.outbox.qos_of(&sent.topic) > 0 && !is_too_large(sent);
            let first_lost = lost.find(is_owed);
            lost_count += u64::from(first_lost.is_some()) + lost.filter(is_owed).count() as u64;
            if let Some(lost) = first_lost.filter(|_| !self.is_cut_off && lost_count > dropped_count) {
                return Err(format!(
                    "{}: {lost:?} of {} did not come, {dropped_count} were dropped",
                    subscriber.identifier, publisher.identifier
                ));
            }
        }
        Ok(())
    }

    /// Judges the members of one Shared Subscription together: each message goes to one of them.
    pub(crate) fn judge_group(&self, members: &[&Client], dropped_count: u64) -> Result<(), String> {
        let Some(Role::Subscriber { topic_filter, qos, .. }) = members.first().map(|member| &member.role) else {
            return Ok(());
        };
        let has_lost_a_session = members.iter().any(|member| member.inbox.has_lost_a_session);
        let may_count_twice = members.iter().any(|member| member.inbox.may_count_twice);
        let had_small_packets = members.iter().any(|member| member.inbox.has_ever_had_small_packets);
        let since = members.iter().filter_map(|member| member.inbox.subscribed_since).min();
        let mut lost_count = 0;
        for member in members {
            self.judge_absence(member)?;
        }
        for publisher in self.clients {
            for sent in &publisher.outbox.acknowledged {
                let level = publisher.outbox.qos_of(&sent.topic).min(*qos);
                if level == 0 || !matches(topic_filter, &sent.topic) {
                    continue;
                }
                let times: u32 = members.iter().filter_map(|member| member.inbox.ever.get(sent)).sum();
                let is_sent_again = publisher.outbox.sent_again.contains(sent);
                if times > 1 && level == 2 && !is_sent_again && !may_count_twice {
                    return Err(format!("{sent:?} came to {times} members of a group"));
                }
                let is_later = Some(publisher.outbox.first_sent[sent].0) > since && since.is_some();
                let may_be_lost = (level == 2 && has_lost_a_session) || (had_small_packets && sent.is_for_no_hub());
                lost_count += u64::from(times == 0 && is_later && !may_be_lost);
                if lost_count > dropped_count && !self.is_cut_off {
                    return Err(format!("{sent:?} came to no member of a group, {dropped_count} were dropped"));
                }
            }
        }
        Ok(())
    }

    /// What is published at `QoS` 0 while a session is at rest does not come later.
    fn judge_absence(&self, subscriber: &Client) -> Result<(), String> {
        for received in subscriber.inbox.received.iter().filter(|received| received.qos == 0) {
            let (before, dialed) = subscriber.dialed.split_at(received.connection);
            let parked_at = before.iter().filter_map(|dialed| self.parked_at.get(&dialed.address)).max();
            let (Some(parked_at), true) = (parked_at, dialed[0].is_resumed) else { continue };
            let sent = &received.sent;
            let Some(stored_at) = self.stored_at.get(sent) else { continue };
            let publisher = self.clients.iter().find(|client| client.outbox.first_sent.contains_key(sent));
            let Some(publisher) = publisher.filter(|publisher| !publisher.outbox.sent_again.contains(sent)) else {
                continue;
            };
            if publisher.outbox.first_sent[sent].0 > *parked_at && *stored_at < dialed[0].at {
                let name = &subscriber.identifier;
                return Err(format!("{name}: {sent:?} of QoS 0 was published while it was away, and came"));
            }
        }
        Ok(())
    }

    /// Each Will that is owed came once, and no other did. `dropped_count` records were dropped at the memory's limit.
    pub(crate) fn judge_wills(&self, came: &BTreeMap<Sent, u64>, dropped_count: u64) -> Result<(), String> {
        let mut missing_count = 0;
        for client in self.clients {
            for will in &client.wills.all {
                let count = came.get(&will.message).copied().unwrap_or(0);
                let is_wrong = match will.owed {
                    Owed::Never => count > 0,
                    Owed::Once | Owed::Waits { .. } if count == 0 => {
                        missing_count += 1;
                        missing_count > dropped_count && !self.is_cut_off
                    }
                    Owed::Open | Owed::Perhaps | Owed::Once | Owed::Waits { .. } => count > 1,
                };
                if is_wrong {
                    return Err(format!(
                        "{}: {:?} came {count} times, {:?}",
                        client.identifier, will.message, will.owed
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What came, with what the server sent again left out: DUP, the same Packet Identifier, on a later connection.
fn without_resends<'a>(who: &str, came: impl Iterator<Item = &'a Received>) -> Result<Vec<&'a Sent>, String> {
    let mut first: BTreeMap<&Sent, &Received> = BTreeMap::new();
    let mut left = Vec::new();
    for received in came {
        if let Some(before) = first.get(&received.sent) {
            let is_same = received.packet_identifier == before.packet_identifier && received.qos == 1;
            if is_same && received.connection > before.connection && received.is_again {
                continue;
            }
            if received.is_again && is_same {
                return Err(format!("{who}: {received:?} came again on the same connection"));
            }
        }
        first.insert(&received.sent, received);
        left.push(&received.sent);
    }
    Ok(left)
}

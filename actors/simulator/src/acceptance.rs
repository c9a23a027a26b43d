//! Nothing is acknowledged before the partition's log has said that it is durable: watched from outside.

use std::collections::{BTreeMap, BTreeSet};

use broker_partition::Message as ToPartition;
use contract::{LogRequest, LogResponse, Offset, PartitionIndex, Publication, PublishToken, Publisher, QoS};
use mqtt_connection::Message as ToConnection;
use opcua_subscription::Message as ToOpcUa;
use wiring::Envelope;

use crate::message::Sent;

/// A publication, by where its bytes lie: records share them from the publisher to the log.
type Place = usize;

/// What was published and not yet accepted, and what the logs have said.
#[derive(Debug, Default)]
pub(crate) struct AcceptanceWatch {
    /// What each token stands for: publications of `QoS` 1 and 2, and where they went.
    waiting: BTreeMap<(Publisher, PublishToken), (PartitionIndex, Vec<Publication>)>,
    appended: BTreeMap<PartitionIndex, BTreeMap<Offset, Place>>,
    durable: BTreeSet<Place>,
    /// Messages of clients that a partition refused, though perhaps it took them later.
    pub(crate) refused: BTreeSet<Sent>,
}

fn place(publication: &Publication) -> Place {
    publication.as_bytes().as_ptr().addr()
}

impl AcceptanceWatch {
    /// An envelope that an actor sends.
    ///
    /// # Errors
    /// It acknowledges what no log has.
    pub(crate) fn pass(&mut self, envelope: &Envelope) -> Result<(), String> {
        match envelope {
            // A Will waits for no answer.
            Envelope::Partition(_, ToPartition::Publish { publisher: Publisher::Will(_), .. }) => Ok(()),
            Envelope::Partition(partition, ToPartition::Publish { publisher, token, publications, .. }) => {
                let at_least_once = publications.iter().filter(|made| made.qos() != QoS::AtMostOnce);
                let publications: Vec<Publication> = at_least_once.cloned().collect();
                for publication in &publications {
                    self.durable.remove(&place(publication));
                }
                self.waiting.insert((*publisher, *token), (*partition, publications));
                Ok(())
            }
            Envelope::OpcUa(source, ToOpcUa::Accepted { token }) => self.accept(Publisher::OpcUa(*source), *token),
            Envelope::Connection(connection, ToConnection::Accepted { token }) => {
                self.accept(Publisher::Connection(*connection), *token)
            }
            Envelope::Connection(connection, ToConnection::Refused { token, .. }) => {
                let refused = self.waiting.remove(&(Publisher::Connection(*connection), *token));
                self.refuse(refused);
                Ok(())
            }
            // Nobody is told of what still waits then, and some of it may be refused, or taken out.
            Envelope::Connection(connection, ToConnection::Suspended { partition }) => {
                let publisher = Publisher::Connection(*connection);
                let ends = (publisher, PublishToken(0))..=(publisher, PublishToken(u64::MAX));
                let of_partition = self.waiting.range(ends).filter(|(_, (owner, _))| owner == partition);
                for token in of_partition.map(|(token, _)| *token).collect::<Vec<_>>() {
                    let unanswered = self.waiting.remove(&token);
                    self.refuse(unanswered);
                }
                Ok(())
            }
            Envelope::OpcUa(..)
            | Envelope::Connection(..)
            | Envelope::Partition(..)
            | Envelope::Flow(..)
            | Envelope::Batcher(..)
            | Envelope::Host(_) => Ok(()),
        }
    }

    fn refuse(&mut self, publications: Option<(PartitionIndex, Vec<Publication>)>) {
        let refused = publications.into_iter().flat_map(|(_, publications)| publications);
        self.refused.extend(refused.filter_map(|publication| Sent::parse(publication.payload())));
    }

    fn accept(&mut self, publisher: Publisher, token: PublishToken) -> Result<(), String> {
        let Some((_, publications)) = self.waiting.remove(&(publisher, token)) else {
            return Err(format!("{publisher:?} hears of {token:?}, which it does not wait for"));
        };
        let is_durable = publications.iter().all(|publication| self.durable.contains(&place(publication)));
        is_durable.then_some(()).ok_or_else(|| format!("{token:?} of {publisher:?} is accepted, and in no log"))
    }

    /// The process is gone with all that it had under way.
    pub(crate) fn forget(&mut self) {
        *self = Self { refused: std::mem::take(&mut self.refused), ..Self::default() };
    }

    /// A partition's log was asked for something.
    pub(crate) fn asked(&mut self, partition: PartitionIndex, request: &LogRequest) {
        if let LogRequest::Append(records) = request {
            let appended = self.appended.entry(partition).or_default();
            appended.extend(records.iter().map(|record| (record.offset, place(&record.publication))));
        }
    }

    /// A partition hears its log's answer.
    pub(crate) fn answered(&mut self, partition: PartitionIndex, response: &LogResponse) {
        if let LogResponse::Durable { up_to } = response {
            let appended = self.appended.entry(partition).or_default();
            let later = appended.split_off(up_to);
            self.durable.extend(std::mem::replace(appended, later).into_values());
        }
    }
}

//! Nothing is acknowledged before the partition's log has said that it is durable: watched from outside.

use std::collections::{BTreeMap, BTreeSet};

use broker_partition::Message as ToPartition;
use contract::{LogRequest, LogResponse, Offset, PartitionIndex, Publication, PublishToken, Publisher, QoS};
use mqtt_connection::Message as ToConnection;
use opcua_subscription::Message as ToOpcUa;
use wiring::Envelope;

use crate::client::Sent;

/// A publication, by where its bytes lie: records share them from the publisher to the log.
type Place = usize;

/// What was published and not yet accepted, and what the logs have said.
#[derive(Debug, Default)]
pub(crate) struct AcceptanceWatch {
    /// What each token stands for: publications of `QoS` 1.
    waiting: BTreeMap<(Publisher, PublishToken), Vec<Publication>>,
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
            Envelope::Partition(_, ToPartition::Publish { publisher, token, publications, .. }) => {
                let at_least_once = publications.iter().filter(|made| made.qos() != QoS::AtMostOnce);
                let publications: Vec<Publication> = at_least_once.cloned().collect();
                for publication in &publications {
                    self.durable.remove(&place(publication));
                }
                self.waiting.insert((*publisher, *token), publications);
                Ok(())
            }
            Envelope::OpcUa(source, ToOpcUa::Accepted { token }) => self.accept(Publisher::OpcUa(*source), *token),
            Envelope::Connection(connection, ToConnection::Accepted { token }) => {
                self.accept(Publisher::Connection(*connection), *token)
            }
            Envelope::Connection(connection, ToConnection::Refused { token, .. }) => {
                let refused = self.waiting.remove(&(Publisher::Connection(*connection), *token)).unwrap_or_default();
                self.refused.extend(refused.iter().filter_map(|publication| Sent::parse(publication.payload())));
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

    fn accept(&mut self, publisher: Publisher, token: PublishToken) -> Result<(), String> {
        let Some(publications) = self.waiting.remove(&(publisher, token)) else {
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

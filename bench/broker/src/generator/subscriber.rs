//! One subscribing client: acknowledges what it gets, and keeps the account of it.

use super::account::{Faults, Stream};
use super::packet::{QoS, puback};
use super::publisher::Publisher;
use super::stamp::Stamp;

/// A subscriber of publishers with consecutive numbers.
#[derive(Debug)]
pub(crate) struct Subscriber {
    first_publisher: u32,
    streams: Vec<Stream>,
    foreign_count: u64,
}

/// What one delivery did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// By how many messages its stream went on.
    pub(crate) progress: u64,
    /// The time of its stamp.
    pub(crate) time_ns: u64,
}

impl Subscriber {
    /// Makes one for `(first publisher, how many)`.
    pub(crate) fn new((first_publisher, count): (u32, u32)) -> Self {
        Self { first_publisher, streams: (0..count).map(|_| Stream::default()).collect(), foreign_count: 0 }
    }

    /// Takes one message; PUBACK is appended to `output`. `None`: it is of no publisher of ours, and counted.
    #[inline]
    pub(crate) fn take(
        &mut self,
        packet_identifier: Option<u16>,
        payload: &[u8],
        output: &mut Vec<u8>,
    ) -> Option<Taken> {
        if let Some(packet_identifier) = packet_identifier {
            output.extend_from_slice(&puback(packet_identifier));
        }
        let stamp = Stamp::read(payload);
        let stream = stamp.and_then(|stamp| {
            let index = stamp.publisher.checked_sub(self.first_publisher)?;
            self.streams.get_mut(index as usize)
        });
        if let (Some(Stamp { sequence, time_ns, .. }), Some(stream)) = (stamp, stream) {
            return Some(Taken { progress: stream.take(sequence), time_ns });
        }
        self.foreign_count += 1;
        None
    }

    /// Messages that arrived or were overtaken, of all publishers.
    pub(crate) fn progress(&self) -> u64 {
        self.streams.iter().map(Stream::next).sum()
    }

    /// Messages of no publisher of ours.
    pub(crate) fn foreign_count(&self) -> u64 {
        self.foreign_count
    }

    /// What went wrong, held against what all `publishers` published.
    pub(crate) fn faults(&self, publishers: &[Publisher], qos: QoS) -> Faults {
        let ours = publishers.iter().skip(self.first_publisher as usize);
        self.streams.iter().zip(ours).fold(Faults::default(), |faults, (stream, publisher)| {
            let is_acknowledged = |sequence| publisher.is_acknowledged(sequence);
            let acknowledged: Option<&dyn Fn(u64) -> bool> = match qos {
                QoS::AtMostOnce => None,
                QoS::AtLeastOnce => Some(&is_acknowledged),
            };
            faults.plus(stream.faults(publisher.published(), acknowledged))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(publisher: u32, sequence: u64) -> [u8; 20] {
        let mut payload = [0; 20];
        Stamp { publisher, sequence, time_ns: 5 }.write(&mut payload);
        payload
    }

    #[test]
    fn a_delivery_is_counted_and_acknowledged() {
        let mut subscriber = Subscriber::new((3, 2));
        let mut output = Vec::new();
        assert_eq!(subscriber.take(Some(258), &payload(4, 0), &mut output), Some(Taken { progress: 1, time_ns: 5 }));
        assert_eq!(output, [0x40, 2, 1, 2]);
        assert_eq!(subscriber.take(None, &payload(3, 0), &mut output), Some(Taken { progress: 1, time_ns: 5 }));
        assert_eq!((output.len(), subscriber.progress()), (4, 2));
    }

    #[test]
    fn a_delivery_of_somebody_else_is_told_apart() {
        let mut subscriber = Subscriber::new((3, 2));
        for payload in [&payload(2, 0)[..], &payload(5, 0), b"short"] {
            assert_eq!(subscriber.take(None, payload, &mut Vec::new()), None);
        }
        assert_eq!((subscriber.foreign_count(), subscriber.progress()), (3, 0));
    }
}

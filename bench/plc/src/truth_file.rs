//! Writes a truth file.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use crate::front::{SeenAt, Sightings};
use crate::names::Names;
use crate::server::PlantServer;
use crate::sniffer::Seen;
use crate::tags::RecordedChange;
use crate::truth::{OPCUA_EPOCH_OFFSET_100NS, TruthLine};

/// What one server's tags did, copied at one moment.
struct ServerRecord {
    first_index: u32,
    newest: Vec<(u32, u32)>,
    changes: Vec<RecordedChange>,
    forgotten_count: u64,
}

/// Writes what `servers` made and what their fronts saw. Each server stands still only while its record is copied.
///
/// # Errors
/// If `out` cannot be written to.
pub(crate) fn write(
    out: &mut impl Write,
    written_100ns: i64,
    names: &Names,
    servers: &[PlantServer],
    sightings: &[Arc<Mutex<Sightings>>],
) -> anyhow::Result<()> {
    let records: Vec<ServerRecord> = servers
        .iter()
        .map(|server| {
            server.with_tags(|tags| ServerRecord {
                first_index: tags.first_index(),
                newest: tags.newest(),
                changes: tags.record().to_vec(),
                forgotten_count: tags.record().forgotten_count(),
            })
        })
        .collect();
    let seen: Vec<(Vec<SeenAt>, u64)> = sightings.iter().map(|seen| copy_sightings(seen)).collect();
    write_line(
        out,
        &TruthLine::Plant {
            tags: names.tag_count(),
            written_100ns,
            changes_forgotten: records.iter().map(|record| record.forgotten_count).sum(),
            messages_forgotten: seen.iter().map(|(_, forgotten_count)| forgotten_count).sum(),
            observed: !sightings.is_empty(),
        },
    )?;
    for (server, record) in (0..).zip(records) {
        write_tags(out, names, server, &record)?;
    }
    for (server, (seen, _)) in (0..).zip(seen) {
        for sighting in seen {
            write_line(out, &line_of(server, sighting))?;
        }
    }
    Ok(())
}

/// Publish responses, then acknowledgements, and how many of both were forgotten.
fn copy_sightings(sightings: &Mutex<Sightings>) -> (Vec<SeenAt>, u64) {
    let sightings = sightings.lock().unwrap_or_else(PoisonError::into_inner);
    let Sightings { publishes, acknowledgements, .. } = &*sightings;
    let seen = [publishes.to_vec(), acknowledgements.to_vec()].concat();
    (seen, publishes.forgotten_count() + acknowledgements.forgotten_count())
}

fn write_tags(out: &mut impl Write, names: &Names, server: u32, record: &ServerRecord) -> anyhow::Result<()> {
    let mut changes: Vec<Vec<(u32, i64)>> = vec![Vec::new(); record.newest.len()];
    for change in &record.changes {
        let local = usize::try_from(change.local).context("an index of a tag fits")?;
        changes[local].push((change.sequence, change.source_100ns));
    }
    for ((index, (last, subscription)), changes) in (record.first_index..).zip(&record.newest).zip(changes) {
        let line = TruthLine::Tag {
            tag: names.identifier(index),
            index,
            first: 0,
            last: *last,
            server,
            subscription: *subscription,
            changes,
        };
        write_line(out, &line)?;
    }
    Ok(())
}

fn line_of(server: u32, SeenAt { seen, at_100ns }: SeenAt) -> TruthLine {
    match seen {
        Seen::Publish { subscription, sequence, publish_ticks, values } => TruthLine::Publish {
            server,
            subscription,
            sequence,
            publish_100ns: publish_ticks - OPCUA_EPOCH_OFFSET_100NS,
            seen_100ns: at_100ns,
            values,
        },
        Seen::Acknowledgement { subscription, sequence } => {
            TruthLine::Acknowledgement { server, subscription, sequence, seen_100ns: at_100ns }
        }
    }
}

fn write_line(out: &mut impl Write, line: &TruthLine) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, line).context("cannot write the truth file")?;
    out.write_all(b"\n").context("cannot write the truth file")
}

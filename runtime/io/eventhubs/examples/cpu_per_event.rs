//! What the lane costs: processor time per event against a local endpoint, and while nothing is to send.
//!
//! `cargo run --release -p eventhubs-lane --example cpu_per_event -- [EVENTS_PER_SECOND] [PAYLOAD_BYTES] [SECONDS]`
//!
//! 125 events/s of 4,600 bytes for 20 s where nothing is said; one batch each 100 ms. The endpoint runs in this
//! process, on a thread of its own, which is not counted: the figures are those of the lane's thread.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use azure_core::credentials::Secret;
use bench_eventhubs::options::{HubOptions, MESSAGE_BYTES_MAX, Options};
use bench_eventhubs::server::Endpoint;
use bench_eventhubs::token::AccessKey;
use contract::{
    BatchId, Epoch, Event, EventId, FlowIndex, HubPartitionIndex, MESSAGE_EXPIRY_NEVER, Offset, PartitionIndex,
    PublicationArena, PublicationDraft, QoS, UtcTime,
};
use egress_batcher::{Message, Outcome, Send};
use eventhubs_lane::{Access, LaneAnswer, LaneCommand, Request, Route, RouteConfig, run_lane};
use executor::{BoxError, Decision, Lane, LaneSpec, Supervisor};
use mailbox::{Doorbell, Receiver};

const BATCH_PERIOD: Duration = Duration::from_millis(100);
const HUB_PARTITIONS_COUNT: u16 = 4;
const IDLE: Duration = Duration::from_secs(10);

fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut next = |otherwise| arguments.next().unwrap_or(Ok(otherwise));
    let (rate, payload_bytes, seconds) = (next(125)?, usize::try_from(next(4_600)?)?, next(20)?);

    let config = RouteConfig::new("plant", Access::ConnectionString(Secret::new(CONNECTION_STRING)))?
        .with_custom_endpoint(&format!("amqp://{}", start_endpoint()?))?;
    let supervisor = Supervisor::new(Duration::from_secs(1), |_| Decision::EndProcess);
    let spec = LaneSpec::new("eventhubs", None);
    let (commands, lane_commands) = mailbox::channel(64, &spec.doorbell);
    let doorbell = Doorbell::new();
    let (lane_answers, mut answers) = mailbox::channel(64, &doorbell);
    let routes = vec![Route { config, answers: lane_answers }];
    let lane = Lane::start(spec, &supervisor, move |context| Box::pin(run_lane(context, routes, lane_commands)))?;
    let ask = |request| commands.try_send(LaneCommand { route: 0, request }).map_err(|error| error.to_string());
    let thread = std::fs::read_dir("/proc/self/task")?
        .filter_map(Result::ok)
        .map(|task| task.path())
        .find(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "eventhubs"))
        .ok_or("the lane's thread is gone")?;

    ask(Request::Open)?;
    println!("{:?}", answer(&doorbell, &mut answers));
    let events = (0..rate * seconds).map(|offset| event(offset, payload_bytes)).collect::<Vec<_>>();
    let batch_events = usize::try_from(rate)? / 10 + 1;
    // The first batch of each hub partition attaches its link.
    for (number, hub_partition) in (0..).zip(0..HUB_PARTITIONS_COUNT) {
        ask(send(number, hub_partition, &events[..1]))?;
        answer(&doorbell, &mut answers);
    }
    let (before, start) = (cpu(&thread)?, Instant::now());
    let mut latency_sum = Duration::ZERO;
    let mut batches_count = 0_u32;
    for (number, batch) in (100..).zip(events.chunks(batch_events)) {
        std::thread::sleep((start + BATCH_PERIOD * batches_count).saturating_duration_since(Instant::now()));
        let sent_at = Instant::now();
        ask(send(number, u16::try_from(number % u64::from(HUB_PARTITIONS_COUNT))?, batch))?;
        let settled = answer(&doorbell, &mut answers);
        assert!(matches!(settled, Message::Settled { outcome: Outcome::Accepted, .. }), "{settled:?}");
        latency_sum += sent_at.elapsed();
        batches_count += 1;
    }
    let (used, took) = (cpu(&thread)?.since(before), start.elapsed());
    let events_count = u32::try_from(events.len())?;
    println!("{events_count} events of {payload_bytes} bytes in {batches_count} batches in {took:.2?}");
    println!("processor time: {:.2?} an event, {:.2?} a batch", used.time / events_count, used.time / batches_count);
    println!("share of a core: {:.3} %", 100.0 * used.time.as_secs_f64() / took.as_secs_f64());
    println!("a batch settles after {:.2?}, with {:.1} wake-ups", latency_sum / batches_count, {
        f64::from(used.slices) / f64::from(batches_count)
    });

    let before = cpu(&thread)?;
    std::thread::sleep(IDLE);
    let used = cpu(&thread)?.since(before);
    println!("idle for {IDLE:?}: {:.2?} of processor time, {} wake-ups", used.time, used.slices);
    ask(Request::Close)?;
    lane.join()?;
    Ok(())
}

const CONNECTION_STRING: &str =
    "Endpoint=sb://plant.servicebus.windows.net/;SharedAccessKeyName=sender;SharedAccessKey=c2VjcmV0";

/// What a thread has used: processor time, and how often it was given the processor.
#[derive(Clone, Copy)]
struct Cpu {
    time: Duration,
    slices: u32,
}

impl Cpu {
    fn since(self, before: Self) -> Self {
        Self { time: self.time.saturating_sub(before.time), slices: self.slices - before.slices }
    }
}

fn cpu(thread: &std::path::Path) -> Result<Cpu, BoxError> {
    let text = std::fs::read_to_string(thread.join("schedstat"))?;
    let mut fields = text.split_whitespace();
    let time = Duration::from_nanos(fields.next().ok_or("no time")?.parse()?);
    Ok(Cpu { time, slices: fields.nth(1).ok_or("no slices")?.parse()? })
}

fn answer(doorbell: &Doorbell, answers: &mut Receiver<LaneAnswer>) -> Message {
    loop {
        if let Some(answer) = answers.receive() {
            return answer.message;
        }
        futures_util::FutureExt::now_or_never(doorbell.wait());
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn send(number: u64, hub_partition: u16, events: &[Event]) -> Request {
    let hub_partition = HubPartitionIndex(hub_partition);
    Request::Send(Send { batch_id: BatchId(number), hub_partition, events: Arc::from(events), attempt: 0 })
}

fn event(offset: u64, payload_bytes: usize) -> Event {
    let draft = PublicationDraft {
        topic_name: "plant/hall/line/machine",
        properties: b"\x03\x00\x10application/json\x26\x00\x0bspecversion\x00\x031.0\x26\x00\x02id\x00\x017",
        qos: QoS::AtLeastOnce,
        retain: false,
        message_expiry_s: MESSAGE_EXPIRY_NEVER,
        received_at: contract::Instant::ZERO,
        received_utc: UtcTime::default(),
    };
    let mut arena = PublicationArena::new(64);
    let mut builder = arena.begin(&draft);
    builder.put(&vec![b'x'; payload_bytes]);
    let id = EventId { flow: FlowIndex(0), partition: PartitionIndex(0), epoch: Epoch(1), offset: Offset(offset) };
    Event { id, key: "plant/hall/line/machine".into(), publication: builder.finish(50) }
}

fn start_endpoint() -> Result<std::net::SocketAddr, BoxError> {
    let options = Options {
        listen: "127.0.0.1:0".parse()?,
        tls: None,
        control: "127.0.0.1:0".parse()?,
        hubs: vec![HubOptions { name: "plant".to_owned(), partitions_count: HUB_PARTITIONS_COUNT }],
        access_key: AccessKey { name: "sender".to_owned(), key: "c2VjcmV0".to_owned() },
        check_tokens: true,
        store_bytes_max: 64 << 20,
        file: None,
        print: false,
        idle_timeout: Duration::from_mins(4),
        ack_latency: Duration::ZERO,
        throughput_units: None,
        message_bytes_max: MESSAGE_BYTES_MAX,
        connections_count_max: 64,
    };
    let (ready, readies) = mpsc::channel();
    std::thread::spawn(move || -> Result<(), BoxError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let endpoint = Endpoint::start(options).await?;
            ready.send(endpoint.ready().amqp)?;
            endpoint.stop_asked().await;
            Ok(())
        })
    });
    Ok(readies.recv()?)
}

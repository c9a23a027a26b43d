// Produces to and consumes from an Event Hubs endpoint with the official JavaScript SDK; exits non-zero on a
// difference.
//
// Environment: MILLICORE_EVENTHUBS_HOST (host:port), _KEY, _HUB, _EVENTS (how many events each way of sending gets),
// and MILLICORE_NODE_MODULES, a node_modules folder made from package.json.

import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.env.MILLICORE_NODE_MODULES ?? "node_modules", "x.js"));
const { EventHubProducerClient, EventHubConsumerClient, earliestEventPosition } = require("@azure/event-hubs");

const hub = process.env.MILLICORE_EVENTHUBS_HUB;
const count = Number(process.env.MILLICORE_EVENTHUBS_EVENTS ?? "500");
const connection =
  `Endpoint=sb://${process.env.MILLICORE_EVENTHUBS_HOST};SharedAccessKeyName=RootManageSharedAccessKey;` +
  `SharedAccessKey=${process.env.MILLICORE_EVENTHUBS_KEY};UseDevelopmentEmulator=true`;
const DEADLINE_MS = 60_000;

const event = (way, index) => ({
  body: `${way}-${index}-${"x".repeat(index % 300)}`,
  messageId: `${way}:${index}`,
  properties: { way, index },
});

// Sends by key, to a partition, and one event larger than a frame. Returns how many of each way.
async function produce() {
  const producer = new EventHubProducerClient(connection, hub);
  const { partitionIds } = await producer.getEventHubProperties();
  for (const [way, options] of [["key", { partitionKey: "asset000" }], ["partition", { partitionId: "1" }]]) {
    const batch = await producer.createBatch(options);
    for (let index = 0; index < count; index += 1) {
      if (!batch.tryAdd(event(way, index))) throw new Error("the batch is full");
    }
    await producer.sendBatch(batch);
  }
  const large = { body: Buffer.alloc(600_000, "L"), properties: { way: "large", index: 0 } };
  await producer.sendBatch([large], { partitionId: "0" });
  const kept = await Promise.all(partitionIds.map((id) => producer.getPartitionProperties(id)));
  const total = kept.reduce((sum, partition) => sum + partition.lastEnqueuedSequenceNumber + 1, 0);
  if (total !== 2 * count + 1) throw new Error(`the hub holds ${total} events`);
  await producer.close();
  return { key: count, partition: count, large: 1 };
}

// Checks one event; returns what is wrong with it.
function check(received, way, index) {
  if (way === "large") {
    return Buffer.from(received.body).equals(Buffer.alloc(600_000, "L")) ? [] : ["the large event differs"];
  }
  const wanted = event(way, index);
  const problems = [];
  if (received.body !== wanted.body || received.messageId !== wanted.messageId) {
    problems.push(`${way} ${index} differs: ${received.messageId} ${received.body}`);
  }
  if (way === "key" && received.partitionKey !== "asset000") {
    problems.push(`the partition key is ${received.partitionKey}`);
  }
  return problems;
}

// Reads every partition from its start until all has come.
async function consume(expected) {
  const seen = { key: 0, partition: 0, large: 0 };
  const sequence = {};
  const problems = [];
  const consumer = new EventHubConsumerClient("$Default", connection, hub);
  await new Promise((resolve) => {
    const timer = setTimeout(() => {
      problems.push(`only ${JSON.stringify(seen)} of ${JSON.stringify(expected)} came`);
      resolve();
    }, DEADLINE_MS);
    const finish = () => {
      clearTimeout(timer);
      resolve();
    };
    consumer.subscribe(
      {
        processEvents: async (events, context) => {
          for (const received of events) {
            const due = (sequence[context.partitionId] ?? -1) + 1;
            if (received.sequenceNumber !== due) {
              problems.push(`partition ${context.partitionId}: ${received.sequenceNumber} where ${due} was due`);
            }
            sequence[context.partitionId] = received.sequenceNumber;
            const { way, index } = received.properties;
            if (index !== seen[way]) problems.push(`${way}: ${index} where ${seen[way]} was due`);
            seen[way] += 1;
            problems.push(...check(received, way, index));
          }
          if (problems.length > 0 || Object.keys(expected).every((way) => seen[way] === expected[way])) finish();
        },
        processError: async (error) => {
          problems.push(`an error: ${error}`);
          finish();
        },
      },
      { startPosition: earliestEventPosition, maxBatchSize: 100, maxWaitTimeInSeconds: 1 },
    );
  });
  await consumer.close();
  return problems;
}

const problems = await consume(await produce());
problems.slice(0, 20).forEach((problem) => console.error(problem));
process.exit(problems.length > 0 ? 1 : 0);

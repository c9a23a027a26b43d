// Reads every event of a hub with the official JavaScript SDK, and prints each as one line of JSON: partition, key, id,
// properties, body. Prints `ready` first. Ends on SIGTERM, or when its standard input ends.

import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";

const require = createRequire(join(process.env.MILLICORE_NODE_MODULES ?? ".", "x.cjs"));
const { EventHubConsumerClient, earliestEventPosition } = require("@azure/event-hubs");

const { values } = parseArgs({
  options: { endpoint: { type: "string" }, key: { type: "string" }, hub: { type: "string" } },
});
const connectionString =
  `Endpoint=sb://${values.endpoint};SharedAccessKeyName=RootManageSharedAccessKey;` +
  `SharedAccessKey=${values.key};UseDevelopmentEmulator=true`;
const client = new EventHubConsumerClient("$Default", connectionString, values.hub);
client.subscribe(
  {
    processEvents: async (events, context) => {
      for (const event of events) {
        const body = event.getRawAmqpMessage().body;
        console.log(
          JSON.stringify({
            partition: context.partitionId,
            sequence: event.sequenceNumber,
            key: event.partitionKey,
            id: event.messageId,
            properties: event.properties,
            body: Buffer.isBuffer(event.body) ? event.body.toString() : typeof event.body === "string" ? event.body : JSON.stringify(event.body ?? body),
          }),
        );
      }
    },
    processError: async (error) => console.error(error),
  },
  { startPosition: earliestEventPosition },
);
console.log("ready");
const end = async () => {
  await client.close();
  process.exit(0);
};
process.on("SIGTERM", end);
process.stdin.on("end", end).resume();

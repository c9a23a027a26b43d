// Publishes to itself with MQTT.js at QoS 0, 1 and 2, and ends with a line that says so.

import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";

const require = createRequire(join(process.env.MILLICORE_NODE_MODULES ?? ".", "x.cjs"));
const mqtt = require("mqtt");
const { values } = parseArgs({ options: { url: { type: "string" }, version: { type: "string", default: "5" } } });

const wanted = [0, 1, 2].flatMap((qos) => [1, 2000].map((size) => [qos, `message ${qos} `.repeat(size)]));
const client = await mqtt.connectAsync(values.url, { protocolVersion: Number(values.version), reconnectPeriod: 0 });
const seen = [];
const complete = new Promise((resolve) => {
  client.on("message", (_topic, payload, packet) => {
    seen.push([packet.qos, payload.toString()]);
    if (seen.length === wanted.length) resolve();
  });
});
await client.subscribeAsync("echo/+", { qos: 2 });
await Promise.all(wanted.map(([qos, payload]) => client.publishAsync(`echo/${qos}`, payload, { qos })));
await complete;
const same = JSON.stringify([...seen].sort()) === JSON.stringify([...wanted].sort());
await client.endAsync();
if (!same) throw new Error(`${seen.length} of ${wanted.length} came back, and not as they were`);
console.log("three levels, both ways");

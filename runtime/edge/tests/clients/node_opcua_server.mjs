// An OPC UA server that nobody here wrote (node-opcua), whose tags count: the source of end-to-end tests.
//
// Each tag `ns=2;s=assetNNN.tagNN` is an Int32 that grows by one each period, from --start on. Prints `ready` when clients can
// connect. Ends on SIGTERM.

import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";

const require = createRequire(join(process.env.MILLICORE_NODE_MODULES ?? ".", "x.cjs"));
const { OPCUAServer, Variant, DataType, MessageSecurityMode, SecurityPolicy, OPCUACertificateManager } = require("node-opcua");

const { values } = parseArgs({
  options: {
    port: { type: "string" },
    assets: { type: "string", default: "2" },
    tags: { type: "string", default: "5" },
    "period-ms": { type: "string", default: "500" },
    start: { type: "string", default: "1" },
    pki: { type: "string" },
  },
});

const server = new OPCUAServer({
  port: Number(values.port),
  hostname: "127.0.0.1",
  resourcePath: "/",
  securityModes: [MessageSecurityMode.None],
  securityPolicies: [SecurityPolicy.None],
  allowAnonymous: true,
  serverCertificateManager: new OPCUACertificateManager({ rootFolder: values.pki, automaticallyAcceptUnknownCertificate: true }),
});
await server.initialize();
const space = server.engine.addressSpace;
const namespace = space.registerNamespace("urn:millicore:test");
if (namespace.index !== 2) throw new Error(`namespace ${namespace.index}`);
let number = Number(values.start);
const variables = [];
for (let asset = 0; asset < Number(values.assets); asset += 1) {
  const name = `asset${String(asset).padStart(3, "0")}`;
  const folder = namespace.addObject({ organizedBy: space.rootFolder.objects, browseName: name });
  for (let tag = 0; tag < Number(values.tags); tag += 1) {
    const tagName = `${name}.tag${String(tag).padStart(2, "0")}`;
    variables.push(
      namespace.addVariable({
        componentOf: folder,
        nodeId: `s=${tagName}`,
        browseName: tagName,
        dataType: "Int32",
        value: new Variant({ dataType: DataType.Int32, value: number }),
      }),
    );
  }
}
await server.start();
console.log("ready");
const timer = setInterval(() => {
  number += 1;
  for (const variable of variables) {
    variable.setValueFromSource(new Variant({ dataType: DataType.Int32, value: number }));
  }
}, Number(values["period-ms"]));
process.on("SIGTERM", async () => {
  clearInterval(timer);
  await server.shutdown(0);
  process.exit(0);
});

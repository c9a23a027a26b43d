"""An OPC UA server that nobody here wrote (asyncua), whose tags count: the source of end-to-end tests.

Each tag `ns=2;s=assetNNN.tagNN` is an Int64 that grows by one each period, from --start on. Prints `ready` when clients can
connect. Ends on SIGTERM.
"""

import argparse
import asyncio
import signal

from asyncua import Server, ua


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--assets", type=int, default=2)
    parser.add_argument("--tags", type=int, default=5)
    parser.add_argument("--period-ms", type=int, default=500)
    parser.add_argument("--start", type=int, default=1)
    arguments = parser.parse_args()

    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{arguments.port}/")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    namespace = await server.register_namespace("urn:millicore:test")
    assert namespace == 2, namespace
    nodes = []
    for asset in range(arguments.assets):
        folder = await server.nodes.objects.add_object(namespace, f"asset{asset:03}")
        for tag in range(arguments.tags):
            name = f"asset{asset:03}.tag{tag:02}"
            node_id = ua.NodeId(name, namespace)
            nodes.append(await folder.add_variable(node_id, name, arguments.start, ua.VariantType.Int64))

    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with server:
        print("ready", flush=True)
        number = arguments.start
        while not stopped.is_set():
            try:
                await asyncio.wait_for(stopped.wait(), arguments.period_ms / 1000)
            except asyncio.TimeoutError:
                number += 1
                for node in nodes:
                    await server.write_attribute_value(node.nodeid, ua.DataValue(ua.Variant(number, ua.VariantType.Int64)))


asyncio.run(main())

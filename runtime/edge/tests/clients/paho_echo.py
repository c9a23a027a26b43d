"""Publishes to itself with Paho at QoS 0, 1 and 2, and ends with a line that says so."""

import argparse
import sys

import paho.mqtt.client as mqtt

PATIENCE_S = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--transport", choices=["tcp", "websockets"], default="tcp")
    parser.add_argument("--version", type=int, choices=[3, 5], default=5)
    arguments = parser.parse_args()
    protocol = mqtt.MQTTv5 if arguments.version == 5 else mqtt.MQTTv311
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=protocol, transport=arguments.transport)
    wanted = [(qos, f"message {qos} ".encode() * size) for qos in (0, 1, 2) for size in (1, 2_000)]
    seen = []

    def on_connect(client, userdata, flags, reason_code, properties) -> None:
        if reason_code != 0:
            sys.exit(f"refused: {reason_code}")
        client.subscribe("echo/+", qos=2)

    def on_subscribe(client, userdata, mid, reason_codes, properties) -> None:
        for qos, payload in wanted:
            client.publish(f"echo/{qos}", payload, qos=qos)

    def on_message(client, userdata, message) -> None:
        seen.append((message.qos, message.payload))
        if len(seen) == len(wanted):
            client.disconnect()

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.connect("127.0.0.1", arguments.port, keepalive=PATIENCE_S)
    client.loop_forever()
    if sorted(seen) != sorted(wanted):
        sys.exit(f"{len(seen)} of {len(wanted)} came back")
    print("three levels, both ways", flush=True)


main()

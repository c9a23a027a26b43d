"""Subscribes with Paho and prints each message as one line of JSON: topic, QoS, properties, body. Prints `ready` once
subscribed. Ends on SIGTERM, or after --count messages.
"""

import argparse
import json
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--version", type=int, choices=[3, 5], default=5)
    parser.add_argument("--count", type=int, default=0)
    arguments = parser.parse_args()
    protocol = mqtt.MQTTv5 if arguments.version == 5 else mqtt.MQTTv311
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=protocol)
    seen = 0

    def on_connect(client, userdata, flags, reason_code, properties) -> None:
        if reason_code != 0:
            sys.exit(f"refused: {reason_code}")
        options = {"options": SubscribeOptions(qos=1)} if arguments.version == 5 else {"qos": 1}
        client.subscribe(arguments.topic, **options)

    def on_subscribe(client, userdata, mid, reason_codes, properties) -> None:
        print("ready", flush=True)

    def on_message(client, userdata, message) -> None:
        nonlocal seen
        pairs = []
        if isinstance(message.properties, Properties):
            pairs = getattr(message.properties, "UserProperty", [])
        line = {
            "topic": message.topic,
            "qos": message.qos,
            "retain": message.retain,
            "properties": dict(pairs),
            "body": message.payload.decode(),
        }
        print(json.dumps(line), flush=True)
        seen += 1
        if arguments.count and seen >= arguments.count:
            client.disconnect()

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.connect("127.0.0.1", arguments.port, clean_start=True) if arguments.version == 5 else client.connect(
        "127.0.0.1", arguments.port
    )
    client.loop_forever()


main()

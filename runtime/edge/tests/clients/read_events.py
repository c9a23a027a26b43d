"""Reads every event of a hub with the official Python SDK, and prints each as one line of JSON: partition, key, id,
properties, body. Prints `ready` first. Ends on SIGTERM, or when its standard input ends.
"""

import argparse
import json
import signal
import sys
import threading

from azure.eventhub import EventHubConsumerClient, TransportType


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True, help="host:port of the local endpoint")
    parser.add_argument("--key", required=True)
    parser.add_argument("--hub", required=True)
    arguments = parser.parse_args()
    connection_string = (
        f"Endpoint=sb://{arguments.endpoint};SharedAccessKeyName=RootManageSharedAccessKey;"
        f"SharedAccessKey={arguments.key};UseDevelopmentEmulator=true"
    )
    client = EventHubConsumerClient.from_connection_string(
        connection_string, consumer_group="$Default", eventhub_name=arguments.hub, transport_type=TransportType.Amqp
    )

    def on_batch(context, events) -> None:
        for event in events:
            line = {
                "partition": context.partition_id,
                "sequence": event.sequence_number,
                "key": text(event.partition_key),
                "id": text(event.message_id),
                "content_type": text(event.content_type),
                "properties": {text(name): text(value) for name, value in (event.properties or {}).items()},
                "body": event.body_as_str(),
            }
            print(json.dumps(line), flush=True)

    def close(*_) -> None:
        client.close()

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=close).start())
    threading.Thread(target=lambda: (sys.stdin.read(), close()), daemon=True).start()
    print("ready", flush=True)
    client.receive_batch(on_event_batch=on_batch, starting_position="-1", max_wait_time=1)


main()

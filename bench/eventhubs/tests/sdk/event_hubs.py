"""Produces to and consumes from an Event Hubs endpoint with the official Python SDK; exits non-zero on a difference.

Environment: MILLICORE_EVENTHUBS_HOST (host:port), _KEY, _HUB, _EVENTS (how many events each way of sending gets).
"""

import os
import sys
import threading

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient

HOST = os.environ["MILLICORE_EVENTHUBS_HOST"]
HUB = os.environ["MILLICORE_EVENTHUBS_HUB"]
EVENTS = int(os.environ.get("MILLICORE_EVENTHUBS_EVENTS", "500"))
CONNECTION = (
    f"Endpoint=sb://{HOST};SharedAccessKeyName=RootManageSharedAccessKey;"
    f"SharedAccessKey={os.environ['MILLICORE_EVENTHUBS_KEY']};UseDevelopmentEmulator=true"
)
DEADLINE_S = 60


def event(way, index):
    data = EventData(f"{way}-{index}-" + "x" * (index % 300))
    data.message_id = f"{way}:{index}"
    data.properties = {"way": way, "index": index}
    return data


def produce():
    """Sends by key, to a partition, and one event larger than a frame. Returns how many of each way."""
    with EventHubProducerClient.from_connection_string(CONNECTION, eventhub_name=HUB) as producer:
        properties = producer.get_eventhub_properties()
        assert properties["eventhub_name"] == HUB, properties
        assert properties["partition_ids"] == [str(i) for i in range(len(properties["partition_ids"]))], properties
        for way, options in (("key", {"partition_key": "asset000"}), ("partition", {"partition_id": "1"})):
            batch = producer.create_batch(**options)
            for index in range(EVENTS):
                batch.add(event(way, index))
            producer.send_batch(batch)
        large = EventData(b"L" * 600_000)
        large.properties = {"way": "large", "index": 0}
        producer.send_event(large, partition_id="0")
        kept = [producer.get_partition_properties(i) for i in properties["partition_ids"]]
        assert sum(p["last_enqueued_sequence_number"] + 1 for p in kept) == 2 * EVENTS + 1, kept
    return {"key": EVENTS, "partition": EVENTS, "large": 1}


def consume(expected):
    """Reads every partition from its start until all has come."""
    seen, sequence = {way: 0 for way in expected}, {}
    problems = []
    done = threading.Event()
    consumer = EventHubConsumerClient.from_connection_string(CONNECTION, consumer_group="$Default", eventhub_name=HUB)

    def on_event_batch(context, events):
        for data in events:
            number = sequence.get(context.partition_id, -1) + 1
            sequence[context.partition_id] = data.sequence_number
            if data.sequence_number != number:
                problems.append(f"partition {context.partition_id}: {data.sequence_number} after {number - 1}")
            properties = {k.decode(): v for k, v in data.properties.items()}
            way = properties["way"].decode()
            if properties["index"] != seen[way]:
                problems.append(f"{way}: {properties['index']} where {seen[way]} was due")
            seen[way] += 1
            if way == "large":
                if data.body_as_str() != "L" * 600_000:
                    problems.append("the large event differs")
                continue
            wanted = event(way, properties["index"])
            if data.body_as_str() != wanted.body_as_str() or data.message_id != wanted.message_id:
                problems.append(f"{way} {properties['index']} differs: {data}")
            if way == "key" and data.partition_key != b"asset000":
                problems.append(f"the partition key is {data.partition_key}")
        if problems or seen == expected:
            done.set()

    receiving = {"on_event_batch": on_event_batch, "starting_position": "-1", "max_wait_time": 1}
    thread = threading.Thread(target=consumer.receive_batch, kwargs=receiving, daemon=True)
    thread.start()
    if not done.wait(DEADLINE_S):
        problems.append(f"only {seen} of {expected} came")
    consumer.close()
    thread.join(DEADLINE_S)
    return problems


def main():
    problems = consume(produce())
    for problem in problems[:20]:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Reads the platform's events with stock libraries and prints each as a line of JSON.

    python3 -m venv venv && venv/bin/pip install confluent-kafka fastavro
    source .local/environment
    venv/bin/python schemas/samples/subscribe.py payments.payment.v1 [more topics] [--to-end]

Starts at the first offset, because the topics keep everything. With --to-end it stops at what is there now, otherwise it goes on.
What a newcomer gets wrong: an event may arrive more than once. Per key, remember the highest `sequence` seen and skip the rest.
"""

import argparse
import functools
import io
import json
import os
import struct
import sys
import urllib.request

import fastavro
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

TIMEOUT_SECONDS = 20


@functools.cache
def schema(schema_id):
    """The schema that a record was written with. Ids never change their meaning, so each is asked for once."""
    url = f"{os.environ['SCHEMA_REGISTRY_URL']}/schemas/ids/{schema_id}"
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
        return fastavro.parse_schema(json.loads(json.load(answer)["schema"]))


def decode(framed):
    """Confluent framing: a zero byte, the schema's id in four bytes, the Avro body."""
    magic, schema_id = struct.unpack_from(">bI", framed)
    if magic != 0:
        raise ValueError(f"not in Confluent framing: begins with {magic}")
    return fastavro.schemaless_reader(io.BytesIO(framed[5:]), schema(schema_id), None)


def read(message):
    """A record as it is printed."""
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "key": message.key().decode(),
        "headers": {name: value.decode() for name, value in message.headers() or []},
        "event": decode(message.value()),
    }


def partitions(consumer, topics):
    """Every partition, from its first record on."""
    for topic in topics:
        found = consumer.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        for partition in found.partitions:
            yield TopicPartition(topic, partition, OFFSET_BEGINNING)


def unread(consumer, assignment):
    """The partitions that hold something, with the offset at which what is there now ends."""
    ends = {}
    for place in assignment:
        low, high = consumer.get_watermark_offsets(place, timeout=TIMEOUT_SECONDS)
        if low < high:
            ends[place.topic, place.partition] = high
    return ends


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("topics", nargs="+")
    arguments.add_argument("--to-end", action="store_true")
    chosen = arguments.parse_args()
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BROKERS"],
            # Partitions are assigned by hand, so the group stores nothing.
            "group.id": "sample-subscriber",
            "enable.auto.commit": False,
        }
    )
    assignment = list(partitions(consumer, chosen.topics))
    ends = unread(consumer, assignment)
    consumer.assign(assignment)
    while ends or not chosen.to_end:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        place = (message.topic(), message.partition())
        try:
            print(json.dumps(read(message), default=str), flush=True)
        # fastavro has no one error for bytes that are no record of the schema. The registry being away is another matter.
        except (ValueError, LookupError, EOFError, TypeError, OverflowError, struct.error) as error:
            where = f"{message.topic()}-{message.partition()}@{message.offset()}"
            print(f"passed over {where}, which is no event: {error!r}", file=sys.stderr)
        if message.offset() + 1 >= ends.get(place, float("inf")):
            del ends[place]
    consumer.close()


if __name__ == "__main__":
    main()

"""Decodes every golden file with fastavro, the library that Python subscribers use, and compares each field."""

import datetime
import json
import pathlib
import sys

import fastavro

GOLDEN = pathlib.Path(__file__).parent


def plain(value):
    """What Rust wrote as JSON: instants as microseconds, UUIDs as text."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, datetime.datetime):
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
        return (value - epoch) // datetime.timedelta(microseconds=1)
    return value if isinstance(value, (int, str, type(None))) else str(value)


def main():
    files = sorted(GOLDEN.glob("*.avro"))
    assert files, f"no golden files in {GOLDEN}"
    for path in files:
        expected = json.loads(path.with_suffix(".json").read_text())
        schema = fastavro.schema.load_schema(str(GOLDEN.parent / "events" / f"{expected['topic']}.avsc"))
        with path.open("rb") as body:
            decoded = plain(fastavro.schemaless_reader(body, schema))
            assert not body.read(), f"{path.name}: bytes left behind the record"
        assert decoded == expected["event"], f"{path.name}: {decoded} is not {expected['event']}"
    print(f"{len(files)} passed, 0 failed")


if __name__ == "__main__":
    sys.exit(main())

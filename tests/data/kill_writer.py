"""Kills shard writers at a system call, n-th by n-th, and checks what is left.

Run as a program by test_shards.py, as forking is safe only where no threads run:
`python kill_writer.py RECORDS FOLDER CALL...`, where a critic's
records are a block.
"""

import itertools
import os
import sys
from pathlib import Path

from rlaif_jax.data.manifest import read_manifest
from rlaif_jax.data.shards import ShardWriter, read_shard
from rlaif_jax.files import read_records
from rlaif_jax.records import Preference


def write(folder, blocks):
    with ShardWriter(folder) as writer:
        for block in blocks[len(writer.manifest.entries) :]:
            writer.add(block)
        writer.finish()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def die_at(call, nth):
    name = call.removesuffix("_done")
    original, calls = getattr(os, name), itertools.count(1)

    def dying(*arguments, **options):
        is_last = next(calls) == nth
        if is_last and name == call:
            os._exit(9)
        result = original(*arguments, **options)
        if is_last:
            os._exit(9)
        return result

    setattr(os, name, dying)


def is_killed(folder, blocks, call, nth):
    pid = os.fork()
    if pid == 0:
        die_at(call, nth)
        write(folder, blocks)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


def num_kills(root, blocks, call):
    for nth in itertools.count(1):
        folder = root / f"{call}-{nth}"
        if not is_killed(folder, blocks, call, nth):
            return nth - 1
        if (folder / "manifest.jsonl").exists():
            for entry in read_manifest(folder).entries:
                read_shard(folder, entry)
        write(folder, blocks)
        assert contents(folder) == contents(root / "whole"), (call, nth)


def main(records, root, *calls):
    rows = list(read_records(Path(records), Preference))
    grouped = itertools.groupby(rows, key=lambda row: row.critic)
    blocks = [list(block) for _, block in grouped]
    write(Path(root) / "whole", blocks)
    for call in calls:
        print(call, num_kills(Path(root), blocks, call))


if __name__ == "__main__":
    main(*sys.argv[1:])

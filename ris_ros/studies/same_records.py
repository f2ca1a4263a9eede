"""Say whether two per-sample records of `ris eval` hold the same answers, times left aside.

usage: python -m ris_ros.studies.same_records OLD NEW [--ignore FIELD ...]

OLD and NEW are records (*.samples.jsonl), or folders of them that are compared name by name.
What was evaluated, every sample, its mask to the pixel, and the entries that could not be used
must be equal; the order of the images may differ, as it does over several processes.  What only
one of the two headers tells, as those of another version do, is named and no difference.  Exit
code 0 where all is equal, 1 with the first difference, 2 for files that cannot be read.
"""
from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from ris_ros.evaluation.records import Record, RecordFile, read_record
from ris_ros.types import BadInputError

TIMES = frozenset({'prepare_s', 'ground_s', 'stages'})
FIELDS = tuple(field.name for field in fields(Record))


def first_difference(old: RecordFile, new: RecordFile, ignored: Collection[str] = ()
                     ) -> str | None:
    """Return the first difference of two records in one line, None where they are the same.

    ignored: fields of a sample that may differ, besides the times.
    """
    for name in sorted(old.header.keys() & new.header.keys()):
        if old.header[name] != new.header[name]:
            return f'{name}: {old.header[name]!r}, then {new.header[name]!r}'
    for name, here, there in (('old', old, new), ('new', new, old)):
        lonely = sorted(here.records.keys() - there.records.keys())
        if lonely:
            return f'{len(lonely)} samples are in the {name} record alone, the first: {lonely[0]}'
    for key in sorted(old.records):
        before, after = asdict(old.records[key]), asdict(new.records[key])
        for name in FIELDS:
            if name not in TIMES and name not in ignored and before[name] != after[name]:
                text = old.records[key].expression
                if name == 'mask':
                    return f'sample {key} ("{text}"): another mask'
                return (f'sample {key} ("{text}"): {name} {before[name]!r}, '
                        f'then {after[name]!r}')
    if sorted(map(str, old.problems)) != sorted(map(str, new.problems)):
        return 'other entries could not be used'
    return None


def pairs(old: Path, new: Path) -> list[tuple[Path, Path]]:
    """Return the records to compare; raises BadInputError where a folder lacks one or all."""
    if not old.is_dir():
        return [(old, new)]
    names = sorted(path.name for path in old.glob('*.samples.jsonl'))
    if not names:
        raise BadInputError(f'{old} holds no record (*.samples.jsonl)')
    return [(old / name, new / name) for name in names]


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and say so."""
    parser = argparse.ArgumentParser(prog='python -m ris_ros.studies.same_records',
                                     description=(__doc__ or '').partition('\n')[0])
    parser.add_argument('old', type=Path)
    parser.add_argument('new', type=Path)
    parser.add_argument('--ignore', nargs='+', default=[], metavar='FIELD',
                        choices=[name for name in FIELDS if name not in TIMES],
                        help='fields of a sample that may differ')
    args = parser.parse_args(argv)
    differ = False
    try:
        for old, new in pairs(args.old, args.new):
            one, two = read_record(old), read_record(new)
            difference = first_difference(one, two, args.ignore)
            differ |= difference is not None
            lonely = sorted(one.header.keys() ^ two.header.keys())
            print(f'{old.name}: ' + (difference or f'the same {len(one.records)} samples')
                  + (f' (told in one header alone: {", ".join(lonely)})' if lonely else ''))
    except BadInputError as error:
        print(f'same_records: {error}', file=sys.stderr)
        return 2
    return int(differ)


if __name__ == '__main__':
    sys.exit(main())

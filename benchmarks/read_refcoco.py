#!/usr/bin/env python3
"""Read annotations of RefCOCO's size (50,000 references): seconds and peak memory.

    python benchmarks/read_refcoco.py [--references 50000] [--json FILE]

Makes the annotations itself in a temporary folder (200,000 objects on 20,000 images, polygons
of RefCOCO's mean length, a fifth of them in parts), reads them in a fresh process and prints its
time and peak resident memory.  Exit code 1 above 20 s or 1 GB; cpu_seconds is what it takes
on a machine with nothing else to do.
"""
from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SECONDS, MEGABYTES = 20.0, 1000.0
IMAGES_PER_REFERENCE, OBJECTS_PER_REFERENCE, SENTENCES = 0.4, 4, 3
WIDTH, HEIGHT = 640, 480

READER = """
import json, sys, time
start = time.perf_counter()
from ris_ros.datasets.refer import read_refer
dataset = read_refer(sys.argv[1], 'refcoco', 'train')
seconds, cpu = time.perf_counter() - start, time.process_time()
from ris_ros.evaluation.bench import peak_memory_mib
peak = peak_memory_mib() * 2 ** 20 / 1e6
print(json.dumps({'seconds': round(seconds, 2), 'cpu_seconds': round(cpu, 2),
                  'peak_mb': round(peak, 1), **dataset.facts}))
"""


def polygon(rng: np.random.Generator) -> list[float]:
    """A wobbly ring of about 25 points somewhere in the picture, two decimals."""
    points = int(rng.integers(12, 40))
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = rng.uniform(10, 90) * rng.uniform(0.7, 1.0, points)
    x = np.clip(rng.uniform(0, WIDTH) + radius * np.cos(angle), 0, WIDTH)
    y = np.clip(rng.uniform(0, HEIGHT) + radius * np.sin(angle), 0, HEIGHT)
    return np.stack([x, y], axis=1).ravel().round(2).tolist()


def make(root: Path, references: int) -> float:
    """Write the annotations; return the size of instances.json in megabytes."""
    rng = np.random.default_rng(0)
    folder = root / 'refcoco'
    folder.mkdir()
    (root / 'train2014').mkdir()
    images = int(references * IMAGES_PER_REFERENCE)
    objects = references * OBJECTS_PER_REFERENCE
    annotations = [{
        'id': k, 'image_id': k * images // objects, 'category_id': 1 + k % 11, 'iscrowd': 0,
        'area': 1234.5, 'bbox': [1.5, 2.5, 100.25, 50.75],
        'segmentation': [polygon(rng) for _ in range(1 + (k % 5 == 0))]} for k in range(objects)]
    data = {'info': {}, 'licenses': [], 'annotations': annotations,
            'images': [{'id': k, 'file_name': f'COCO_train2014_{k:012d}.jpg', 'height': HEIGHT,
                        'width': WIDTH, 'license': 1, 'coco_url': 'x' * 60,
                        'date_captured': '2013-11-14 00:00:00'} for k in range(images)],
            'categories': [{'id': k, 'name': str(k)} for k in range(1, 91)]}
    (folder / 'instances.json').write_text(json.dumps(data))
    refs = [{'ref_id': k, 'ann_id': k * OBJECTS_PER_REFERENCE, 'split': 'train',
             'image_id': k * images // references, 'category_id': 1,
             'file_name': f'COCO_train2014_{k:012d}_{k}.jpg',
             'sent_ids': [k * SENTENCES + j for j in range(SENTENCES)],
             'sentences': [{'sent_id': k * SENTENCES + j, 'raw': f'Person number {k} left {j}',
                            'sent': f'person number {k} left {j}',
                            'tokens': ['person', 'number', str(k), 'left', str(j)]}
                           for j in range(SENTENCES)]} for k in range(references)]
    (folder / 'refs(unc).p').write_bytes(pickle.dumps(refs, 2))
    return (folder / 'instances.json').stat().st_size / 1e6


def main() -> int:
    """Make, read, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--references', type=int, default=50000)
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        size = make(Path(temporary), args.references)
        done = subprocess.run([sys.executable, '-c', READER, temporary], check=True,
                              capture_output=True, text=True)
    result = {'instances_mb': round(size, 1), **json.loads(done.stdout)}
    text = json.dumps(result, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + '\n')
    return int(result['seconds'] > SECONDS or result['peak_mb'] > MEGABYTES)


if __name__ == '__main__':
    sys.exit(main())

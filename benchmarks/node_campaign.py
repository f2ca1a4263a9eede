"""
Attacks on the node: what is malformed, too much, broken or killed; over real DDS.

    python benchmarks/node_campaign.py --json docs/figures/node_campaign.json
    python benchmarks/node_campaign.py --only malformed --examples 10000

With --json each attack is written as soon as it is through; what the file says of others stays.

malformed  generated messages and commands: no crash, no mask or target, an error code each, and
           the next good command right
flood      commands at 100 Hz: one result each
lifecycle  configure, activate, deactivate, cleanup, again and again: no growth of open files,
           threads and memory
faults     every call to the models and to the outside made to fail once, in several ways
kill       ended with signal 9 under load and started again as `ros2 launch` does
"""
from __future__ import annotations

import argparse
import array
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import node_malformed as malformed
from hypothesis import HealthCheck, Phase, given, settings
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from node_rig import Answer, NodeProcess, Peer, Scene, session, surroundings
from node_under_test import HANG_S, KINDS, OF_EXECUTOR, OF_WORKER
from sensor_msgs.msg import Image
from std_msgs.msg import String

from ris_ros.files import write_json
from ris_ros.studies.node_figures import as_table, campaign_rows

SMALL = Scene(96, 128)   # what is malformed is so at every size
QUICK = ('max_image_age_s:=0.05', 'image_timeout_s:=0.5', 'sync_timeout_s:=0.1',
         'mask.erode_px:=1')


class BrokenPromiseError(Exception):
    """The node did not keep what it promises."""


def promise(holds: object, what: str) -> None:
    """Raise BrokenPromiseError unless `holds`."""
    if not holds:
        raise BrokenPromiseError(what)


# ---- malformed ---------------------------------------------------------------------------

def attack_malformed(examples: int) -> dict[str, Any]:
    """Send that many generated messages; return the outcomes they ended with."""
    outcomes: Counter[str] = Counter()
    with session(*QUICK, scene=SMALL) as (node, peer):
        kinds: dict[str, tuple[Any, Callable[[Any], str]]] = {
            'command': (malformed.commands(), lambda raw: _bad_command(peer, raw)),
            'image': (malformed.images(SMALL), lambda change: _bad_image(peer, change)),
            'depth': (malformed.depths(SMALL), lambda change: _bad_depth(peer, change)),
            'info': (malformed.infos(SMALL), lambda change: _bad_info(peer, change)),
            'bytes': (malformed.raw_bytes(), lambda raw: _bad_bytes(peer, raw))}
        share = max(examples // len(kinds), 1)
        for kind, (strategy, attack) in kinds.items():
            _run(kind, strategy, attack, share, outcomes, node, peer)
        promise(node.alive, 'the node died')
    return {'examples': sum(outcomes.values()), 'outcomes': dict(sorted(outcomes.items()))}


def _run(kind: str, strategy: Any, attack: Callable[[Any], str], share: int,
         outcomes: Counter[str], node: NodeProcess, peer: Peer) -> None:
    @settings(max_examples=share, deadline=None, database=None, phases=[Phase.generate],
              derandomize=True, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def hold(example: Any) -> None:
        peer.masks.clear()
        peer.points.clear()
        outcomes[f'{kind}: {attack(example)}'] += 1
        promise(node.alive, f'the node died of {example!r:.300}')
        if sum(outcomes.values()) % 25 == 0:
            peer.spin(0.06)
            promise(peer.works(), f'the good command after {example!r:.300} was not right')

    hold()
    peer.spin(0.06)
    promise(peer.works(), f'the good command after all of {kind} was not right')


def _bad_command(peer: Peer, raw: str) -> str:
    # Ids come twice in what is generated, so that answers are counted, not looked for by id.
    before = sum(map(len, peer.answers.values()))
    peer.command.publish(String(data=raw))
    promise(peer.wait(lambda: sum(map(len, peer.answers.values())) > before, 10.0),
            f'no result for {raw!r:.300}')
    newest = max((answer for answers in peer.answers.values() for answer in answers),
                 key=lambda answer: answer.came)
    peer.answers.clear()
    promise(newest.outcome == 'INVALID_COMMAND', f'{newest.outcome} for {raw!r:.300}')
    promise(not peer.masks, f'a mask for {raw!r:.300}')
    return newest.outcome


def _asked(peer: Peer, **frame: Any) -> Answer:
    peer.spin(0.06)   # the last frame is not fresh any more
    answer = peer.ask(**frame)
    promise(len(peer.answers[answer.values['command_id']]) == 1, 'two results')
    return answer


def _bad_image(peer: Peer, change: dict[str, Any]) -> str:
    answer = _asked(peer, image=_changed(peer.picture, change))
    promise(answer.code >= 30, f'{answer.outcome} for an image with {change!r:.300}')
    promise(not peer.masks and not peer.points, f'a mask for an image with {change!r:.300}')
    return answer.outcome


def _bad_depth(peer: Peer, change: dict[str, Any]) -> str:
    answer = _asked(peer, depth=_changed(peer.depth_image, change))
    promise(answer.outcome in ('DEPTH_MISMATCH', 'NO_DEPTH', 'UNCALIBRATED'),
            f'{answer.outcome} for depth with {change!r:.300}')
    promise(not peer.points, f'a target for depth with {change!r:.300}')
    return answer.outcome


def _bad_info(peer: Peer, change: dict[str, Any]) -> str:
    info = peer.intrinsics
    for name, value in change.items():
        owner = info.roi if name.startswith('roi.') else info
        setattr(owner, name.removeprefix('roi.'), value)
    answer = _asked(peer, info=info)
    promise(answer.outcome == 'UNCALIBRATED', f'{answer.outcome} for intrinsics {change!r:.300}')
    promise(not peer.points, f'a target for intrinsics {change!r:.300}')
    return answer.outcome


def _bad_bytes(peer: Peer, example: tuple[str, bytes]) -> str:
    topic, raw = example
    getattr(peer, topic).publish(raw)
    peer.spin(0.005)
    return 'nothing'


def _changed(message: Image, change: dict[str, Any]) -> Image:
    copy = Image(header=message.header, height=message.height, width=message.width,
                 encoding=message.encoding, step=message.step, is_bigendian=message.is_bigendian)
    copy.data = message.data
    for name, value in change.items():
        if name == 'bytes':
            copy.data = array.array('B', bytes(message.data)[:value].ljust(value, b'\0'))
        else:
            setattr(copy, name, value)
    return copy


# ---- flood -------------------------------------------------------------------------------

def attack_flood(seconds: float, rate_hz: float = 100.0) -> dict[str, Any]:
    """Give commands at a rate; return how they ended."""
    # Small pictures: here it is about commands, and what sends them shares the machine.
    with session('busy_policy:=replace', scene=SMALL) as (node, peer):
        peer.film(30.0)
        identities: list[str] = []
        timer = peer.node.create_timer(
            1 / rate_hz, lambda: identities.append(peer.say('the red box')))
        peer.spin(seconds)
        peer.node.destroy_timer(timer)
        promise(peer.wait(lambda: all(i in peer.answers for i in identities), 120.0),
                f'{sum(i not in peer.answers for i in identities)} of {len(identities)} commands '
                'have no result')
        peer.spin(1.0)
        twice = sum(len(peer.answers[identity]) > 1 for identity in identities)
        promise(not twice, f'{twice} commands have several results')
        promise(node.alive, 'the node died')
        peer.film(0)
        peer.spin(0.6)
        promise(peer.works(), 'the good command after the flood was not right')
        counts = Counter(peer.answers[identity][0].outcome for identity in identities)
    return {'seconds': seconds, 'rate_hz': round(len(identities) / seconds, 1),
            'commands': len(identities), 'outcomes': dict(counts)}


# ---- lifecycle ---------------------------------------------------------------------------

CYCLE = (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
         Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)


def attack_lifecycle(cycles: int, warm_up: int = 20) -> dict[str, Any]:
    """Go through all states again and again; return what grew."""
    with session('warmup:=false') as (node, peer):
        client = peer.node.create_client(ChangeState, 'ris_node/change_state')
        promise(peer.wait(client.service_is_ready), 'no service to change the state')

        def cycle() -> None:
            for number in CYCLE:
                future = client.call_async(ChangeState.Request(transition=Transition(id=number)))
                promise(peer.wait(future.done) and future.result().success,
                        f'transition {number} failed')
        for _ in range(warm_up):
            cycle()
        before, start = node.resources(), time.monotonic()
        for _ in range(cycles):
            cycle()
        after, took = node.resources(), time.monotonic() - start
        peer.wait_until_ready()
        promise(peer.works(), 'the good command after all cycles was not right')
    return {'cycles': cycles, 'ms_each': round(1e3 * took / cycles, 1),
            'files': int(after['files'] - before['files']),
            'threads': int(after['threads'] - before['threads']),
            'rss_mb': round(after['rss_mb'] - before['rss_mb'], 2)}


# ---- faults ------------------------------------------------------------------------------

# What a command survives: its answer does not need these.
HARMLESS = {'publisher.status', 'publisher.note', 'publisher.diagnostics'}
LIMIT_S = 2.0     # time limit of a command whose call hangs
SOON_S = 1.0      # within which a failure, or the end of its time limit, is to be told


def fault_names() -> list[tuple[str, str]]:
    """Return every call with every way to fail that it can have.

    A call of the executor's thread cannot be made to hang and be waited for: nothing would be
    left to notice.
    """
    of_worker = [(call, kind) for call in OF_WORKER for kind in KINDS]
    of_executor = [(call, kind) for call in OF_EXECUTOR for kind in ('exception', 'memory')]
    return of_worker + of_executor


def attack_faults(names: list[tuple[str, str]] | None = None, soon_s: float = SOON_S
                  ) -> dict[str, Any]:
    """Make each call fail once; return the outcomes, and how long they took to be told."""
    outcomes: Counter[str] = Counter()
    slowest = {'failure': 0.0, 'hang': 0.0}
    with session(*QUICK, scene=SMALL) as (node, peer):
        for number, (call, kind) in enumerate(names or fault_names()):
            peer.spin(0.06)
            # The picture changes, so that no prepared scene keeps a call from being made.
            peer.picture.data[0] = number % 250
            asked = time.monotonic()
            answer = peer.ask(f'fault {call} {kind} and then the red box',
                              LIMIT_S if kind == 'hang' else None)
            took = time.monotonic() - asked
            outcomes[answer.outcome] += 1
            _judge_fault(call, kind, answer.code, answer.outcome)
            limit = LIMIT_S if kind == 'hang' else 0.0
            promise(took < limit + soon_s, f'{took:.1f} s until the outcome of {call} {kind}')
            name = 'hang' if kind == 'hang' else 'failure'
            slowest[name] = max(slowest[name], took)
            promise(node.alive, f'the node died of {call} {kind}')
            if kind == 'hang':
                peer.spin(HANG_S - took + 0.3)
            peer.spin(0.06)
            if call == 'converter.depth':   # depth without a reading is no fault, and is kept
                peer.picture.data[1] = number % 250
            promise(peer.works(), f'the good command after {call} {kind} was not right')
    return {'faults': sum(outcomes.values()), 'outcomes': dict(outcomes),
            'slowest_s': {name: round(value, 2) for name, value in slowest.items()}}


def _judge_fault(call: str, kind: str, code: int, outcome: str) -> None:
    where = f'{call} {kind}'
    if call in HARMLESS:
        promise(outcome == 'SUCCEEDED', f'{outcome} after {where}')
    elif kind == 'hang':
        promise(outcome == 'TIMEOUT', f'{outcome} after {where}')
    elif kind == 'nan' and call == 'converter.depth':
        promise(outcome == 'NO_DEPTH', f'{outcome} after {where}')
    else:
        promise(code >= 30, f'{outcome} after {where}')


# ---- kill --------------------------------------------------------------------------------

def attack_kill(times: int, load_s: float = 1.0) -> dict[str, Any]:
    """Kill the node under load; return the seconds until it answered again, and at the start."""
    began = time.monotonic()
    with session(options=('--load-s', str(load_s))) as (node, peer):
        promise(peer.works(), 'the first command was not right')
        first, again = time.monotonic() - began, []
        for _ in range(times):
            peer.film(30.0)
            timer = peer.node.create_timer(0.02, lambda: peer.say('the red box'))
            peer.spin(2.0)
            killed = time.monotonic()
            node.kill_and_respawn()
            peer.node.destroy_timer(timer)
            peer.film(0)
            peer.wait_until_ready()
            promise(peer.works(), 'the first command after the respawn was not right')
            again.append(time.monotonic() - killed)
    return {'times': times, 'start_s': round(first, 1), 'respawn_s': round(max(again), 1)}


# ---- all ---------------------------------------------------------------------------------

ATTACKS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    'malformed': lambda o: attack_malformed(o.examples),
    'flood': lambda o: attack_flood(o.flood_s),
    'lifecycle': lambda o: attack_lifecycle(o.cycles),
    'faults': lambda o: attack_faults(),
    'kill': lambda o: attack_kill(o.kills)}


def main() -> int:
    """Run the attacks, print the table, write JSON; exit code 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('--only', choices=tuple(ATTACKS), action='append')
    parser.add_argument('--examples', type=int, default=10_000)
    parser.add_argument('--flood-s', type=float, default=60.0)
    parser.add_argument('--cycles', type=int, default=1000)
    parser.add_argument('--kills', type=int, default=3)
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    if options.json and options.json.is_file():
        figures = json.loads(options.json.read_text())
    for name in options.only or ATTACKS:
        start = time.monotonic()
        try:
            figures[name] = ATTACKS[name](options)
        except (BrokenPromiseError, TimeoutError) as broken:
            print(f'{name}: {broken}', file=sys.stderr)
            return 1
        figures[name]['took_s'] = round(time.monotonic() - start)
        print(f'{name}: {json.dumps(figures[name])}', file=sys.stderr)
        figures['machine'] = surroundings()
        if options.json:
            write_json(options.json, figures)
    print(as_table(campaign_rows(figures)))
    return 0


if __name__ == '__main__':
    sys.exit(main())

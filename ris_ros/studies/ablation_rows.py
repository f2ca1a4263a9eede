"""What is ablated: the rows of the papers' tables, as settings of the methods.

A row is a method with changed settings; a table lists rows and names the one against which the
others are held.  Rows that differ only in what `ground` reads share one prepared scene.
"""
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ris_ros.methods.registry import find_method
from ris_ros.settings import describe

FULL = 'full'
GROUPS = ('hybridgl', 'tas', 'iterprime', 'baselines')

# Settings that `prepare` does not read, per method; None: it reads none but those that networks
# and proposers are built with.
_DECISIONS = {'match_center', 'match_width', 'score_threshold', 'ambiguity_margin',
              'overlap_limit', 'ignored', 'decision', 'none_limit', 'several_limit',
              'relation_limit', 'name_center', 'name_width'}
GROUND_SETTINGS: Mapping[str, frozenset[str] | None] = {
    'hybridgl': frozenset(_DECISIONS | {
        'phrase_weight', 'semantic_scale', 'top_k_target', 'top_k_other', 'relation',
        'relation_needs_object', 'relations_in', 'coherence', 'position', 'alpha',
        'guidance_scale', 'guidance_lambda', 'lambda_big',
        'lambda_small', 'gem_text'}),
    'tas': frozenset(_DECISIONS | {'captions', 'negatives', 'rectifier',
                                   'rectify_relations', 'relations_in', 'alpha',
                                   'negative_lambda', 'score_scale'}),
    'iterprime': None}


def built_with(method: str) -> frozenset[str]:
    """Return the settings that a method's networks and proposer are built with."""
    return frozenset(info.name for info in describe(find_method(method).settings_class())
                     if info.builds)


@dataclass(frozen=True)
class Row:
    """One line of a table: a method under settings that differ from the profile's."""

    key: str
    label: str
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def networks(self) -> dict[str, Any]:
        """Return the settings that networks and proposers are built with.

        Another instance of the method is made for them.
        """
        return {k: v for k, v in self.settings.items() if k in built_with(self.method)}

    @property
    def prepared(self) -> dict[str, Any]:
        """Return the settings that `prepare` reads; rows that share them share scenes."""
        free = GROUND_SETTINGS.get(self.method, frozenset())
        return {k: v for k, v in self.settings.items()
                if k in built_with(self.method) or (free is not None and k not in free)}


@dataclass(frozen=True)
class Table:
    """Rows under a title; `against` is the row that the others are held against."""

    title: str
    against: str
    rows: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All rows of a group, each once, and the tables that show them."""

    rows: tuple[Row, ...]
    tables: tuple[Table, ...]


def plan_of(group: str, start_block: int, layers: int, scorers: Iterable[str] = ()) -> Plan:
    """Return the plan of a group.

    start_block: the profile's; layers: blocks of its CLIP.  scorers: networks that TAS may
    compare with besides the profile's own.
    """
    if group == 'hybridgl':
        return _hybridgl(start_block, layers)
    if group == 'tas':
        return _tas(scorers)
    return _iterprime() if group == 'iterprime' else _baselines()


def _hybridgl(start: int, layers: int) -> Plan:
    bare = {'relation': False, 'coherence': False, 'position': False}
    alone = {**bare, 'fusion': 'global'}

    def row(key: str, label: str, **settings: Any) -> Row:
        return Row(key, label, 'hybridgl', settings)

    features = [
        row('local', 'L', **bare, fusion='local'),
        row('global_blur', 'G(blur)', **alone, attention_mask=False),
        row('global_token', 'G(tok_mask)', **alone, attention_mask=False, token_masking=True,
            blur=False),
        row('global_attention', 'G(att_mask)', **alone, blur=False),
        row('global', 'G(blur+att_mask)', **alone),
        Row('global_local_41', 'G + L [Global-Local]', 'global_local'),
        row('global_local', 'G + L', **bare, fusion='global_local'),
        row('l2g', 'L2G', **bare, fusion='l2g'),
        row('g2l', 'G2L', **bare),
        row('both', 'G2L + L2G', **bare, fusion='g2l_l2g')]
    starts = [row(f'{fusion}_{block}', f'{fusion.upper()} from block {block} of {layers}', **bare,
                  fusion=fusion, start_block=block)
              for fusion in ('g2l', 'l2g')
              for block in range(max(start - 2, 0), min(start + 2, layers - 1) + 1)
              if block != start]
    guidance = [
        row('relation', 'G2L + Rel', coherence=False, position=False),
        row('relation_coherence', 'G2L + Rel + G_co', position=False),
        row(FULL, 'G2L + Rel + G_co + G_pos (full)'),
        row('no_relation', 'full without Rel', relation=False),
        row('no_coherence', 'full without G_co', coherence=False),
        row('no_position', 'full without guidance', coherence=False, position=False)]
    strict = {'relation_needs_object': True}
    readings = [
        row(f'strict{name}_{scale:g}', f'strict relation, {label}, guidance x {scale:g}',
            **strict, **more, guidance_scale=scale)
        for scale in (0.2, 1.0)
        for name, label, more in (('', 'full', {}),
                                  ('_no_position', 'without position map', {'position': False}))]
    rules = [row('released', 'released rules, full', rules='released'),
             row('released_bare', 'released rules, G2L alone', rules='released', **bare)]
    shown = {r.key for r in starts}
    blocks = [f'{f}_{b}' if f'{f}_{b}' in shown else f for f in ('g2l', 'l2g')
              for b in range(max(start - 2, 0), min(start + 2, layers - 1) + 1)]
    return Plan((*features, *starts, *guidance, *readings, *rules), (
        Table('Region features without guidance (table 3)', 'g2l', _keys(features)),
        Table(f'Start of the fusion without guidance (table 4); chosen here: block {start}',
              'g2l', tuple(blocks)),
        Table('Guidance (table 5)', FULL, ('g2l', *_keys(guidance))),
        Table('A relation needs another object (equation 4), and how much guidance weighs', FULL,
              (FULL, *_keys(readings))),
        Table('Rules', FULL, (FULL, 'released', 'g2l', 'released_bare'))))


def _tas(scorers: Iterable[str]) -> Plan:
    def row(key: str, label: str, **settings: Any) -> Row:
        return Row(key, label, 'tas', settings)

    v = {'captions': False, 'negatives': False, 'rectifier': False}
    terms = [
        row('v', 'V', **v), row('v_p', 'V + P', **{**v, 'captions': True}),
        row('v_n', 'V + N', **{**v, 'negatives': True}),
        row('v_p_n', 'V + P + N', rectifier=False),
        row('v_rectifier', 'V + rectifier', **{**v, 'rectifier': True}),
        row('no_p', 'full without P', captions=False),
        row('no_n', 'full without N', negatives=False),
        row(FULL, 'V + P + N + rectifier (full)')]
    weights = [row(f'alpha_{a}', f'alpha {a}', alpha=a) for a in (0.0, 0.05, 0.2, 0.4)] + [
        row(f'lambda_{x}', f'lambda {x}', negative_lambda=x)
        for x in (0.0, 0.3, 0.5, 0.7, 0.9, 1.0)]
    views = [row('crop_crop', 'captioner crop, scorer crop', caption_view='crop'),
             row('blur_blur', 'captioner blur, scorer blur', clip_view='blur'),
             row('crop_blur', 'captioner crop, scorer blur', caption_view='crop',
                 clip_view='blur')]
    # Both ways, since a profile may have chosen either.
    rules = [row('no_filter', 'mask filter off', mask_filter='off'),
             row('filter', 'mask filter on', mask_filter='on'),
             row('v_filter', 'V, mask filter on', mask_filter='on', **v),
             row('released', 'released rules, full', rules='released'),
             row('released_no_rectifier', 'released rules, V + P + N', rules='released',
                 rectifier=False)]
    others = [r for name in scorers for r in (
        row(f'{name}_v', f'{name}: V', scorer=name, **v),
        row(name, f'{name}: full', scorer=name))]
    tables = [Table('Scores and rectifier (table 4)', FULL, _keys(terms)),
              Table('Weights (table 3)', FULL, (FULL, *_keys(weights))),
              Table('What the networks see of a region (table 5)', FULL,
                    (*_keys(views), FULL)),
              Table('Mask filter and rules', FULL, (FULL, 'v', *_keys(rules)))]
    if others:
        tables.append(Table('Scorers (table 7)', FULL, ('v', FULL, *_keys(others))))
    return Plan((*terms, *weights, *views, *rules, *others), tuple(tables))


def _iterprime() -> Plan:
    def row(key: str, label: str, **settings: Any) -> Row:
        return Row(key, label, 'iterprime', settings)

    modes = [row('mode_1', 'mode 1, overall mean', mode=1),
             row('mode_2', 'mode 2, effective words (GVLP)', mode=2),
             row('mode_3', 'mode 3, global augmentation', mode=3),
             row('mode_4', 'mode 4, local augmentation', mode=4),
             row(FULL, 'mode 0, PWEM (full)')]
    plain = [row(f'mode_{m}_once', f'mode {m} without IGRS', mode=m, iterations=1)
             for m in (1, 2, 3, 4)]
    looks = [row(f'looks_{n}', f'{n} iterations' if n > 1 else 'without IGRS (1 iteration)',
                 iterations=n) for n in (1, 2, 4, 5)]
    places = [row('image', 'seen places hidden in the image', hide='image')]
    stops = [row('stop_released', 'stop where the match falls, keep that map', stop='released'),
             row('stop_never', 'never stop early', stop='never'),
             row('released', 'released rules', rules='released'),
             row('released_once', 'released rules without IGRS', rules='released', iterations=1),
             row('released_image', 'released rules, seen places hidden in the image',
                 rules='released', hide='image'),
             row('no_peak', 'masks need not hold the peak', peak_filter=False),
             row('keep_0.6', 'lambda 0.6', keep=0.6), row('keep_0.2', 'lambda 0.2', keep=0.2)]
    return Plan((*modes, *plain, *looks, *places, *stops), (
        Table('Maps (table 3)', FULL, _keys(modes)),
        Table('With and without IGRS (table 5)', FULL,
              ('mode_2_once', 'mode_2', 'looks_1', FULL, 'mode_1_once', 'mode_3_once',
               'mode_4_once')),
        Table('Iterations (figure 6)', FULL, ('looks_1', 'looks_2', FULL, 'looks_4', 'looks_5')),
        Table('Where seen places are hidden (table 4)', FULL, ('image', FULL)),
        Table('Stop rules, rules and weights', FULL, (FULL, *_keys(stops)))))


def _baselines() -> Plan:
    names = {'text_only': 'Text-only', 'region_token': 'Region token',
             'score_map': 'Score map (MaskCLIP)', 'clip_surgery': 'CLIP Surgery',
             'grad_cam': 'Grad-CAM', 'global_local': 'Global-Local', 'clip_only': 'CLIP-only',
             'iterprime': 'IteRPrimE', 'tas': 'TAS', 'hybridgl': 'HybridGL',
             'oracle': 'best proposal by the truth'}
    rows = [Row(name, label, name) for name, label in names.items()]
    return Plan(tuple(rows), (Table('Methods over the same proposals', 'hybridgl', _keys(rows)),))


def _keys(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(row.key for row in rows)

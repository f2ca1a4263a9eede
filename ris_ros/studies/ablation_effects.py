"""What the papers say their parts do, and whether a measured group of rows says so too."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ris_ros.evaluation.compare import compare

WITH_POSITION, WITHOUT_POSITION = 'position words', 'no position words'


@dataclass(frozen=True)
class Effect:
    """A published comparison of two rows of a group.

    better, worse: keys of the rows.  paper: mIoU in percent as published, (set, worse,
    better).  tag: measured on these sentences only, all where empty.  even: the paper says
    that the step changes little.
    """

    text: str
    source: str
    worse: str
    better: str
    paper: tuple[tuple[str, float, float], ...]
    tag: str = ''
    even: bool = False


def _three(a: float, b: float, c: float, d: float, e: float, f: float
           ) -> tuple[tuple[str, float, float], ...]:
    """Return worse and better on RefCOCO, RefCOCO+ and RefCOCOg (val each)."""
    return ('RefCOCO', a, b), ('RefCOCO+', c, d), ('RefCOCOg', e, f)


def _val(a: float, b: float) -> tuple[tuple[str, float, float], ...]:
    return (('RefCOCO val', a, b),)


EFFECTS: Mapping[str, tuple[Effect, ...]] = {
    'hybridgl': (
        Effect('local views beat token-masked global ones', 'table 3', 'global_token', 'local',
               _three(31.71, 32.64, 33.18, 36.44, 32.55, 42.35)),
        Effect('a blur beside the attention mask helps the global view', 'table 3',
               'global_attention', 'global',
               _three(30.07, 37.12, 31.51, 39.94, 36.24, 44.45)),
        Effect('the attention mask helps the blurred view', 'table 3', 'global_blur', 'global',
               _three(22.01, 37.12, 25.14, 39.94, 31.24, 44.45)),
        Effect('G + L beats that of Global-Local', 'table 3', 'global_local_41', 'global_local',
               _three(33.12, 37.64, 35.29, 41.12, 40.08, 47.51)),
        Effect('L2G beats G + L', 'table 3', 'global_local', 'l2g',
               _three(37.64, 39.17, 41.12, 42.55, 47.51, 47.20)),
        Effect('G2L beats L', 'table 3', 'local', 'g2l',
               _three(32.64, 40.27, 36.44, 43.40, 42.35, 48.64)),
        Effect('G2L beats G', 'table 3', 'global', 'g2l',
               _three(37.12, 40.27, 39.94, 43.40, 44.45, 48.64)),
        Effect('G2L beats L2G', 'table 3', 'l2g', 'g2l',
               _three(39.17, 40.27, 42.55, 43.40, 47.20, 48.64)),
        Effect('both directions give no more than G2L', 'table 3', 'g2l', 'both',
               _three(40.27, 40.23, 43.40, 43.73, 48.64, 48.22),
               even=True),
        Effect('relation guidance helps', 'table 5', 'g2l', 'relation',
               (('RefCOCO', 40.27, 44.29), ('RefCOCOg', 48.64, 48.99))),
        Effect('relation guidance helps sentences with a relation', 'table 5', 'g2l', 'relation',
               (('RefCOCO', 40.27, 44.29), ('RefCOCOg', 48.64, 48.99)), tag='relation'),
        Effect('coherence guidance changes little', 'table 5', 'relation', 'relation_coherence',
               (('RefCOCO', 44.29, 44.29), ('RefCOCOg', 48.99, 49.02)), even=True),
        Effect('position guidance helps', 'table 5', 'relation_coherence', 'full',
               (('RefCOCO', 44.29, 49.48), ('RefCOCOg', 49.02, 51.25))),
        Effect('position guidance helps sentences with a position', 'table 5',
               'relation_coherence', 'full',
               (('RefCOCO', 44.29, 49.48), ('RefCOCOg', 49.02, 51.25)), tag='position'),
        Effect('all guidance together helps', 'table 5', 'g2l', 'full',
               (('RefCOCO', 40.27, 49.48), ('RefCOCOg', 48.64, 51.25))),
        Effect('all guidance together helps sentences with a position', 'table 5', 'g2l', 'full',
               (('RefCOCO', 40.27, 49.48), ('RefCOCOg', 48.64, 51.25)), tag='position')),
    'tas': (
        Effect('captions (P) help', 'table 4', 'v', 'v_p', (('RefCOCO', 33.01, 35.94),)),
        Effect('negatives (N) help beside P', 'table 4', 'v_p', 'v_p_n',
               (('RefCOCO', 35.94, 37.03),)),
        Effect('the rectifier helps', 'table 4', 'v_p_n', 'full', (('RefCOCO', 37.03, 39.84),)),
        Effect('the rectifier helps sentences with a position', 'table 4', 'v_p_n', 'full',
               (('RefCOCO', 37.03, 39.84),), tag='position'),
        Effect('alpha 0.1 beats 0', 'table 3', 'alpha_0.0', 'full', (('RefCOCO', 37.89, 39.84),)),
        Effect('alpha 0.1 beats 0.4', 'table 3', 'alpha_0.4', 'full',
               (('RefCOCO', 36.39, 39.84),)),
        Effect('lambda 0.7 beats 0', 'table 3', 'lambda_0.0', 'lambda_0.7',
               (('RefCOCO', 38.54, 39.84),)),
        Effect('around 0.7 lambda matters little', 'table 3', 'lambda_0.5', 'lambda_0.7',
               (('RefCOCO', 39.97, 39.84),), even=True),
        Effect('the captioner wants a blurred surrounding', 'table 5', 'crop_crop', 'full',
               (('RefCOCO', 39.08, 39.84),)),
        Effect('the scorer wants a black surrounding', 'table 5', 'blur_blur', 'full',
               (('RefCOCO', 37.85, 39.84),))),
    'iterprime': (
        Effect('effective words beat the mean over all', 'table 3', 'mode_1', 'mode_2',
               (('RefCOCO testA', 43.4, 45.0), ('RefCOCOg test', 41.3, 41.9))),
        Effect('global augmentation beats effective words', 'table 3', 'mode_2', 'mode_3',
               (('RefCOCO testA', 45.0, 46.5), ('RefCOCOg test', 41.9, 45.7))),
        Effect('global augmentation beats local', 'table 3', 'mode_4', 'mode_3',
               (('RefCOCO testA', 45.3, 46.5), ('RefCOCOg test', 42.3, 45.7))),
        Effect('PWEM beats the mean over all', 'table 3', 'mode_1', 'full',
               (('RefCOCO testA', 43.4, 46.5), ('RefCOCOg test', 41.3, 45.8))),
        Effect('PWEM gives little over global augmentation', 'table 3', 'mode_3', 'full',
               (('RefCOCO testA', 46.5, 46.5), ('RefCOCOg test', 45.7, 45.8)), even=True),
        Effect('hiding in the features beats hiding in the image', 'table 4', 'image', 'full',
               (('RefCOCO testA', 46.3, 46.5), ('RefCOCOg test', 45.3, 45.8))),
        Effect('IGRS helps', 'table 5', 'looks_1', 'full',
               (('RefCOCO testA', 46.1, 46.5), ('RefCOCOg test', 45.1, 45.8))),
        Effect('IGRS helps sentences with position words', 'table 5', 'looks_1', 'full',
               (('RefCOCO testA', 36.1, 36.5), ('RefCOCOg test', 36.4, 37.4)),
               tag=WITH_POSITION),
        Effect('IGRS helps the other sentences', 'table 5', 'looks_1', 'full',
               (('RefCOCO testA', 54.8, 55.0), ('RefCOCOg test', 47.5, 48.2)),
               tag=WITHOUT_POSITION),
        Effect('IGRS helps GVLP too', 'table 5', 'mode_2_once', 'mode_2',
               (('RefCOCO testA', 44.7, 45.0), ('RefCOCOg test', 41.3, 41.9))),
        Effect('PWEM beats GVLP without IGRS', 'table 5', 'mode_2_once', 'looks_1',
               (('RefCOCO testA', 44.7, 46.1), ('RefCOCOg test', 41.3, 45.1))),
        Effect('three iterations beat one', 'figure 6', 'looks_1', 'full',
               (('RefCOCO testA', 46.1, 46.5),)),
        Effect('more than three change little', 'figure 6, read off: about 46.5', 'full',
               'looks_5', (('RefCOCO testA', 46.5, 46.5),), even=True)),
    'prompt_ris': (
        Effect('cross-modal prompting helps', 'table 3', 'clip', 'cmp', _val(67.94, 73.10)),
        Effect('ICL helps coarse masks', 'table 3', 'cmp', 'cmp_icl', _val(73.10, 73.97)),
        Effect('SAM helps', 'table 3', 'cmp', 'cmp_sam', _val(73.10, 77.40)),
        Effect('SAM helps beside ICL', 'table 3', 'cmp_icl', 'full', _val(73.97, 78.10)),
        Effect('ICL helps the whole network', 'table 3', 'cmp_sam', 'full', _val(77.40, 78.10)),
        Effect('vision-to-language prompts help', 'table 4', 'clip', 'v2l', _val(67.94, 69.53)),
        Effect('language-to-vision prompts help', 'table 4', 'clip', 'l2v', _val(67.94, 72.44)),
        Effect('language-to-vision beats vision-to-language', 'table 4', 'v2l', 'l2v',
               _val(69.53, 72.44)),
        Effect('both directions beat language-to-vision', 'table 4', 'l2v', 'cmp',
               _val(72.44, 73.10)),
        Effect('the mask prompt helps beside point and text', 'table 5', 'point_text', 'full',
               _val(76.75, 78.10)),
        Effect('the point prompt helps beside mask and text', 'table 5; its row without a point '
               'repeats table 3', 'mask_text', 'full', _val(77.40, 78.10)),
        Effect('the text prompts help beside mask and point', 'table 5', 'mask_point', 'full',
               _val(73.24, 78.10)),
        Effect('the text alone beats the mask alone', 'table 5', 'mask', 'text',
               _val(72.01, 75.11)),
        Effect('the mask alone beats the point alone', 'table 5', 'point', 'mask',
               _val(55.18, 72.01)),
        Effect('a point beats no prompt', 'table 5', 'none', 'point', _val(42.63, 55.18))),
    'pcnet': (
        Effect('CRM helps', 'table 2', 'cls', 'cls_crm', (('RefCOCOg val', 25.3, 26.8),)),
        Effect('RaS helps', 'table 2', 'cls_crm', 'no_iad', (('RefCOCOg val', 26.8, 29.8),)),
        Effect('IaD helps', 'table 2', 'cls_crm', 'no_ras', (('RefCOCOg val', 26.8, 28.3),)),
        Effect('RaS helps beside IaD', 'table 2', 'no_ras', 'full',
               (('RefCOCOg val', 28.3, 30.7),)),
        Effect('IaD helps beside RaS', 'table 2', 'no_iad', 'full',
               (('RefCOCOg val', 29.8, 30.7),)),
        Effect('two stages beat one', 'table 3', 'stages_1', 'stages_2',
               (('RefCOCOg val', 27.4, 29.3),)),
        Effect('three stages beat one', 'table 3', 'stages_1', 'full',
               (('RefCOCOg val', 27.4, 29.8),)),
        Effect('four stages give no more than three', 'table 3', 'full', 'stages_4',
               (('RefCOCOg val', 29.8, 29.5),), even=True),
        Effect('attention to the cue beats adding it', 'table 4', 'add', 'tta',
               (('RefCOCOg val', 28.5, 29.3),)),
        Effect('a cue that saw the picture beats one that did not', 'table 4', 'add', 'vta_add',
               (('RefCOCOg val', 28.5, 29.2),)),
        Effect('both attentions beat adding', 'table 4', 'add', 'full',
               (('RefCOCOg val', 28.5, 29.8),)),
        Effect('SAM at the peak beats the map', 'table 1', 'answer_map', 'full',
               (('RefCOCO val', 31.3, 52.2), ('RefCOCOg val', 30.7, 47.3))),
        Effect('the last map beats the first', 'table 9', 'stage_1', 'full',
               (('RefCOCOg val', 28.6, 29.8),))),
    'baselines': (
        Effect('HybridGL beats Global-Local', 'HybridGL table 1, ViT-B', 'global_local',
               'hybridgl', _three(33.12, 49.48, 35.29, 43.40, 40.08, 51.25)),
        Effect('HybridGL beats TAS', 'HybridGL table 1, ViT-B', 'tas', 'hybridgl',
               _three(39.84, 49.48, 43.63, 43.40, 46.62, 51.25)),
        Effect('TAS beats CLIP-only', 'TAS table 1, ViT-B/32', 'clip_only', 'tas',
               _three(33.01, 39.84, 40.59, 43.63, 42.66, 46.62)),
        Effect('TAS beats Text-only', 'TAS table 1, ViT-B/32', 'text_only', 'tas',
               _three(26.17, 39.84, 30.00, 43.63, 35.83, 46.62)),
        Effect('CLIP-only beats Text-only', 'TAS table 1, ViT-B/32', 'text_only', 'clip_only',
               _three(26.17, 33.01, 30.00, 40.59, 35.83, 42.66)),
        Effect('Global-Local beats Region token', 'TAS table 1, ViT-B/32', 'region_token',
               'global_local', _three(17.06, 32.93, 18.83, 38.37, 16.33, 42.02)),
        Effect('CLIP-only beats Grad-CAM', 'TAS table 1, RN50', 'grad_cam', 'clip_only',
               _three(30.22, 34.16, 33.96, 41.07, 33.05, 43.73)),
        Effect('Grad-CAM beats the score map', 'TAS table 1, RN50', 'score_map', 'grad_cam',
               _three(25.62, 30.22, 27.49, 33.96, 30.13, 33.05)),
        Effect('the score map beats CLIP Surgery', 'TAS table 1, RN50', 'clip_surgery',
               'score_map', _three(25.03, 25.62, 26.01, 27.49, 29.26, 30.13)),
        Effect('IteRPrimE beats TAS', 'IteRPrimE table 1', 'tas', 'iterprime',
               _three(39.8, 40.2, 43.6, 44.2, 46.6, 46.0))),
}


@dataclass(frozen=True)
class Verdict:
    """A measured effect: shares, not percent; `reproduced` as `judge` says."""

    effect: Effect
    n: int
    worse: float
    better: float
    interval: tuple[float, float]
    reproduced: str


def judge(difference: float, interval: tuple[float, float], even: bool) -> str:
    """Return 'yes', or 'no' with the reason, from a paired difference and its interval.

    A gain is reproduced where the whole interval lies above 0.  That a step changes little
    is reproduced where the interval holds 0.
    """
    low, high = interval
    if even:
        return 'yes' if low <= 0 <= high else 'no, it ' + ('helps' if low > 0 else 'harms')
    if low > 0:
        return 'yes'
    if high < 0:
        return 'no, the opposite'
    return 'no, too small to tell' if difference > 0 else 'no, no gain'


def verdicts(group: str, result: Mapping[str, Any]) -> list[Verdict]:
    """Return the effects of a group whose rows were both measured."""
    found = []
    for effect in EFFECTS[group]:
        if effect.worse not in result['rows'] or effect.better not in result['rows']:
            continue
        tags = result['samples']['tags']
        n = sum(effect.tag in t for t in tags) if effect.tag else len(tags)
        if not n:
            continue
        pair = paired(result, effect.worse, effect.better)
        entry = pair['by_tag'][effect.tag] if effect.tag else pair['differences']['miou']
        interval = entry['interval'] or (entry['difference'], entry['difference'])
        found.append(Verdict(effect, n, entry['a'], entry['b'], (interval[0], interval[1]),
                             judge(entry['difference'], (interval[0], interval[1]), effect.even)))
    return found


def paired(result: Mapping[str, Any], a: str, b: str) -> dict[str, Any]:
    """Return row b minus row a over the same sentences, see `compare`."""
    return compare(_document(result, a), _document(result, b))


def _document(result: Mapping[str, Any], key: str) -> dict[str, Any]:
    row = result['rows'][key]
    return {**{k: result[k] for k in ('profile', 'dataset', 'split')}, 'method': row['method'],
            'settings': row['settings'], 'samples': {
                **result['samples'], 'i': row['i'], 'u': row['u']}}

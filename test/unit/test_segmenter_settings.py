from dataclasses import dataclass

import pytest

from ris_ros import settings
from ris_ros.types import BadInputError


@dataclass(frozen=True)
class Some:
    rules: str = settings.option('paper', 'which rules', choices=('paper', 'released'))
    alpha: float = settings.option(0.6, 'weight of guidance', minimum=0.0, maximum=1.0,
                                   paper=0.6, source='eq. 9')
    top_k: int = settings.option(3, 'candidates', unit='masks', minimum=1)
    relation: bool = settings.option(True, "use relations; 'off' ablates them")


def test_describe_carries_type_default_and_limits():
    info = {f.name: f for f in settings.describe(Some)}
    assert list(info) == ['rules', 'alpha', 'top_k', 'relation']
    assert info['alpha'].type is float and info['alpha'].paper == '0.6'
    assert (info['alpha'].minimum, info['alpha'].maximum) == (0.0, 1.0)
    assert info['rules'].choices == ('paper', 'released')
    assert info['top_k'].unit == 'masks' and info['relation'].default is True


@pytest.mark.parametrize('values, fragment', [
    ({'alhpa': 0.5}, 'did you mean alpha'),
    ({'alpha': 1.5}, r'\[0, 1\]'),
    ({'alpha': float('nan')}, r'\[0, 1\]'),
    ({'alpha': True}, 'type float'),
    ({'top_k': 2.5}, 'type int'),
    ({'top_k': True}, 'type int'),
    ({'relation': 1}, 'type bool'),
    ({'rules': 'other'}, 'one of paper, released'),
])
def test_what_does_not_fit_is_named(values, fragment):
    with pytest.raises(BadInputError, match=fragment):
        settings.from_mapping(Some, values)


def test_values_go_over_a_base_and_an_int_serves_as_float():
    base = settings.from_mapping(Some, {'top_k': 5})
    out = settings.from_mapping(Some, {'alpha': 1}, base)
    assert out == Some(alpha=1.0, top_k=5) and isinstance(out.alpha, float)


def test_command_line_assignments():
    assert settings.parse_assignments(Some, ['alpha=0.25', 'relation=off', 'rules=released']) == {
        'alpha': 0.25, 'relation': False, 'rules': 'released'}
    for bad in ('alpha', 'alpha=much', 'relation=perhaps', 'nothing=1'):
        with pytest.raises(BadInputError):
            settings.parse_assignments(Some, [bad])


def test_yaml_round_trip_and_errors(tmp_path):
    path = tmp_path / 'some.yaml'
    path.write_text(settings.to_yaml(Some, 'Settings of some method'))
    assert settings.load_yaml(Some, path) == Some()
    assert 'eq. 9' in path.read_text()
    path.write_text('alpha: 0.1\n')
    assert settings.load_yaml(Some, path).alpha == 0.1
    for text in ('- 1\n- 2\n', 'alpha: [\n', 'beta: 2\n'):
        path.write_text(text)
        with pytest.raises(BadInputError):
            settings.load_yaml(Some, path)
    with pytest.raises(BadInputError, match='cannot read'):
        settings.load_yaml(Some, tmp_path / 'absent.yaml')


@pytest.mark.parametrize('number', [1e-09, 2e16, 1e-5, 0.25, 3.0])
def test_numbers_of_any_size_are_read_back_as_numbers(number, tmp_path):
    """YAML takes 1e-09 for text."""
    pytest.importorskip('yaml')

    @dataclass(frozen=True)
    class Small:
        limit: float = settings.option(number, 'a number')

    Small.__annotations__['limit'] = float
    path = tmp_path / 'small.yaml'
    path.write_text(settings.to_yaml(Small, 'Small'))
    assert settings.load_yaml(Small, path) == Small()

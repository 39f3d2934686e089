from __future__ import annotations

import dataclasses

import pytest

from rmtl_jax import types
from rmtl_jax.config import prepare_settings

GROUPS = prepare_settings.AS_OF


@pytest.mark.parametrize(
  'changes, expected',
  [
    ({'split': (6, 2)}, 'split: '),
    ({'split': (6.0, 2, 2)}, 'split: '),
    ({'idle_minutes': float('nan')}, 'idle_minutes: nan is not between'),
    ({'min_count': 0}, 'min_count: 0 is not between 1 and'),
    ({'as_of': ('clicks',)}, 'as_of: '),
    ({'as_of': ('none', 'gap')}, "as_of: 'none' and gap: give one of the two"),
  ],
)
def test_settings_of_prepare_have_bounds(changes, expected):
  config = prepare_settings.PrepareConfig()
  assert prepare_settings.validate(config) == config
  with pytest.raises(types.InputError) as error:
    prepare_settings.validate(dataclasses.replace(config, **changes))
  assert str(error.value).startswith(expected)


@pytest.mark.parametrize(
  ('as_of', 'groups', 'auto'),
  [
    (('auto',), GROUPS, GROUPS),
    (('all',), GROUPS, ()),
    (('all', 'auto'), GROUPS, ()),
    (('rates', 'gap'), ('gap', 'rates'), ()),
    (('auto', 'gap'), GROUPS, GROUPS[1:]),
    (('none',), (), ()),
    ((), (), ()),
  ],
)
def test_the_groups_that_as_of_names(as_of, groups, auto):
  config = prepare_settings.validate(
    prepare_settings.PrepareConfig(as_of=as_of)
  )
  found = prepare_settings.as_of_groups(config)
  assert found == groups
  assert tuple(g for g in found if prepare_settings.is_auto(config, g)) == auto

from __future__ import annotations

import pathlib

import pytest

from experiments.spark import supported
from rmtl_jax import types
from rmtl_jax.preparation import schema as schema_lib

PLAIN = {
  'user': 'u',
  'item': 'i',
  'time': {'column': 't'},
  'categorical': ['u'],
  'tasks': [{'name': 'y', 'column': 'y', 'null': 'not_observed'}],
}
EVENTS = {'column': 'e', 'impressions': ['v'], 'labels': {'y': ['b']}}


def test_a_plain_schema_is_taken():
  supported.check(schema_lib.parse(PLAIN), 's', [pathlib.Path('log.csv.gz')])


@pytest.mark.parametrize(
  ('key', 'changes'),
  [
    ('categorical[0].null', {'categorical': [{'column': 'u', 'null': ['-1']}]}),
    ('from_time', {'from_time': ['hour']}),
    ('crossed', {'categorical': ['u', 'v'], 'crossed': [['u', 'v']]}),
    (
      'categorical[0].buckets',
      {'categorical': [{'column': 'u', 'buckets': 9}]},
    ),
    (
      'multi_valued[0].shares',
      {'multi_valued': [{'column': 'm', 'shares': 'u'}]},
    ),
    ('time.zone', {'time': {'column': 't', 'zone': 'Asia/Tokyo'}}),
    ('time.format', {'time': {'column': 't', 'format': '%d'}}),
    ('events', {'events': EVENTS, 'tasks': [{'name': 'y'}]}),
    ('tasks[0].time_column', {'tasks': [{'time_column': 'b'}]}),
    ('tasks[0].positive', {'tasks': [{'column': 'y', 'positive': ['yes']}]}),
    ('tasks[0].negative', {'tasks': [{'column': 'y', 'negative': ['no']}]}),
    ('tasks[0].at_least', {'tasks': [{'column': 'y', 'at_least': 4}]}),
  ],
)
def test_keys_that_are_refused(key, changes):
  with pytest.raises(types.InputError) as error:
    supported.check(schema_lib.parse(PLAIN | changes), 's')
  assert str(error.value) == (
    f's: {key}: the Spark job does not take it; rmtl prepare does'
  )


def test_zstd_is_refused():
  with pytest.raises(types.InputError, match='reads no zstd'):
    supported.check(schema_lib.parse(PLAIN), 's', [pathlib.Path('a.csv.zst')])

"""Columns that tell when a label became 1, on rows that are known by hand."""

import datetime
import json

import pytest

from rmtl_jax import types
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.preparation.guess import guess
from tests.preparation.guess import logs

N = 600
_FIRST = datetime.datetime(2024, 5, 1)
_IS_ONE = [int(i % 6 == 0) for i in range(N)]


def _iso(minutes):
  return str(_FIRST + datetime.timedelta(minutes=minutes))


def _times(nothing, form, delay=30, is_one=_IS_ONE):
  """Every tenth minute a row; the label's time comes so many minutes later."""
  return [
    form(10 * i + delay) if one else nothing for i, one in enumerate(is_one)
  ]


def _guess(tmp_path, form=_iso, labels=(), **columns):
  log = logs.write(
    tmp_path / 'log.csv',
    {
      'user': [f'u{i % 40}' for i in range(N)],
      'shown_at': [form(10 * i) for i in range(N)],
      'bought': _IS_ONE,
      'x': [f'c{i % 7}' for i in range(N)],
      **columns,
    },
  )
  return guess.guess(log, labels=labels)


def _seconds(minutes):
  return round(_FIRST.timestamp()) + 60 * minutes


@pytest.mark.parametrize(
  ('form', 'nothing', 'null'),
  [
    (_iso, '', {}),
    (_iso, 'NULL', {}),
    (_seconds, '', {}),
    (_seconds, -1, {'null': ['-1']}),
    (_seconds, 0, {'null': ['0']}),
  ],
)
def test_the_time_of_a_label_is_found(tmp_path, form, nothing, null):
  found = _guess(tmp_path, form, bought_at=_times(nothing, form))
  task = {'name': 'bought', 'time_column': {'column': 'bought_at', **null}}
  assert found.schema['tasks'] == [task]
  assert found.schema.get('missing', []) == (
    ['NULL'] if nothing == 'NULL' else []
  )
  roles = {one.name: one.role for one in found.columns}
  assert roles['bought'] == roles['bought_at'] == 'label'
  assert any('tells when, and known from then on' in n for n in found.notes)
  assert not any('known_after_seconds' in note for note in found.notes)
  schema = tmp_path / 'schema.json'
  schema.write_text(json.dumps(found.schema))
  (parsed,) = schema_lib.read(schema).tasks
  assert parsed.timed and parsed.column == 'bought_at'


def test_a_funnel_keeps_its_order(tmp_path):
  """Clicked every third row, and the label's time is in another's column."""
  clicked = [int(i % 3 == 0) for i in range(N)]
  found = _guess(
    tmp_path,
    clicked=clicked,
    clicked_at=_times('', _iso, 1, clicked),
    bought_at=_times('', _iso),
  )
  assert found.schema['tasks'] == [
    {'name': 'clicked', 'time_column': {'column': 'clicked_at'}},
    {
      'name': 'bought',
      'after': 'clicked',
      'time_column': {'column': 'bought_at'},
    },
  ]


def test_what_comes_late_is_for_a_person_to_decide(tmp_path):
  """60 minutes of 5,990 are a hundredth; two more are above it."""
  soon = _guess(tmp_path, bought_at=_times('', _iso, delay=59))
  assert 'time_column' in soon.schema['tasks'][0]
  late = _guess(tmp_path, bought_at=_times('', _iso, delay=61))
  assert late.schema['tasks'] == [{'name': 'bought', 'column': 'bought'}]
  (column,) = (one for one in late.columns if one.name == 'bought_at')
  assert column.role == 'leak'
  assert '"time_column" of bought it may tell when' in column.why


_LATER = _times('', _iso, 35)


@pytest.mark.parametrize(
  'columns',
  [
    {'bought_at': _times('', _iso, delay=-5)},
    {'bought_at': [_iso(10 * i + 1) if i in (0, 6) else '' for i in range(N)]},
    {'bought_at': [*_LATER[:1], _iso(12), *_LATER[2:]]},
    {'bought_at': _times('', _seconds)},
    {'bought_at': _times('', _iso), 'paid_at': _LATER},
  ],
  ids=['before its row', 'of few', 'of another row', 'another form', 'two'],
)
def test_what_does_not_surely_tell_is_left_out(tmp_path, columns):
  found = _guess(tmp_path, **columns)
  assert found.schema['tasks'] == [{'name': 'bought', 'column': 'bought'}]
  roles = {one.name: one.role for one in found.columns}
  assert {roles[name] for name in columns} <= {'leak', 'left out'}


@pytest.mark.parametrize(('form', 'nothing'), [(_iso, ''), (_seconds, -1)])
def test_times_alone_are_labels(tmp_path, form, nothing):
  """Of a log without others; `left_at` is not named like a label."""
  clicked = [int(i % 3 == 0) for i in range(N)]
  columns = {
    'bought': ['b'] * N,
    'bought_at': _times(nothing, form),
    'clicked_at': _times(nothing, form, 1, clicked),
    'left_at': _times(nothing, form, 5),
  }
  found = _guess(tmp_path, form, **columns)
  null = {'null': ['-1']} if nothing == -1 else {}
  clicks = {'column': 'clicked_at', **null}
  buys = {'column': 'bought_at', **null}
  assert found.schema['tasks'] == [
    {'name': 'clicked_at', 'time_column': clicks},
    {'name': 'bought_at', 'after': 'clicked_at', 'time_column': buys},
  ]
  assert not found.problem
  roles = {one.name: one.role for one in found.columns}
  assert roles['left_at'] in ('leak', 'left out')
  columns['clicked_at'][2] = form(5)  # before its row
  (task,) = _guess(tmp_path, form, **columns).schema['tasks']
  assert task['name'] == 'bought_at'


@pytest.mark.parametrize('name', ['dwell_seconds', 'rating'])
def test_times_come_before_what_they_led_to_but_a_rating(tmp_path, name):
  clicked = [int(i % 3 == 0) for i in range(N)]
  numbers = [str(1 + i % 5) if one else '' for i, one in enumerate(clicked)]
  found = _guess(
    tmp_path,
    **{
      'bought': ['b'] * N,
      'clicked_at': _times('', _iso, 1, clicked),
      name: numbers,
    },
  )
  roles = {one.name: one for one in found.columns}
  if name == 'rating':
    assert roles['rating'].role == 'label'
    return
  (task,) = found.schema['tasks']
  assert task['time_column'] == {'column': 'clicked_at'}
  assert roles[name].role == 'leak'
  assert 'could be a task of kind' in roles[name].why


@pytest.mark.parametrize(('form', 'nothing'), [(_iso, ''), (_seconds, 0)])
def test_a_time_may_be_named_as_a_label(tmp_path, form, nothing):
  columns = {'left_at': _times(nothing, form, 5)}
  found = _guess(tmp_path, form, ('left_at', 'bought'), **columns)
  null = {} if form is _iso else {'null': ['0']}
  told = {'column': 'left_at', **null}
  assert {t['name']: t.get('time_column') for t in found.schema['tasks']} == {
    'left_at': told,
    'bought': None,
  }
  assert not found.problem


@pytest.mark.parametrize('left_at', ['before its row', 'of all rows'])
def test_a_time_that_tells_no_label_is_refused_as_one(tmp_path, left_at):
  times = _times('', _iso, 5)
  if left_at == 'of all rows':
    times = _times('', _iso, 5, [1] * N)
  else:
    times[6] = _iso(5)
  with pytest.raises(types.InputError, match=r"^--label: column 'left_at' hol"):
    _guess(tmp_path, labels=('left_at',), left_at=times)

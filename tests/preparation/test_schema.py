from __future__ import annotations

import json
import re

import pytest

from rmtl_jax import types
from rmtl_jax.preparation import schema


def minimal(**changes):
  record = {
    'user': 'u',
    'time': {'column': 't'},
    'categorical': ['u'],
    'tasks': [{'column': 'y'}],
  }
  return record | changes


def test_documented_example():
  text = schema.__doc__ or ''
  record = json.loads(text[text.index('{') : text.index('\n\nAn entry')])
  found = schema.parse(record)
  keys = (found.session, found.user, found.item)
  assert keys == (None, 'customer', 'article')
  assert (found.time, found.clock.unit, found.delimiter) == (
    'shown_at',
    'ms',
    '',
  )
  assert [(f.name, f.kind, f.column, f.transform) for f in found.fields] == [
    ('customer', 'categorical', 'customer', ''),
    ('article', 'categorical', 'article', ''),
    ('page', 'categorical', 'page', ''),
    ('tags', 'multi_valued', 'tags', ''),
    ('price', 'numeric', 'price', 'log1p'),
  ]
  assert found.fields[3].details == {'separator': '|'}
  assert [
    (t.name, t.column, t.after, t.known_after_ms) for t in found.tasks
  ] == [('click', 'clicked', None, 0), ('conversion', 'bought', 'click', None)]
  assert found.categorical_of('article') == 'article'
  assert found.categorical_of('price') is None
  assert found.categorical_of(None) is None


@pytest.mark.parametrize(
  ('record', 'line'),
  [
    ([], 's: expected a JSON object'),
    (minimal(time={'column': 't', 'unit': 'h'}), "s: time.unit: 'h' is not"),
    (minimal(time={}), 's: time.column: missing'),
    (minimal(usr='u'), 's: usr: no such setting (did you mean user?)'),
    (minimal(tasks=[]), 's: tasks: expected at least one'),
    (minimal(tasks=[{'name': 'y'}]), 's: tasks[0].column: missing'),
    (
      minimal(tasks=[{'column': 'y', 'after': 'x'}]),
      "s: tasks[0].after: 'x' is not a task listed before",
    ),
    (
      minimal(numeric=['y']),
      "s: column 'y' is a feature and the label of 'y'",
    ),
    (minimal(categorical=['t']), "s: column 't' is named as a key"),
    *(
      (minimal(categorical=[{'column': 'u', 'name': name}]), 'name no file')
      for name in ('a b', '../x', '\ud800', '户' * 34)
    ),
    (
      minimal(numeric=[{'column': 'n', 'transform': 'bins', 'bins': 1}]),
      's: numeric[0].bins: found 1, expected a whole number from 2 to 1000',
    ),
  ],
)
def test_faults_name_the_key(record, line):
  with pytest.raises(types.InputError, match=re.escape(line)) as caught:
    schema.parse(record, 's')
  assert '\n' not in str(caught.value)


def test_what_stands_for_nothing():
  record = minimal(
    user={'column': 'u', 'null': ['-1']},
    session={'column': 's', 'null': ['x']},
    numeric=[{'column': 'n', 'null': ['', '0']}],
    missing=['NULL'],
    tasks=[{'column': 'y', 'null': ['-1']}, {'column': 'z', 'null': ['']}],
    from_time=['weekday'],
  )
  found = schema.parse(record)
  assert (found.user, found.session) == ('u', 's')
  assert found.nulls == {'u': ('-1',), 's': ('x',), 'n': ('0',), 'y': ('-1',)}
  assert [task.nullable for task in found.tasks] == [True, True]
  assert [f.name for f in found.fields] == ['u', 'weekday', 'n']
  assert found.missing_in('n').texts == ('NULL',)
  assert found.missing_in('n').numbers == [0.0]


EVENTS = {'column': 'e', 'impressions': ['v'], 'labels': {'y': ['b']}}


def of_events(**changes):
  record = {'item': 'i', 'events': EVENTS, 'tasks': [{'name': 'y'}]}
  return minimal(**record | changes)


def test_events():
  found = schema.parse(of_events())
  assert found.events.kinds == ('v', 'b')
  assert [(t.timed, t.clock, t.column) for t in found.tasks] == [
    (True, None, 'e')
  ]

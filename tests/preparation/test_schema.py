from __future__ import annotations

import json
import pathlib
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


def documented():
  """The example of the module's docstring."""
  text = schema.__doc__ or ''
  return json.loads(text[text.index('{') : text.index('\n\n`session`')])


def test_documented_example():
  found = schema.parse(documented())
  assert (found.session, found.user, found.item, found.domain) == (
    'visit_id',
    'customer',
    'article',
    'page',
  )
  assert (found.time, found.unit, found.delimiter) == ('shown_at', 'ms', ',')
  assert [(f.name, f.kind, f.column) for f in found.fields] == [
    ('customer', 'categorical', 'customer'),
    ('article', 'categorical', 'article'),
    ('page', 'categorical', 'page'),
    ('department', 'categorical', 'Shop Department'),
    ('tags', 'multi_valued', 'tags'),
    ('price', 'numeric', 'price'),
    ('age', 'numeric', 'age'),
    ('discount', 'numeric', 'discount'),
  ]
  assert found.fields[4].details == {'separator': '|'}
  assert [(f.transform, f.bins) for f in found.fields[5:]] == [
    ('log1p', 0),
    ('bins', 10),
    ('standard', 0),
  ]
  assert [(t.name, t.column, t.after) for t in found.tasks] == [
    ('click', 'clicked', None),
    ('conversion', 'bought', 'click'),
  ]
  assert [t.known_after_ms for t in found.tasks] == [0, None]
  assert found.categorical_of('article') == 'article'
  assert found.categorical_of('price') is None
  assert found.categorical_of(None) is None


@pytest.mark.parametrize(
  'record',
  [
    minimal(),
    documented(),
    minimal(tasks=[{'column': 'y', 'known_after_seconds': 0.0015}]),
  ],
)
def test_round_trip(record):
  found = schema.parse(record)
  again = json.loads(json.dumps(found.to_dict()))
  assert schema.parse(again) == found


@pytest.mark.parametrize(('seconds', 'ms'), [(0, 0), (1.5, 1500), (None, None)])
def test_known_after_seconds(seconds, ms):
  task = {'column': 'y', 'known_after_seconds': seconds}
  found = schema.parse(minimal(tasks=[task]))
  assert found.tasks[0].known_after_ms == ms


def test_defaults():
  found = schema.parse(minimal())
  assert (found.unit, found.session, found.tasks[0].name) == ('ms', None, 'y')


@pytest.mark.parametrize(
  ('record', 'line'),
  [
    ([], 's: expected a JSON object'),
    (minimal(time=None), 's: time: expected a JSON object'),
    (minimal(time={'column': 't', 'unit': 'h'}), "s: time.unit: 'h' is not"),
    (minimal(time={}), 's: time.column: missing'),
    (minimal(usr='u'), 's: usr: no such setting (did you mean user?)'),
    (minimal(user=3), 's: user: found 3, expected text'),
    (minimal(domain='t'), "s: domain: 't' is the column of no categorical"),
    (minimal(tasks=[]), 's: tasks: expected at least one'),
    (minimal(tasks={}), 's: tasks: expected a list'),
    (minimal(tasks=[{'name': 'y'}]), 's: tasks[0].column: missing'),
    (
      minimal(tasks=[{'column': 'y', 'after': 'x'}]),
      "s: tasks[0].after: 'x' is not a task listed before",
    ),
    *(
      (
        minimal(tasks=[{'column': 'y', 'known_after_seconds': value}]),
        f's: tasks[0].known_after_seconds: found {value!r}, expected a number'
        ' from 0 to 1000000000',
      )
      for value in (-1, 1e10, float('nan'), True, '5')
    ),
    (minimal(tasks=['y', 'y']), "s: tasks[1].task 'y' stands twice"),
    (minimal(tasks=['y', 'Y']), "s: tasks[1].task 'Y' stands twice"),
    (minimal(categorical=[]), 's: expected at least one categorical'),
    (minimal(categorical=['u', 'u']), "s: field 'u' stands twice"),
    (
      minimal(numeric=['y']),
      "s: column 'y' is a feature and the label of 'y'",
    ),
    (minimal(numeric=['u']), "s: column 'u' is named as a key or category"),
    (minimal(categorical=['t']), "s: column 't' is named as a key"),
    (
      minimal(categorical=['u', 'a b']),
      "s: categorical[1].name: 'a b' can name no file",
    ),
    (minimal(categorical=['u', '../x']), 'can name no file'),
    (
      minimal(numeric=[{'column': 'n', 'transform': 'log'}]),
      "s: numeric[0].transform: 'log' is not one of standard, log1p, bins",
    ),
    (
      minimal(numeric=[{'column': 'n', 'transform': 'bins', 'bins': 1}]),
      's: numeric[0].bins: found 1, expected a number from 2 to 1000',
    ),
    (
      minimal(numeric=[{'column': 'n', 'transfrom': 'bins'}]),
      's: numeric[0].transfrom: no such setting (did you mean transform?)',
    ),
    (minimal(delimiter='::'), "s: delimiter: '::' is not one character"),
    (minimal(missing='NULL'), 's: missing: expected a list'),
    (minimal(missing=['']), "s: missing: found '', expected text"),
    (minimal(missing=['-1']), "s: missing: '-1' is a number, expected other"),
    (minimal(missing=['a,b']), "s: missing: 'a,b' has a delimiter, a quote or"),
  ],
)
def test_faults_name_the_key(record, line):
  with pytest.raises(types.InputError, match=re.escape(line)) as caught:
    schema.parse(record, 's')
  assert '\n' not in str(caught.value)


def test_read_names_the_row_of_broken_json(tmp_path):
  path = tmp_path / 's.json'
  path.write_text('{\n  "user": \n}')
  with pytest.raises(types.InputError, match=r's\.json: row 3: not valid JSON'):
    schema.read(path)


def test_read_missing_file():
  with pytest.raises(types.InputError, match=r'nowhere\.json: not found'):
    schema.read(pathlib.Path('nowhere.json'))


def test_read_takes_a_byte_order_mark(tmp_path):
  path = tmp_path / 's.json'
  path.write_text('\ufeff' + json.dumps(minimal()), encoding='utf-8')
  assert schema.read(path) == schema.parse(minimal())


@pytest.mark.parametrize('part', ['categorical', 'numeric', 'tasks'])
def test_many_entries_take_as_long_as_they_are_long(part):
  """50,000 of them would take a minute and more in quadratic time."""
  record = minimal()
  record[part] = [
    *record.get(part, []),
    *({'name': f'z{i}', 'column': f'z{i}'} for i in range(50_000)),
  ]
  parsed = schema.parse(record)
  assert len(parsed.fields) + len(parsed.tasks) > 50_000

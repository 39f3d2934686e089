"""Few rows, encoded in memory, against the query, bit by bit."""

import datetime
import math

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.raw import times as raw_times
from rmtl_jax.serving import (
  encoder,
  lookup,
  notes,
  raw_rows,
)
from tests import tiers

_WORDS = {
  'item': ['7', 'b', '118', '-nan', '', ' b ', 'true', '2.5', '1e+16'],
  'tags': ['x', '7', 'y z', '2.5', 'nan'],
  'hour': ['0', '1', '23', '13'],
  'weekday': ['3', '0', '6'],
}
_SCHEMA = {
  'session': 'visit',
  'item': 'item',
  'time': {'column': 'time'},
  'from_time': ['hour', 'weekday'],
  'missing': ['-', 'none'],
  'categorical': ['item'],
  'multi_valued': [{'column': 'tags', 'separator': '|'}, 'seen'],
  'numeric': [
    {'column': 'age', 'transform': 'bins'},
    {'column': 'price', 'transform': 'log1p'},
    'weight',
  ],
  'tasks': [{'name': 'click', 'column': 'click'}],
}


def _part(name):
  return {'column': 'time', 'side': '', 'from_time': name}


_FIELDS = (
  manifest_lib.Field('item', 'categorical', 10),
  manifest_lib.Field(
    'age',
    'categorical',
    6,
    details={'transform': 'bins', 'edges': [-1.5, 0.0, 20, 2**53 + 1]},
  ),
  manifest_lib.Field('hour', 'categorical', 5, details=_part('hour')),
  manifest_lib.Field('weekday', 'categorical', 4, details=_part('weekday')),
  manifest_lib.Field('tags', 'multi_valued', 6, 2, details={'separator': '|'}),
  manifest_lib.Field('seen', 'multi_valued', 10, 2, vocabulary_owner='item'),
  manifest_lib.Field(
    'price',
    'numeric',
    details={'transform': 'log1p', 'mean': 1.1, 'deviation': 0.7},
  ),
  manifest_lib.Field(
    'weight',
    'numeric',
    details={
      'transform': 'standard',
      'mean': -3,
      'deviation': 1e-9,
      'missing': True,
    },
  ),
)
# Declared values that stand for nothing, by column.
_NULLS = {
  'item': ['7', 'true', '-nan', '118'],
  'tags': ['x', '7'],
  'seen': ['b'],
  'age': ['0', '20', 'nan'],
  'price': ['-1', '0.1', '2.5'],
  'weight': ['118', '2.50', 'inf', 'true', '-'],
}


def _schema(nulls):
  schema = dict(_SCHEMA)
  for kind in manifest_lib.KINDS:
    entries = [
      e if isinstance(e, dict) else {'column': e} for e in schema[kind]
    ]
    schema[kind] = [e | {'null': nulls.get(e['column'], [])} for e in entries]
  return schema


@pytest.fixture(scope='module')
def model(tmp_path_factory):
  return _model(tmp_path_factory.mktemp('lookup'), {})


@pytest.fixture(
  scope='module', params=tiers.some([{}, _NULLS], [_NULLS]), ids=['', 'nulls']
)
def any_model(request, tmp_path_factory):
  return _model(tmp_path_factory.mktemp('lookup'), request.param)


def _model(directory, nulls, clock=None):
  (directory / 'vocabulary').mkdir()
  for name, words in _WORDS.items():
    pq.write_table(
      pa.table({'value': [None, *words], 'count': [1] * (1 + len(words))}),
      directory / 'vocabulary' / f'{name}.parquet',
    )
  split = manifest_lib.Split(0, 0, (), {'click': 0})
  return encoder.Encoder(
    directory,
    manifest_lib.Manifest(
      source='table',
      fields=_FIELDS,
      tasks=(manifest_lib.Task('click'),),
      splits=dict.fromkeys(manifest_lib.SPLITS, split),
      options={'schema': _schema(nulls) | (clock or {})},
    ),
  )


_ODD_TEXT = (
  *('7', '7.0', 'b', ' b ', '', ' ', '-', 'none', ' - ', '118.0', '-0.0'),
  *('nan', '-nan', 'NaN', 'inf', '-Infinity', '1e5', '1E5', '1e-400', '1e400'),
  *('007', '+1', '1.', '.5', '-', '0x1A', '1_000', '1,5', '\t7', '7\n', '7\0'),
  *(f'{chr(n)}7' for n in (0xA0, 0x180E, 0x2007, 0x200B, 0x3000, 0x85)),
  *('\u2028x', '\u0663', 'x|y z|', '|', '| x |-|x', 'x|none|y', '2.50'),
  *('123456789012345678901234567890', '0.1', '1e+16', '1e16', 'true'),
)
_TEXT = st.sampled_from(_ODD_TEXT) | st.text(max_size=6)
_ODD_FLOATS = (
  *(118.0, 7.0, -0.0, 2.5, math.nan, -math.nan, math.inf, -1.0, -1.5, 20.0),
  *(2.0**53, 2.0**53 - 1, 2.0**24, 1e15, 1e16, 1e17, 1e-4, 1e-5, 1e30, 1.1e30),
  *(123456789.125, 5e-324, -0.9999999999999999),
)
_DOUBLES = st.sampled_from(_ODD_FLOATS) | st.floats() | st.floats(-2.0, 50.0)
_SINGLES = st.sampled_from(_ODD_FLOATS) | st.floats(width=32)
_VALUES = (
  (pa.string(), _TEXT),
  (pa.large_string(), _TEXT),
  (pa.float64(), _DOUBLES),
  (pa.float32(), _SINGLES),
  (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 130)),
  (pa.uint64(), st.integers(0, 2**64 - 1)),
  (pa.int8(), st.integers(-128, 127)),
  (pa.bool_(), st.booleans()),
  (pa.null(), st.none()),
  (pa.decimal128(10, 2), st.integers(-999, 999)),
  (pa.timestamp('ms'), st.integers(0, 2**40)),
  (pa.date32(), st.integers(0, 20_000)),
)
_ROWS = 3


def _array(kind, values):
  if pa.types.is_floating(kind):
    width = np.float32 if kind == pa.float32() else np.float64
    mask = np.array([v is None for v in values], bool)
    with np.errstate(all='ignore'):
      numbers = np.array([0.0 if v is None else v for v in values], width)
    return pa.array(numbers, kind, mask=mask)
  return pa.array(values, kind)


@st.composite
def _single(draw):
  """A column of single values."""
  kind, values = draw(st.sampled_from(_VALUES))
  drawn = draw(st.lists(st.none() | values, min_size=_ROWS, max_size=_ROWS))
  column = _array(kind, drawn)
  if kind == pa.string() and draw(st.booleans()):
    return column.dictionary_encode()
  return column


@st.composite
def _lists(draw):
  """A column of lists, some of them missing."""
  kind, values = draw(st.sampled_from(_VALUES))
  drawn = draw(
    st.lists(
      st.none() | st.lists(st.none() | values, max_size=4),
      min_size=_ROWS,
      max_size=_ROWS,
    )
  )
  flat = _array(kind, [v for one in drawn for v in one or []])
  offsets = np.cumsum([0, *(len(one or []) for one in drawn)])
  starts = pa.array(
    [None if n else int(at) for n, at in _missing_starts(drawn, offsets)],
    pa.int32(),
  )
  return pa.ListArray.from_arrays(starts, flat)


def _missing_starts(drawn, offsets):
  return [
    *((one is None, at) for one, at in zip(drawn, offsets, strict=False)),
    (False, offsets[-1]),
  ]


def _chunk(columns):
  table = pa.table(columns)
  return raw_rows.Chunk(table, 'log.parquet', range(1, 1 + table.num_rows))


def _encoded(model, chunk):
  """Inputs and counts, or the error."""
  told = notes.Notes()
  try:
    return model.encode(chunk, told), told.fields
  except types.InputError as error:
    return str(error)


def _bits(inputs):
  return [(x.dtype, x.shape, x.tobytes()) for x in inputs[:3]]


def _check(model, monkeypatch, columns):
  chunk = _chunk(columns)
  with monkeypatch.context() as patch:
    few = _encoded(model, chunk)
    patch.setattr(encoder, '_FEW_ROWS', 0)
    many = _encoded(model, chunk)
  if isinstance(many, str):
    assert few == many and '\n' not in many
  else:
    assert _bits(few[0]) == _bits(many[0])
    assert few[1] == many[1]
  return few


_PLAIN = {
  'item': pa.array(['7', 'new', None]),
  'age': pa.array([19.0, 20.0, None]),
  'tags': pa.array(['y z|x|x', '', None]),
  'seen': pa.array([['7', 'new', 'b', '118'], [], None]),
  'price': pa.array(['0', '2.5', ' ']),
  'weight': pa.array([1, None, -3]),
  'time': pa.array([0, 23 * 3_600_000, None]),
}


@pytest.mark.parametrize('examples', tiers.examples(10, 100))
def test_both_paths_agree(any_model, examples):
  tiers.check(_both_paths_agree, examples, st.data(), any_model=any_model)


def _both_paths_agree(any_model, data):
  """Any values in one column, and plain ones in the others."""
  name = data.draw(st.sampled_from(sorted(_PLAIN)))
  column = data.draw(_lists() if name == 'seen' else _single() | _lists())
  with pytest.MonkeyPatch.context() as patch:
    _check(any_model, patch, _PLAIN | {name: column})


@hypothesis.settings(deadline=None)
@hypothesis.given(
  local=st.datetimes(
    datetime.datetime(1970, 1, 2), datetime.datetime(2083, 1, 1)
  ),
  zone=st.sampled_from(('UTC', 'Europe/Berlin', 'Asia/Kolkata')),
  form=st.sampled_from(('text', 's', 'ms', 'us', 'ns')),
  offset=st.sampled_from(('', 'Z', '+05:30', '-11:00')),
  separator=st.sampled_from(' T'),
)
def test_times_are_read_as_by_the_query(local, zone, form, offset, separator):
  """Within a day of a change of the clocks it is left to the query."""
  if form == 'text':
    text = local.isoformat(separator, 'microseconds') + offset
    column = pa.array([text])
  else:
    kind = pa.timestamp(form, 'UTC' if offset else None)
    column = pa.array([local], pa.timestamp('us')).cast(kind, safe=False)
  clock = raw_times.Time('iso', zone)
  with sql.connect(threads=1) as connection:
    connection.register('given', pa.table({'t': column}))
    query = f'SELECT {clock.ms("t", column.type)} FROM given'
    expected = connection.execute(query).fetchone()
  try:
    assert lookup.milliseconds(column, clock) == [*expected]
  except lookup.Undecided:
    assert zone == 'Europe/Berlin'

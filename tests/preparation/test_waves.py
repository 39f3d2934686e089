"""Logs of few times, such as panels: which split gives train rows a past."""

from __future__ import annotations

import pytest

from tests.preparation import raw_files

PEOPLE = 40


def _run(tmp_path, times, unit, **options):
  """People who are asked at every time; half of them always say yes."""
  log = ['who,at,yes']
  log += [f'{i},{time},{i % 2}' for time in times for i in range(PEOPLE)]
  schema = {
    'user': 'who',
    'time': {'column': 'at', **unit},
    'categorical': ['who'],
    'tasks': ['yes'],
  }
  path = raw_files.write_schema(tmp_path / 'schema.json', schema)
  return raw_files.run_table(
    tmp_path, log, schema=path, as_of=('auto',), **options
  )


def _told(manifest):
  return [w for w in manifest.report['warnings'] if 'of one time' in w]


@pytest.mark.parametrize(
  ('times', 'unit'),
  [
    (('2020-01-01', '2022-01-01', '2024-01-01'), {'unit': 'iso'}),
    (
      ('2020-01-01T08:00:00.25+00', '2022-01-01', '2024-01-01'),
      {'unit': 'iso'},
    ),
    (('1600000000', '1650000000.5', '1700000000'), {'unit': 's'}),
    (
      ('1600000000000001', '1650000000000000', '1700000000000000'),
      {'unit': 'us'},
    ),
    (('1600000000000', '1650000000000', '1700000000000'), {'unit': 'ms'}),
  ],
)
def test_what_is_told_gives_train_rows_a_past(tmp_path, times, unit):
  manifest = _run(tmp_path / 'one', times, unit)
  assert 'as_of' not in manifest.options
  (told,) = _told(manifest)
  values = (f'train={times[0]}', f'train={times[1]}', f'test={times[2]}')
  assert f'With --split_column=at --split_values={",".join(values)} ' in told
  manifest = _run(
    tmp_path / 'two', times, unit, split_column='at', split_values=values
  )
  assert manifest.options['as_of'] == ['counts', 'rates', 'recency']
  assert not _told(manifest)
  rows = {name: split.rows for name, split in manifest.splits.items()}
  assert rows == {'train': 72, 'validation': 8, 'test': 40}


def test_a_pattern_s_text_is_not_known(tmp_path):
  times = ('01.01.2020', '01.01.2022', '01.01.2024')
  (told,) = _told(_run(tmp_path, times, {'format': '%d.%m.%Y'}))
  assert '--split_values=train=FIRST,train=SECOND,test=LAST' in told


def test_more_times_in_train_are_enough(tmp_path):
  times = [f'{year}-01-01' for year in range(2018, 2024)]
  manifest = _run(tmp_path / 'six', times, {'unit': 'iso'})
  assert manifest.options['as_of'] and not _told(manifest)
  # Two times leave train one whatever the split.
  assert not _told(
    _run(
      tmp_path / 'given',
      times,
      {'unit': 'iso'},
      split_column='at',
      split_values=('train=2018-01-01', *(f'test={t}' for t in times[1:])),
    )
  )

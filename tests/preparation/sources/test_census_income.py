from __future__ import annotations

import pytest

from rmtl_jax import json_files
from rmtl_jax.preparation import sources
from tests.preparation import raw_files

LOG = json_files.read(sources.PUBLIC / 'census_income.json')['raw']['log']

RICH, POOR = '50000+.', '- 50000.'
SINGLE, MARRIED = 'Never married', 'Married-civilian spouse present'


def person(income=POOR, marital=SINGLE, **changes):
  """A line, with a space behind each comma, as the files have it."""
  values = {name: f'{name} a' for name in LOG['header']}
  values |= {
    'age': 38,
    'wage_per_hour': 6,
    'capital_gains': 0,
    'capital_losses': 0,
    'dividends': 0,
    'employer_size': 2,
    'weeks_worked': 12,
    'instance_weight': 1032.38,
    'marital_status': marital,
    'income': income,
  }
  return ', '.join(str(value) for value in (values | changes).values())


def people(count):
  return [
    person(
      [POOR, RICH][i % 4 == 0],
      [MARRIED, SINGLE][i % 3 == 0],
      age=i,
      education=f'e{i % 3}',
    )
    for i in range(count)
  ]


def write(tmp_path, train=(), test=(), end=''):
  raw_dir = tmp_path / 'raw'
  if train:
    raw_files.write(raw_dir / f'census-income.data{end}', train)
  if test:
    raw_files.write(raw_dir / f'census-income.test{end}', test)
  return raw_dir


def read(raw_dir):
  return raw_files.read_source('census_income', raw_dir)


def test_labels_features_and_the_official_split(tmp_path):
  train = [person(RICH, MARRIED), person(POOR, SINGLE, migration_msa='?')]
  table, rows = read(write(tmp_path, train, [person(RICH, SINGLE, age=7)]))
  assert [row['y_income'] for row in rows] == [1, 0, 1]
  assert [row['y_never_married'] for row in rows] == [0, 1, 1]
  assert [row['split'] for row in rows] == [0, 0, 2]
  assert [row['x_age'] for row in rows] == [38, 38, 7]
  assert [row['f_migration_msa'] for row in rows] == [
    'migration_msa a',
    None,
    'migration_msa a',
  ]
  names = {field.name for field in table.fields}
  # 42 columns but the weight and the two of labels.
  assert len(names) == 39
  assert not names & {'marital_status', 'income', 'instance_weight'}
  assert table.warnings == ()


def test_one_file_alone_is_split_at_random(tmp_path):
  raw_dir = write(tmp_path, test=people(40), end='.gz')
  manifest = raw_files.run(tmp_path, 'census_income', raw_dir)
  assert manifest.options['split_by'] == 'random'
  assert [s.rows for s in manifest.splits.values()] == [24, 8, 8]
  assert manifest.report['warnings'][0].startswith(
    'no census-income.data: rows of census-income.test.gz alone are split'
  )


def test_prepared_by_the_official_split(tmp_path):
  raw_dir = write(tmp_path, people(40), people(12))
  manifest = raw_files.run(tmp_path, 'census_income', raw_dir)
  assert [s.rows for s in manifest.splits.values()] == [36, 4, 12]
  assert manifest.splits['test'].positives == {
    'income': 3,
    'never_married': 4,
  }


@pytest.mark.parametrize(
  'line, words',
  [
    (person('50000'), ("'income'", "' 50000'", '50000+.')),
    (person(marital='Single'), ("'marital_status'", 'Never married')),
    (person(age='old'), ("'age'", 'a number')),
    (person(dividends=-1), ("'dividends'", 'above -1')),
    ('38, Private', ('2 values, expected 42',)),
  ],
)
def test_faults_are_named(tmp_path, line, words):
  raw_dir = write(tmp_path, [person(), line], [person()])
  raw_files.fails(
    tmp_path, lambda: read(raw_dir), 'census-income.data', 'row 2', *words
  )

from __future__ import annotations

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

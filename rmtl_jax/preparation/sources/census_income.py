"""Reads Census-Income (KDD) of UCI: two tasks, no time and no sessions.

`census-income.data` (train) and `census-income.test` (test), plain or gzipped,
without a header. Tasks: income above 50,000, and never married; the marital
status is then no feature, and the instance weight is none either. Where one of
the two files is missing, the rows of the other are split at random, which is
not the official split.
"""

from __future__ import annotations

import pathlib

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.sources import official

NAMES = (
  *('age', 'class_of_worker', 'industry_code', 'occupation_code', 'education'),
  *('wage_per_hour', 'enrolled_last_week', 'marital_status', 'major_industry'),
  *('major_occupation', 'race', 'hispanic_origin', 'sex', 'union_member'),
  *('unemployment_reason', 'employment', 'capital_gains', 'capital_losses'),
  *('dividends', 'tax_filer', 'previous_region', 'previous_state'),
  *('household_detail', 'household_summary', 'instance_weight'),
  *('migration_msa', 'migration_region', 'migration_within_region'),
  *('same_house_a_year_ago', 'migration_sunbelt', 'employer_size'),
  *('parents_present', 'father_birth_country', 'mother_birth_country'),
  *('birth_country', 'citizenship', 'own_business', 'veterans_questionnaire'),
  *('veterans_benefits', 'weeks_worked', 'year', 'income'),
)
# Money is heavy-tailed: most people have none.
_NUMERIC = {
  'age': 'standard',
  'wage_per_hour': 'log1p',
  'capital_gains': 'log1p',
  'capital_losses': 'log1p',
  'dividends': 'log1p',
  'employer_size': 'standard',
  'weeks_worked': 'standard',
}
_NO_FEATURES = ('marital_status', 'instance_weight', 'income')
_CATEGORICAL = tuple(
  name for name in NAMES if name not in (*_NUMERIC, *_NO_FEATURES)
)
_INCOMES = {'- 50000.': 0, '50000+.': 1}
_MARITAL = (
  'Never married',
  'Married-civilian spouse present',
  'Married-spouse absent',
  'Married-A F spouse present',
  'Separated',
  'Divorced',
  'Widowed',
)
_FILES = ('census-income.data', 'census-income.test')
_WHAT = 'a directory with census-income.data and census-income.test'


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Reads the two files, or the one that is there."""
  del options
  found = [official.find_file(raw_dir, name, _WHAT) for name in _FILES]
  paths = [path for path in found if path]
  if not paths:
    raise types.InputError(f'{raw_dir}: no {" or ".join(_FILES)}')
  is_whole = len(paths) == len(_FILES)
  table = _load(connection, paths)
  columns = {
    'row_id': 'rowid',
    'session': 'NULL',
    'user': 'NULL',
    'timestamp': '0::BIGINT',
    **({'split': official.split_sql(table)} if is_whole else {}),
    **{f'f_{name}': _text(name) for name in _CATEGORICAL},
    **{f'x_{name}': name for name in _NUMERIC},
    'y_income': "(trim(income) = '50000+.')::DOUBLE",
    'y_never_married': f"(trim(marital_status) = '{_MARITAL[0]}')::DOUBLE",
  }
  missing = [name for name, path in zip(_FILES, found, strict=True) if not path]
  return source.SourceTable(
    view=source.make_view(connection, columns, table.name),
    fields=(
      *(source.SourceField(name, 'categorical') for name in _CATEGORICAL),
      *(
        source.SourceField(name, 'numeric', transform=transform)
        for name, transform in _NUMERIC.items()
      ),
    ),
    tasks=(
      source.SourceTask('income', None, 'income'),
      source.SourceTask('never_married', None, 'marital_status'),
    ),
    table=table,
    files=tuple(paths),
    has_user=False,
    has_time=False,
    has_split=is_whole,
    warnings=tuple(
      f'no {name}: rows of {paths[0].name} alone are split, at random, so'
      ' results are not those of the official split'
      for name in missing
    ),
  )


def _load(
  connection: sql.Connection, paths: list[pathlib.Path]
) -> raw.RawTable:
  """Reads the files and checks what labels are made of."""
  kinds = {
    name: 'DOUBLE' if name in _NUMERIC else 'VARCHAR'
    for name in NAMES
    if name != 'instance_weight'
  }
  table = raw_csv.load(connection, paths, kinds, names=NAMES)
  faults: list[raw.Fault] = [
    (
      name,
      f'{name} IS NULL OR trim({name}) NOT IN'
      f' ({", ".join(map(sql.literal, values))})',
      f'one of {", ".join(values)}',
    )
    for name, values in (('marital_status', _MARITAL), ('income', _INCOMES))
  ]
  raw.check(connection, table, faults)
  return table


def _text(name: str) -> str:
  """SQL of a value; `?` stands for a missing one."""
  return f"nullif(nullif(trim({name}), '?'), '')"

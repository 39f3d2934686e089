"""A part of a log, as if it had begun and ended there."""

from __future__ import annotations

import pytest

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import contract
from tests.preparation import raw_files

HOUR = 3_600_000
SCHEMA = raw_files.SCHEMA | {
  'tasks': [{'name': 'click', 'column': 'clicked', 'known_after_seconds': 7200}]
}


def run(tmp_path, **options):
  """Rows of 40 users, one an hour from 1970-01-01 on."""
  lines = [f'u{i},i{i % 3},{i * HOUR},{i},{i % 2},0' for i in range(40)]
  schema = raw_files.write_schema(tmp_path / 'schema.json', SCHEMA)
  return raw_files.run_table(
    tmp_path, [raw_files.HEADER, *lines], schema=schema, **options
  )


def hours(tmp_path):
  return sorted(row['timestamp'] // HOUR for row in raw_files.read(tmp_path))


@pytest.mark.parametrize('by', ['time', 'random', 'user'])
def test_no_row_and_no_label_reaches_the_end(tmp_path, by):
  manifest = run(
    tmp_path,
    split_by=by,
    since='1970-01-01T10:00',
    until='1970-01-02T06:00+00:00',
  )
  found = hours(tmp_path)
  # The label of hour 28 is known at hour 30, which is too late.
  assert found[0] == 10 and found[-1] == 27
  ends = [manifest.splits[name].end_ms for name in manifest_lib.SPLITS]
  assert ends[2] == 30 * HOUR
  assert by == 'time' or ends == [30 * HOUR] * 3
  assert manifest.options['until'] == '1970-01-02T06:00+00:00'
  assert manifest.report['dropped']['outside of since and until'] == 20
  contract.check(tmp_path / 'out')


def test_what_can_not_be_a_window(tmp_path):
  (tmp_path / 'raw').mkdir()
  (tmp_path / 'raw' / 'log.csv').touch()
  (tmp_path / 'schema.json').touch()
  for options, words in (
    ({'until': 'noon'}, "until: 'noon' is not a date"),
    ({'since': '1980-01-01'}, 'no row lies between since and until'),
  ):
    raw_files.fails(tmp_path, lambda o=options: run(tmp_path, **o), words)

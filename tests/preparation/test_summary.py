from __future__ import annotations

import dataclasses

import pytest

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import summary


def make(**changes):
  fields = (
    manifest_lib.Field('item', 'categorical', 1235),
    manifest_lib.Field('tags', 'multi_valued', 7, 3),
    manifest_lib.Field('price', 'numeric'),
  )
  split = manifest_lib.Split(2000, 500, (), {'click': 100, 'conversion': 3}, 0)
  return manifest_lib.Manifest(
    source='table',
    fields=fields,
    tasks=(
      manifest_lib.Task('click'),
      manifest_lib.Task('conversion', 'click'),
    ),
    splits={name: split for name in manifest_lib.SPLITS},
    **changes,
  )


def test_what_a_person_reads():
  report = {
    'raw_rows': 6100,
    'pairs': 6050,
    'dropped': {'exact duplicate': 50},
    'cut_values': {'tags': 4, 'other': 0},
    'session_rows': {'p50': 3, 'mean': 4.25},
    'warnings': ['log.csv: row 9 is incomplete; dropped'],
  }
  assert summary.summary(make(report=report)).splitlines() == [
    'source table',
    'split        rows  sessions  click  conversion        from (UTC)',
    'train       2,000       500  5.00%       0.15%  1970-01-01 00:00',
    'validation  2,000       500  5.00%       0.15%  1970-01-01 00:00',
    'test        2,000       500  5.00%       0.15%  1970-01-01 00:00',
    '',
    'rows of a session: p50 3, mean 4.25',
    'fields and vocabulary rows: item 1,235, tags 7 x 3, price (number)',
    'raw rows: 6,100',
    'pairs: 6,050',
    'dropped, exact duplicate: 50',
    'values cut from tags: 4',
    'warning: log.csv: row 9 is incomplete; dropped',
  ]


def test_columns_of_wide_letters_are_as_wide_as_they_are_shown():
  tasks = manifest_lib.Task('点击'), manifest_lib.Task('conversion')
  split = manifest_lib.Split(20, 5, (), {'点击': 10, 'conversion': 1})
  splits = dict.fromkeys(manifest_lib.SPLITS, split)
  made = dataclasses.replace(make(), tasks=tasks, splits=splits)
  header, line, *_ = summary.splits(made)
  assert header.startswith('split       rows  sessions    点击  conversion')
  assert line.startswith('train         20         5  50.00%       5.00%')


def test_lengths_of_sessions_are_as_wide_as_a_terminal():
  lengths = {f'p{share}': 1000 for share in (0, 25, 50, 75, 90, 99, 100)}
  lines = summary.summary(make(report={'session_rows': lengths})).splitlines()
  assert max(map(len, lines)) <= 80
  assert lines[7] == '  p100 1000'


def test_data_that_another_engine_wrote_has_no_report():
  lines = summary.summary(make()).splitlines()
  assert lines[-1].startswith('fields and vocabulary rows')


@pytest.mark.parametrize(
  ('made', 'left_out', 'lines'),
  [
    (
      ['gap', 'counts'],
      {'views': 'no item', 'feedback': 'no label times', 'history': 'no item'},
      [
        'gap, counts; left out: views, history (no item), feedback (no',
        '  label times)',
      ],
    ),
    (['gap'], {}, ['gap']),
    (
      [],
      {'gap': 'one value in train'},
      ['none; left out: gap (one value in train)'],
    ),
  ],
)
def test_as_of_features_have_one_sentence(made, left_out, lines):
  manifest = make(
    options={'as_of': made} if made else {},
    report={'as_of_left_out': left_out} if left_out else {},
  )
  found = summary.summary(manifest).splitlines()[-len(lines) :]
  assert found == [f'as-of features: {lines[0]}', *lines[1:]]


def test_many_fields_stay_within_the_width():
  fields = tuple(
    manifest_lib.Field(f'field_{i}', 'categorical', i) for i in range(40)
  )
  manifest = dataclasses.replace(make(), fields=fields)
  lines = summary.summary(manifest).splitlines()
  assert max(map(len, lines)) <= 80
  assert lines[-1].endswith('field_29 29, and 10 more')


def test_thirty_fields_are_all_named():
  fields = tuple(
    manifest_lib.Field(f'field_{i}', 'categorical', i) for i in range(30)
  )
  text = summary.summary(dataclasses.replace(make(), fields=fields))
  assert text.endswith('field_29 29')


def test_the_fields_that_drifted_most_are_named_first():
  report = {'drift': {f'f{i}': i / 100 for i in range(32)}, 'new_values': {}}
  text = ' '.join(summary.summary(make(report=report)).splitlines())
  assert 'new values: none' in text
  assert 'train (PSI): f31 0.31, f30 0.30,' in text
  assert text.endswith('f2 0.02, and 2 more')


def test_many_tasks_have_a_line_each():
  names = [f'a_task_of_some_length_{i}' for i in range(5)]
  split = manifest_lib.Split(200, 50, (), dict.fromkeys(names, 30), 0)
  made = dataclasses.replace(
    make(),
    tasks=tuple(manifest_lib.Task(name) for name in names),
    splits=dict.fromkeys(manifest_lib.SPLITS, split),
  )
  lines = summary.splits(made)
  assert max(map(len, lines)) <= 80
  assert lines[0].split() == ['split', 'rows', 'sessions', 'from', '(UTC)']
  assert lines[5].split() == ['label', 'not', '0', *manifest_lib.SPLITS]
  assert [line.split() for line in lines[6:]] == [
    [name, '15.00%', '15.00%', '15.00%'] for name in names
  ]


def test_numbers_and_levels_have_means():
  def number(name, kind, least, largest, zeros, **more):
    statistics = {'mean': 3.54321, 'zeros': zeros}
    statistics |= {'least': least, 'largest': largest}
    return manifest_lib.Task(name, kind=kind, statistics=statistics, **more)

  tasks = (
    manifest_lib.Task('click'),
    number('stars', 'ordinal', 0, 0, 0.0, levels=(1, 2, 5)),
    number('watch', 'regression', 0.0, 99.5, 0.25),
    number('price', 'regression', 0.5, 9.25, 0.0),
  )
  ones = {'click': 5, 'stars': 20, 'watch': 15, 'price': 20}
  split = manifest_lib.Split(20, 5, (), ones)
  splits = dict.fromkeys(manifest_lib.SPLITS, split)
  made = dataclasses.replace(make(), tasks=tasks, splits=splits)
  lines = summary.splits(made)
  assert lines[0].split('  ')[-3:] == [
    ' click',
    'watch not 0',
    'from (UTC)',
  ]
  assert lines[1].split()[-3:] == ['25.00%', '75.00%', '-']
  assert max(map(len, lines)) <= 80
  assert ' '.join(map(str.strip, lines[4:])) == (
    'mean label in train: stars 3.543 (1 to 5), watch 3.543 (0 to 99.5), price'
    ' 3.543 (0.5 to 9.25)'
  )


def test_long_lines_are_wrapped():
  path = 'p' * 90
  report = {
    'raw_rows': 9,
    'dropped': {'a reason ' * 12: 3},
    'warnings': [f'{path}: ' + 'words ' * 20, 'short'],
  }
  lines = summary.summary(make(report=report)).splitlines()
  assert all(len(line) <= 80 for line in lines if path not in line)
  assert f'  {path}:' in lines and lines[-1] == 'warning: short'

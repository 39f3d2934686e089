"""The page and the text of a description."""

import copy
import re
import warnings

import pytest

from rmtl_jax.preparation.description import describe
from rmtl_jax.report.description import page, tables, words
from rmtl_jax.report.page import content, html, markdown
from tests.preparation.description import data
from tests.report.page import reading


@pytest.fixture(scope='module')
def record(tmp_path_factory):
  return describe.describe(data.small(tmp_path_factory.mktemp('d') / 'mine'))


@pytest.fixture(scope='module')
def built(record):
  return page.build(record)


def test_chapters_and_pictures(built):
  read = reading.Reader(html.render(built))
  assert [text for level, text in read.headings if level < 3] == [
    'Data mine',
    'Splits',
    'Labels',
    'Fields',
    'Sessions',
  ]
  assert [picture.name for picture in content.pictures(built)] == [
    *('rows', 'rate-1', 'rate-2', 'drift', 'sessions')
  ]
  assert '<script' not in html.render(built)
  assert '| train | 10 | 4 | 2024-10-04 00:00 |' in markdown.render(built)


def test_no_times_no_pictures_of_them(record):
  without = {**record, 'over_time': {**record['over_time'], 'span_ms': None}}
  built = page.build(without)
  assert [picture.name for picture in content.pictures(built)] == [
    'drift',
    'sessions',
  ]
  assert 'no rates over time' in markdown.render(built)
  assert tables.splits(without).header == ('split', 'rows', 'sessions')


@pytest.mark.parametrize('days', [0.1, 3.0, 900.0])
def test_no_span_of_time_makes_matplotlib_warn(record, days):
  changed = copy.deepcopy(record)
  points = [
    p for split in changed['over_time']['points'].values() for p in split
  ]
  first = min(point['ms'] for point in points)
  for i, point in enumerate(points):
    point['ms'] = first + i * days * 86_400_000 / (len(points) - 1)
  for split in changed['splits'].values():
    split['end_ms'] = None
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    pictures = [
      picture.name for picture in content.pictures(page.build(changed))
    ]
  assert 'rows' in pictures


def test_rates_and_means_of_labels(record):
  # 4 of 10; the nine observed times sum to 21.
  assert tables.labels(record).rows == [
    ('click', 'rate', '40.00%', '40.00%', '80.00%'),
    ('watch', 'mean', '2.333', '1', '5'),
  ]


def test_what_stands_out_is_said(record):
  said = ' '.join(words.findings(record))
  assert 'Values of test that train has not: colour 60.0%' in said
  assert 'The rate of click goes from 40.00% in train to 80.00% in test' in said
  assert 'The mean of watch goes from 2.333 in train to 5 in test' in said


def test_as_of_fields_are_told_apart(record):
  with_as_of = copy.deepcopy(record)
  field = with_as_of['fields'][1]
  field |= {'as_of': 'counts', 'psi': {'validation': 9.0, 'test': 9.0}}
  said = ' '.join(words.findings(with_as_of))
  assert 'As-of fields that do: tags.' in said
  assert tables.fields(with_as_of['fields']).rows[0][0] == 'tags'


def test_chance_is_no_drift(record):
  lucky = copy.deepcopy(record)
  for field in lucky['fields']:
    field |= {'psi': {'validation': 0.4, 'test': 0.4}}
    field |= {'chance': {'validation': 0.3, 'test': 0.3}}
  assert words.findings(lucky)[0] == (
    'No field of the log differs much between train and test.'
  )


def test_text_fits_a_terminal(record):
  lines = page.text(record).splitlines()
  assert max(map(len, lines)) <= 80
  (line,) = (line for line in lines if re.match(r'colour\s', line))
  assert line.split()[-3:] == ['0.0%', '0.0%', '60.0%']


def test_names_from_data_stay_text(record):
  odd = copy.deepcopy(record)
  odd['fields'][0]['name'] = '<b>|$x$\n[red]'
  odd['tasks'][0]['name'] = '<i>$y$'
  for split in odd['over_time']['points'].values():
    for point in split:
      for of in (point['mean'], point['observed']):
        of['<i>$y$'] = of.pop('click')
  rendered = html.render(page.build(odd))
  assert '<b>' not in rendered and '<i>' not in rendered
  assert '[red]' in page.text(odd)

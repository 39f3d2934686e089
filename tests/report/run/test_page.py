"""The page of a run: what it says, and that it is safe to open."""

import re

import pytest

from rmtl_jax.report.page import content, html, markdown
from rmtl_jax.report.run import page as run_page
from tests.report.page import reading
from tests.report.run import example

HOSTILE = (
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)> | `a` #000000 $x$ http://e.com',
  "it's a & b={{ 7 * 7 }}{% raw %}",
)


@pytest.fixture(scope='module')
def built():
  return run_page.build(example.build())


@pytest.fixture(scope='module')
def read(built):
  return reading.Reader(html.render(built))


def test_figures_stand_in_the_tables(read):
  (ranking,) = (rows for c, rows in read.tables.items() if 'click, test' in c)
  assert ranking[0] == ['model', 'AUC', 'GAUC', 'logloss', 's-logloss']
  assert [row[0] for row in ranking[1:]] == [
    'user rate x item rate',
    'pre-trained',
    'control (kept: epoch 1)',
    'RMTL (kept: epoch 0)',
    'oracle',
  ]
  assert ranking[2][1] == '0.6212 (0.6089 to 0.6335)'
  further = read.tables['click, further metrics']
  assert further[1][1:] == ['0.3131', '0.0456', '1.2345']
  assert read.tables["Settings that differ from the paper's"][1:] == [
    ['pretrain.max_epochs', '3', '20']
  ]
  rates = 'Splits; a rate is the share of labels other than 0'
  assert read.tables[rates][1] == [
    *('train', '200', '50', '4.0'),
    *('10.00%', '10.50%'),
  ]
  critics = read.tables['What the critics knew']
  assert [row[1] for row in critics[1:]] == ['collapsed', 'sound']
  assert critics[1][2:4] == ['0.123', '-1.250']
  (applied,) = (rows for c, rows in read.tables.items() if 'applied' in c)
  assert applied[1] == ['1', '1.600 ± 0.200', '1.600 ± 0.200']
  assert 'Shown: the weights 1 - lambda Q; lambda = 0.7.' in read.text


def test_the_verdict_opens_the_page(built, read):
  first, short, figures, *_ = built.lead
  assert first.strong and 'gain on click and conversion' in first.text
  assert 'click +0.0016 (+0.0001 to +0.0031)' in figures.text
  assert 'click 0.123 (collapsed); conversion 0.123' in figures.text
  assert short.table.header == (
    *('model', 'click AUC', 'click GAUC', 'click logloss'),
    *('conversion AUC', 'conversion GAUC', 'conversion logloss'),
  )
  assert short.table.rows[3][:2] == ('RMTL (kept: epoch 0)', '0.6412')
  assert 'Predictions are those of stage 3' in figures.text


def test_pictures_can_be_heard(read):
  titles = [title for title, _ in read.pictures]
  assert titles == [
    'AUC of click, test split',
    'AUC of conversion, test split',
    'Stage 1: mean validation AUC over tasks',
    'Stage 3: mean validation AUC over tasks',
    'Calibration of click, test split',
    'Calibration of conversion, test split',
    'Weights of click over the session',
    'Weights of conversion over the session',
    'Distribution of Q, click',
    'Distribution of Q, conversion',
    "The critics' TD error in stage 2",
  ]
  spoken = dict(read.pictures)
  assert 'RMTL (kept: epoch 0) 0.6412' in spoken[titles[0]]
  assert (
    '2 bins, mean distance from the diagonal 0.0250'
    in (spoken['Calibration of click, test split'])
  )
  # Epoch 0 is kept: what stage 1 left, at 0.62 after its second epoch.
  assert 'RMTL: best epoch at 0.6200' in spoken[titles[3]]
  assert 'row 2: 1.750' in spoken['Weights of click over the session']
  for tag, attributes in read.elements:
    if tag == 'svg':
      assert attributes['role'] == 'img'
      assert attributes['aria-labelledby']
    assert tag != 'img' or attributes.get('alt')


def test_markdown_has_the_same_figures(built, read):
  text = markdown.render(built)
  assert reading.markdown_tables(text) == read.tables
  names = re.findall(r'^!\[.+\]\(pictures/([\w-]+)\.svg\)$', text, re.MULTILINE)
  assert names == [picture.name for picture in content.pictures(built)]
  for line in ('click has collapsed', 'lambda = 0.7', 'Device: 1 x cpu'):
    assert line in text


def test_names_of_data_are_text_and_no_more():
  record = example.build(
    HOSTILE,
    name=HOSTILE[0],
    data={**example.build(HOSTILE)['data'], 'source': HOSTILE[1]},
    missing=f'/data/{HOSTILE[2]}',
  )
  record['config']['data.name'] = HOSTILE[2]
  record['defaults']['data.name'] = HOSTILE[0]
  record['metrics']['warnings'] = [*HOSTILE, 'bell\x07 and \ud800']
  built = run_page.build(record)
  text = html.render(built)
  reading.assert_closed(text)
  found = reading.Reader(text)
  for name in HOSTILE:
    assert name in found.text
    assert any(name in title for title, _ in found.pictures)
  assert 'bell\\x07 and \\ud800' in found.text
  settings = found.tables["Settings that differ from the paper's"]
  assert ['data.name', HOSTILE[2], HOSTILE[0]] in settings
  assert f'(/data/{HOSTILE[2]})' in found.text
  text = markdown.render(built)
  text.encode()
  # Code obeys nothing: settings stand there as they are.
  text = re.sub(r'(?<!\\)`[^`]*`', '', text)
  assert '<script' not in text and '<img' not in text
  for picture in content.pictures(built):
    assert '<script' not in picture.svg and '<img' not in picture.svg

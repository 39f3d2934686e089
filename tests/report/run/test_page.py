"""The page of a run: what it says, and that it is safe to open."""

import itertools
import re

import pytest

from rmtl_jax.report.page import content, html, markdown
from rmtl_jax.report.run import page as run_page
from rmtl_jax.report.run import tables, words
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


def test_chapters_come_in_their_order(read):
  assert [text for level, text in read.headings if level < 3] == [
    'Run first',
    'Setting',
    'Data',
    'Metrics',
    'Learning',
    'Calibration',
    'Weights',
    'Critics',
    'How this was made',
  ]
  levels = [level for level, _ in read.headings]
  assert levels[0] == 1 and levels.count(1) == 1
  assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
  before = read.text.split('Setting')[0]
  assert 'Warnings' in before and 'click has collapsed' in before


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
  assert further[1][1:] == ['-', '0.3131', '0.0456', '1.2345']
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
  assert first.strong and first.text.startswith(
    'RMTL ranked better on click and conversion than its control'
  )
  assert 'click +0.0016 (+0.0001 to +0.0031)' in figures.text
  assert 'click 0.123 (collapsed); conversion 0.123' in figures.text
  assert short.table.header == (
    *('model', 'click AUC', 'click GAUC', 'click logloss'),
    *('conversion AUC', 'conversion GAUC', 'conversion logloss'),
  )
  assert short.table.rows[3][:2] == ('RMTL (kept: epoch 0)', '0.6412')
  assert read.text.index('ranked better') < read.text.index('Setting')


def test_differences_are_of_the_same_epochs_first(read):
  found = read.tables['Differences on the same rows']
  names = [row[0] for row in found[1:]]
  assert names == [
    *['RMTL minus control, after 2 epochs'] * 2,
    *['RMTL minus control, as kept'] * 2,
  ]
  assert found[1][2] == '+0.0016 (+0.0001 to +0.0031)'
  assert found[3][2] == '+0.0021 (-0.0011 to +0.0033)'


def test_models_that_are_the_same_have_no_difference():
  record = example.build()
  stages = record['metrics']['stages']
  stages['finetune'] = stages['constant']
  rows = tables.differences(record).rows
  assert {row[0] for row in rows} == {'RMTL minus control, after 2 epochs'}


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
    'calibrated: 2 bins, mean distance from the diagonal 0.0250'
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


def test_members_are_counted_from_one():
  record = example.build()
  record['metrics']['best_epoch'] = {'pretrain': [2, 1], 'finetune': [1, 0]}
  record['history'] = [
    {**entry, 'member': member}
    for member in (0, 1)
    for entry in record['history']
  ]
  read = reading.Reader(html.render(run_page.build(record)))
  epochs = read.tables['Epochs and passes, in order']
  assert epochs[0][1] == 'member'
  assert {row[1] for row in epochs[1:]} == {'1', '2'}
  (applied,) = (rows for c, rows in read.tables.items() if 'applied' in c)
  assert [row[0] for row in applied[1:]] == ['1, member 1', '1, member 2']
  spoken = dict(read.pictures)['Stage 1: mean validation AUC over tasks']
  assert 'pre-trained of member 2: best epoch' in spoken


def test_tables_and_language_are_told(read):
  assert ('html', {'lang': 'en'}) in read.elements
  scopes = [a.get('scope') for tag, a in read.elements if tag == 'th']
  assert set(scopes) == {'col', 'row'}
  tags = [tag for tag, _ in read.elements]
  assert tags.count('caption') == tags.count('table') == len(read.tables)


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


def test_what_a_run_lacks_is_left_out():
  record = example.build(
    stages=['pretrain'],
    ended=False,
    history=[],
    reliability={},
    weights={},
    missing='gone',
  )
  metrics = record['metrics']
  for name in ('critic', 'curves', 'baseline', 'oracle', 'difference'):
    del metrics[name]
  metrics['stages'] = {'pretrain': metrics['stages']['pretrain']}
  found = reading.Reader(html.render(run_page.build(record)))
  assert [text for level, text in found.headings if level == 2] == [
    'Setting',
    'Data',
    'Metrics',
    'How this was made',
  ]
  assert 'not finished, so not on this page: critic, finetune' in found.text
  assert '(gone)' in found.text and 'calibration plot' in found.text
  # A refit, or a run of stage 1 alone, lacks them for good.
  record['ended'] = True
  found = reading.Reader(html.render(run_page.build(record)))
  assert 'not finished' not in found.text and 'stage 3 by' not in found.text
  assert ', stage 1 alone (seed' in found.text
  record['stages'] = ['pretrain', 'critic']
  found = reading.Reader(html.render(run_page.build(record)))
  assert ', stages 1 and 2 alone (seed' in found.text


def test_undefined_metrics_are_said_so():
  record = example.build(('click',))
  for of in record['metrics']['stages'].values():
    of['click'] |= {'auc': None, 'auc_interval': None}
  table = tables.ranking(record, 'click')
  assert table.rows[1][1] == 'undefined'
  found = reading.Reader(html.render(run_page.build(record)))
  assert 'pre-trained' not in dict(found.pictures)['AUC of click, test split']


def test_pictures_are_the_same_bytes_every_time(built):
  again = run_page.build(example.build())
  first = {p.name: p.svg for p in content.pictures(built)}
  assert first == {p.name: p.svg for p in content.pictures(again)}
  assert all('dc:date' not in svg for svg in first.values())


@pytest.mark.parametrize(
  ('weighting', 'settings', 'said'),
  [
    ('negative_q', {}, 'Shown: the weights -Q.'),
    ('q_shuffled', {}, '1 - lambda Q, shuffled over the rows; lambda = 0.7'),
    ('constant_mean', {}, 'one constant per task'),
    ('advantage', {}, 'over the batch in training'),
    ('critic', {'max_weight': 2.0}, 'No weight is above 2.'),
    ('ddpg', {}, 'no loss is weighed by row'),
  ],
)
def test_what_the_weights_are_is_said(weighting, settings, said):
  record = example.build()
  record['metrics']['weighting'] = weighting
  record['config'] |= {f'weighting.{k}': v for k, v in settings.items()}
  assert said in ' '.join(words.weights(record))


def test_drift_is_a_part_of_the_data():
  assert 'Drift' not in html.render(run_page.build(example.build()))
  fields = [
    {
      'name': f'f{i}',
      'kind': 'categorical',
      'size': 9,
      'as_of': '',
      'psi': {'validation': 0.0, 'test': i / 10},
      'chance': {'validation': 0.0, 'test': 0.0},
      'unseen': {'train': 0.0, 'validation': 0.1, 'test': 0.5},
    }
    for i in range(10)
  ]
  read = reading.Reader(
    html.render(run_page.build(example.build(drift=fields)))
  )
  assert 'Differs much between train and test: f9, f8, f7, f6, f5' in read.text
  shown, everything = (
    rows for caption, rows in read.tables.items() if 'Drift' in caption
  )
  assert [row[0] for row in shown[1:]] == [f'f{i}' for i in range(9, 1, -1)]
  assert shown[1][1:] == ['9', '0.000', '0.900', '0.0%', '10.0%', '50.0%']
  assert len(everything) == 11

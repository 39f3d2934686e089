import csv
import io
import json

import pytest

from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report.comparison import formats, page, words
from rmtl_jax.report.comparison import tables as comparison_tables
from rmtl_jax.report.page import markdown as page_markdown
from tests.report.comparison import example


def rendered(results, names=()):
  """The text of results.md."""
  return page_markdown.render(page.summary(results, names), '{}.png')


def tables(markdown):
  """Every pipe table by its caption, as {caption: [row dicts]}."""
  found, heading, header = {}, None, None
  for line in markdown.splitlines():
    if line.endswith(':'):
      heading, header = line[:-1], None
    elif line.startswith('|'):
      cells = [c.strip('` ') for c in line[1:-1].replace('\\|', '/').split('|')]
      if header is None:
        header = cells
        found[heading] = []
      elif not set(line) <= set('|-: '):
        found[heading].append(dict(zip(header, cells, strict=True)))
  return found


def row(rows, **labels):
  found = [r for r in rows if all(r[k] == v for k, v in labels.items())]
  assert len(found) == 1
  return found[0]


def words_of(results):
  """What a terminal shows, on one line."""
  return ' '.join(formats.text(results).split())


def constant_gain(results, gain):
  """Sets the method's AUC to the constant control's plus a gain per seed."""
  auc = {
    run['seed']: run['metrics']['click']['auc']
    for run in results['runs']
    if run['method'] == 'ple+constant'
  }
  for run in results['runs']:
    if run['method'] == 'ple+critic':
      step = 1e-5 if run['seed'] % 2 else -1e-5
      run['metrics']['click']['auc'] = auc[run['seed']] + gain + step
  return example.judge(results)


def test_the_verdict_comes_first_and_in_words():
  markdown = rendered(example.build())
  assert markdown.startswith('# Comparison on simulated\n')
  headings = [h for h in markdown.splitlines() if h.startswith('## ')]
  assert headings[:4] == [
    '## Verdict',
    '## Setting',
    '## Metrics',
    '## Differences to the controls',
  ]
  assert '**Passes on every task: ple+critic.**' in markdown
  assert '- ple+critic, click: passes (gains over 4 controls' in markdown
  assert '36,000 train, 12,000 validation, 12,000 test' in markdown
  assert 'tried for every method and control: 0.001, 0.0003' in markdown


def test_a_method_that_fails_names_the_control():
  results = constant_gain(example.build(tasks=('click',)), 1e-4)
  markdown = rendered(results)
  assert '**Does not pass: ple+critic.**' in markdown
  assert 'too small a gain over ple+constant: +0.00010 AUC' in markdown
  assert 'too small a gain over ple+constant: +0.00010' in words_of(results)


def test_passing_on_one_of_two_tasks_is_said():
  results = constant_gain(example.build(), 1e-4)
  assert words.headlines(results) == [
    'Passes on some tasks: ple+critic (conversion).'
  ]


@pytest.mark.parametrize('seeds', [1, 5])
def test_too_few_seeds_are_not_tested(seeds):
  results = example.build(seeds=seeds)
  said = f'Not tested: {seeds} seed'
  markdown = rendered(results)
  assert f'**{said}' in markdown and said in words_of(results)
  rows = tables(markdown)['AUC (higher is better), click']
  assert 'p' not in rows[0] and 'p after Holm' not in rows[0]
  assert rows[0]['seeds'] == str(seeds)
  assert (' ± ' in rows[0]['AUC, 1e-4']) == (seeds > 1)


def test_metrics_are_means_and_errors_by_backbone():
  results = example.build(
    judged=('ple+critic', 'esmm+critic', 'ple+label_times_q')
  )
  rows = tables(rendered(results))['click, test split']
  names = [r['method'] for r in rows]
  assert names[0] == 'user rate x item rate' and names[-1] == 'oracle'
  backbones = [name.partition('+')[0] for name in names[1:-1]]
  assert backbones == ['ple'] * 6 + ['esmm'] * 5
  summary = row(
    results['summary'], method='ple+critic', task='click', metric='auc'
  )
  found = row(rows, method='ple+critic')
  assert found['AUC'] == (
    f'{summary["mean"]:.4f} ± {summary["standard_error"]:.4f}'
  )
  assert found['weights'] == 'RMTL: weights 1 - lambda Q'
  assert row(rows, method='oracle')['AUC'] == '0.8100'


def test_what_starts_from_scratch_and_what_is_shuffled_is_said():
  names = (
    'ple+advantage:finetune.start=scratch',
    'ple+q_shuffled:weighting.form=advantage',
  )
  results = example.build(seeds=2, judged=names)
  text = rendered(results)
  assert f'without that epoch 0: {names[0]}.' in text
  found = row(tables(text)['click, test split'], method=names[1])
  assert found['weights'] == 'control: weights of advantage, shuffled over rows'
  results['config'] = {'finetune': {'start': 'scratch'}}
  assert 'epoch 0: ple+constant, ' in rendered(results)


def test_a_budget_of_stage_3_is_said_where_a_method_has_one():
  results = example.build(seeds=2)
  assert any('Budget of stage 3: ' in line for line in words.setting(results))
  results['methods'] = [m for m in results['methods'] if not m['weighting']]
  assert words.setting(results)[2:] == [
    'Seeds: 2 (0, 1).',
    'No method has weights, so none has a stage 3.',
  ]


def test_models_that_do_not_exist_have_no_row():
  results = example.build(seeds=2)
  results['baseline'] = results['oracle'] = None
  names = [r['method'] for r in tables(rendered(results))['click, test split']]
  assert names == [m['name'] for m in results['methods']]


def test_a_difference_that_includes_zero_says_so():
  results = constant_gain(example.build(tasks=('click',)), 0.0)
  rows = tables(rendered(results))['AUC (higher is better), click']
  zero = row(rows, minus='ple+constant')
  assert zero['AUC, 1e-4'] == '+0.0 ± 0.0' or zero['AUC, 1e-4'] == '-0.0 ± 0.0'
  assert zero['interval (seeds)'].endswith(', includes 0')
  assert zero['p after Holm'] == '1'
  clear = row(rows, minus='ple')
  assert 'includes' not in clear['interval (seeds)']
  table = comparison_tables.gains(results)
  gains = [dict(zip(table.header, cells, strict=True)) for cells in table.rows]
  assert row(gains, minus='constant')['click'].endswith(' (0)')
  assert not row(gains, minus='pre-trained')['click'].endswith(' (0)')


def test_a_backbone_beside_another_is_judged_by_its_name():
  results = example.build(judged=('ple+critic', 'mmoe+critic'))
  named = {method['name']: method for method in results['methods']}
  named['mmoe']['controls'] = ['ple']
  for run in results['runs']:
    if run['method'] in ('ple', 'mmoe'):
      is_other = run['method'] == 'mmoe'
      for k, metrics in enumerate(run['metrics'].values()):
        gain = 1e-5 * (run['seed'] % 2) + 0.002 * (1 - 2 * k)
        metrics['auc'] = 0.7 + is_other * gain
  results = example.judge(results)
  table = comparison_tables.gains(results)
  gains = [dict(zip(table.header, cells, strict=True)) for cells in table.rows]
  found = row(gains, method='mmoe')
  assert found['minus'] == 'ple'
  assert found['click'].startswith('+20.0 ±')
  assert found['conversion'].startswith('-20.0 ±')
  assert row(gains, method='mmoe+critic', minus='pre-trained')
  assert any('mmoe (click)' in line for line in words.headlines(results))
  assert 'mmoe, conversion: does not pass (worse than ple' in rendered(results)


def _unmoved(results, methods):
  """The results of the pre-trained models in these methods' runs."""
  pretrained = {r['seed']: r for r in results['runs'] if r['method'] == 'ple'}
  for run in results['runs']:
    run['best_epoch'] = 1
    if run['method'] in methods:
      run['best_epoch'] = 0
      run['metrics'] = pretrained[run['seed']]['metrics']
  return example.judge(results)


def test_a_difference_of_zero_says_that_nothing_was_kept_of_fine_tuning():
  results = _unmoved(example.build(), ('ple+critic', 'ple+constant'))
  said = (
    'ple+critic: in 16 of 16 runs no epoch of fine-tuning was better on'
    ' validation than the pre-trained parameters, so those were kept: the'
    ' difference to ple, ple+constant is 0 by construction.'
  )
  markdown = rendered(results)
  assert said in markdown
  assert said in words_of(results)
  rows = tables(markdown)['AUC (higher is better), click']
  for control in ('ple', 'ple+constant'):
    assert row(rows, minus=control)['AUC, 1e-4'] == '+0.0 ± 0.0'
  # One run that moved is a difference.
  results['runs'][-1]['best_epoch'] = 2
  assert 'by construction' not in rendered(results)


def test_a_method_that_moved_is_not_said_to_have_stayed():
  results = _unmoved(example.build(), ('ple+constant',))
  assert 'by construction' not in rendered(results)


def test_draws_that_are_left_out_are_counted():
  results = example.build(seeds=2)
  assert 'left out of its interval' not in rendered(results)
  for d in results['differences']:
    if d['task'] == 'conversion' and d['metric'] == 'auc':
      d['undefined_draws'] = 7
  assert 'left out of its interval: 7 of conversion.' in rendered(results)


def test_the_bootstrap_stands_beside_the_seeds():
  results = example.build()
  title = 'logloss (lower is better), conversion'
  rows = tables(rendered(results))[title]
  record = next(
    d
    for d in results['differences']
    if (d['task'], d['metric']) == ('conversion', 'logloss')
  )
  low, high = (1e4 * v for v in record['bootstrap'])
  found = row(rows, method=record['method'], minus=record['control'])
  assert found['interval (sessions)'].startswith(f'{low:+.1f} to {high:+.1f}')
  without = example.build(replicates=0)
  assert 'interval (sessions)' not in rendered(without)


def test_critics_and_weights_are_means_over_seeds():
  results = example.build(seeds=2, tasks=('click',))
  for critic, r2 in zip(results['critics'], (-0.25, 0.5), strict=True):
    critic['statistics']['r2']['click'] = r2
    critic['statistics']['loss_correlation']['click'] = None
  results['critics'][1]['statistics']['collapsed']['click'] = True
  for run in results['runs']:
    if run['method'] == 'ple+critic':
      run['weights'] = {'click': {'mean': 1.5 + run['seed'], 'deviation': 0.5}}
  found = tables(rendered(results))
  (critic,) = found['What the critics knew']
  assert (critic['R2 of Q'], critic['collapsed']) == ('0.125', '1 of 2')
  assert critic['corr(-Q, own loss)'] == '-'
  weights = row(
    found['Weights of the rows, means over seeds ± standard error'],
    method='ple+critic',
  )
  assert weights['mean weight'] == '2.0000 ± 0.5000'


def test_learning_rates_say_what_was_tried_and_kept():
  results = example.build(seeds=2)
  for entry in results['tuning']:
    if entry['method'] == 'ple+critic':
      entry['validation_auc'] = 0.75 if entry['learning_rate'] == 1e-3 else 0.7
  for method in results['methods']:
    if method['name'] == 'ple+critic':
      method['learning_rate'] = 1e-3
  for run in results['runs']:
    run['best_epoch'] = 3 * run['seed']
  rows = tables(rendered(results))['Learning rates and epochs']
  assert row(rows, method='ple+critic') == {
    'method': 'ple+critic',
    'AUC at 0.001': '0.75000',
    'AUC at 0.0003': '0.70000',
    'chosen': '0.001',
    'best epoch': '1.5',
    'kept pre-trained': '1 of 2',
  }
  assert 'ple' not in [r['method'] for r in rows]


def test_rates_that_logloss_chose_say_so():
  results = example.build(seeds=2)
  results['config'] = {'evaluation': {'monitor': 'logloss'}}
  for entry in results['tuning']:
    entry['validation_logloss'] = entry['learning_rate']
  text = rendered(results)
  assert 'the best mean validation relative logloss over' in text
  rows = tables(text)['Learning rates and epochs']
  assert (
    row(rows, method='ple+critic')['relative logloss at 0.0003'] == '0.00030'
  )


def test_without_tuning_the_rate_is_said_not_to_be_tuned():
  results = example.build(seeds=2)
  results['budget']['learning_rates'], results['tuning'] = [1e-3], []
  assert 'stage 3: 0.001 for all, not tuned' in rendered(results)


def test_no_critics_and_no_judged_method():
  results = example.build(seeds=3, judged=('ple+critic',), with_critics=False)
  results['methods'] = [m for m in results['methods'] if not m['weighting']]
  example.judge(results)
  markdown, text = rendered(results), formats.text(results)
  said = 'No method is judged'
  assert said in markdown and said in text
  for heading in (
    'critics knew',
    'Weights of the rows',
    '## Differences',
    '## Learning',
  ):
    assert heading not in markdown


@pytest.mark.parametrize('tasks', [('a',), ('a', 'b', 'c', 'd')])
def test_many_methods_and_tasks(tasks):
  judged = [f'ple+critic:weighting.lambda_=0.{i:02}' for i in range(36)]
  results = example.build(seeds=2, tasks=tasks, judged=judged, replicates=0)
  found = tables(rendered(results))
  for task in tasks:
    assert len(found[f'{task}, test split']) == 36 + 4 + 2
    assert len(found[f'AUC (higher is better), {task}']) == 36 * 4


@pytest.mark.parametrize('replicates', [0, 200])
def test_a_terminal_needs_80_columns_and_loses_no_number(replicates):
  tasks = ('a', 'b' * 20, 'c d', 'd')
  judged = (
    'shared_bottom+critic',
    'ple+critic@esmm:network.bottom_units=256-128:pretrain.learning_rate=0.01',
  )
  results = example.build(
    seeds=2, tasks=tasks, judged=judged, replicates=replicates
  )
  results['warnings'] = ['the critic of a has collapsed ' * 4]
  for one in results['summary']:
    if one['metric'] == 'logloss':
      one['mean'] *= 1e9
  text = formats.text(results)
  assert max(map(len, text.splitlines())) <= 80
  shown = set(text.split())
  for one in results['summary']:
    assert format(one['mean'], '.4f') in shown
  for one in results['differences']:
    if one['metric'] == 'auc':
      assert format(one['mean'] * 1e4, '+.1f') in shown


def test_undefined_metrics_are_said_to_be():
  results = example.build(seeds=2, tasks=('click',))
  for run in results['runs']:
    run['metrics']['click']['auc'] = None
  example.judge(results)
  found = tables(rendered(results))
  assert (
    row(found['click, test split'], method='ple+critic')['AUC'] == 'undefined'
  )
  rows = found['AUC (higher is better), click']
  assert {r['AUC, 1e-4'] for r in rows} == {'undefined'}
  assert {r['seeds'] for r in rows} == {'0'}


def test_pictures_are_embedded_by_name():
  results = example.build(seeds=2)
  markdown = rendered(results, ['differences', 'learning'])
  assert '![AUC minus each control. ' in markdown
  assert '](differences.png)' in markdown
  assert '](learning.png)' in markdown
  assert 'weights.png' not in markdown
  assert '![' not in rendered(results)


def test_warnings_and_provenance_are_shown():
  results = example.build(seeds=2)
  results['warnings'] = ['the critic of click has collapsed']
  results['commit'] = None
  markdown = rendered(results)
  assert '- the critic of click has collapsed' in markdown
  assert 'jax 0.10.2' in markdown and 'Commit: unknown' in markdown
  assert 'Device: cpu, 2 cores' in markdown
  assert 'WARNING: the critic of click' in formats.text(results)


def test_a_pipe_in_a_name_breaks_no_table():
  results = example.build(seeds=2, tasks=('click',))
  text = json.dumps(results).replace('ple+critic', 'ple|critic')
  found = tables(rendered(json.loads(text)))
  assert row(found['click, test split'], method='ple/critic')


def test_csv_has_a_line_per_run_and_task():
  results = example.build(seeds=2)
  results['runs'][0]['metrics']['click']['auc'] = None
  for run in results['runs']:
    for metrics in run['metrics'].values():
      for name in metric_registry.RECORDS:
        metrics.setdefault(name, 0.25)
  lines = list(csv.DictReader(io.StringIO(formats.runs_csv(results))))
  assert len(lines) == len(results['runs']) * len(results['tasks'])
  assert lines[0]['auc'] == ''
  for run, line in zip(results['runs'], lines[1::2], strict=True):
    assert line['method'] == run['method'] and int(line['seed']) == run['seed']
    assert line['task'] == 'conversion'
    assert float(line['auc']) == run['metrics']['conversion']['auc']

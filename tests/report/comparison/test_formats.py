import csv
import io

from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report.comparison import formats, page
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

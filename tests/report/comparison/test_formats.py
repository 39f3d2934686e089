import csv
import io

from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report.comparison import formats, page
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

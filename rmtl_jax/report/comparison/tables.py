"""The tables of a comparison, as cells of plain text.

formats.py renders them for a terminal. `results` is the content of
results.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmtl_jax.evaluation import comparison
from rmtl_jax.evaluation import monitor as monitor_lib
from rmtl_jax.evaluation import registry as metric_registry
from rmtl_jax.report.page import content
from rmtl_jax.weighting import registry

Record = Mapping[str, Any]
Results = Record
Table = content.Table

# Of differences between AUCs.
UNIT = 1e-4
_CRITIC_COLUMNS = (
  ('r2', 'R2 of Q'),
  ('loss_correlation', 'corr(-Q, own loss)'),
  ('remaining_correlation', 'corr(-Q, rows left)'),
  ('zero_share', 'dead share'),
  ('mean_q', 'mean Q'),
  ('std_q', 'sd Q'),
)


def compared(results: Results) -> list[metric_registry.Metric]:
  """The metrics of a comparison's tables."""
  names = dict.fromkeys(s['metric'] for s in results['summary'])
  return [metric_registry.describe(name) for name in names]


def by_backbone(results: Results) -> list[Record]:
  """Sorts the methods by backbone, stably."""
  order = list(dict.fromkeys(m['backbone'] for m in results['methods']))
  return sorted(results['methods'], key=lambda m: order.index(m['backbone']))


def weights_name(method: Record) -> str:
  """The label of a method's weighting."""
  if not method['weighting']:
    return 'pre-trained only'
  form = method.get('settings', {}).get('weighting.form', '')
  return registry.label(method['weighting'], form)


def metrics(results: Results, task: str, described: bool = True) -> Table:
  """Mean and standard error of every method on one task, by backbone.

  Args:
    described: whether there is a column with the weighting's label.
  """
  found = {
    (s['method'], s['metric']): s
    for s in results['summary']
    if s['task'] == task
  }
  rows = []
  shown = [
    one for one in compared(results) if any(k[1] == one.name for k in found)
  ]
  if results['baseline']:
    cells = _single(results['baseline'][task], shown)
    rows.append(
      ('user rate x item rate', 'no network', content.NOTHING, *cells)
    )
  for method in by_backbone(results):
    records = [found[method['name'], one.name] for one in shown]
    seeds = str(max(record['n'] for record in records))
    cells = [
      _mean_error(record, one.form)
      for one, record in zip(shown, records, strict=True)
    ]
    rows.append((method['name'], weights_name(method), seeds, *cells))
  if results['oracle']:
    cells = _single(results['oracle'][task], shown)
    rows.append(('oracle', 'true probabilities', content.NOTHING, *cells))
  header = ('method', 'weights', 'seeds', *(one.label for one in shown))
  if described:
    return Table(header, rows, 2)
  short = [(row[0], *row[2:]) for row in rows]
  return Table((header[0], *header[2:]), short, 1)


def differences(results: Results, task: str, metric: str) -> Table:
  """Every tested method minus each of its controls on one task.

  In 1e-4; errors that have the label's units are in these.
  """
  records = [
    d
    for d in results['differences']
    if d['task'] == task and d['metric'] == metric
  ]
  tested = any(d['p'] is not None for d in records)
  bootstrap = any(d['bootstrap'] for d in records)
  one = metric_registry.describe(metric)
  unit, form = (UNIT, '+.1f') if one.form.endswith('f') else (1.0, '+.4g')
  label = f'{one.label}, 1e-4' if unit == UNIT else one.label
  header = ['method', 'minus', 'seeds', label]
  header += ['interval (seeds)']
  header += ['p', 'p after Holm', 'p Wilcoxon'] if tested else []
  header += ['interval (sessions)'] if bootstrap else []
  rows = []
  for d in records:
    cells = [d['method'], d['control'], str(d['pairs'])]
    cells.append(_mean_error(d, form, unit))
    cells.append(_interval(d['low'], d['high'], form, unit))
    if tested:
      cells += [_p_value(d[name]) for name in ('p', 'p_holm', 'wilcoxon_p')]
    if bootstrap:
      low, high = d['bootstrap'] or (None, None)
      cells.append(_interval(low, high, form, unit))
    rows.append(tuple(cells))
  return Table(tuple(header), rows, 2)


def gains(results: Results) -> Table:
  """AUC, or XAUC, minus each control on every task, in 1e-4."""
  roles = control_roles(results)
  cells: dict[tuple[str, str], dict[str, str]] = {}
  for d in results['differences']:
    if d['metric'] in metric_registry.RANKING:
      cell = _mean_error(d, '+.1f', UNIT)
      if d['low'] is not None and d['low'] <= 0.0 <= d['high']:
        cell += ' (0)'
      role = roles[d['method'], d['control']]
      row = cells.setdefault((d['method'], role), {})
      row[d['task']] = cell
  tasks = results['tasks']
  rows = [
    (*names, *(row.get(task, content.NOTHING) for task in tasks))
    for names, row in cells.items()
  ]
  return Table(('method', 'minus', *tasks), rows, 2)


def control_roles(results: Results) -> dict[tuple[str, str], str]:
  """Maps method and control to what the control is.

  Its weighting, 'pre-trained', or of a backbone beside another its name.
  """
  methods = {m['name']: m for m in results['methods']}
  roles = {}
  for name, method in methods.items():
    for control in method['controls']:
      named = control.partition('+')[2].partition(':')[0]
      found = methods.get(control, {'weighting': named})
      role = found['weighting'] or 'pre-trained'
      if found.get('backbone', method['backbone']) != method['backbone']:
        role = control
      roles[name, control] = role
  return roles


def learning_rates(results: Results) -> Table:
  """What is monitored by learning rate, the choice, and the epochs kept."""
  monitor = monitor_lib.of_record(results)
  seen = {
    (t['method'], t['learning_rate']): t.get(monitor.figure)
    for t in results['tuning']
  }
  rates = sorted({rate for _, rate in seen}, reverse=True)
  rows = []
  for method in by_backbone(results):
    name, runs = method['name'], _runs(results, method)
    if not method['weighting'] or not runs:
      continue
    epochs = [run['best_epoch'] for run in runs]
    rows.append(
      (
        name,
        *(content.number(seen.get((name, rate)), '.5f') for rate in rates),
        content.number(method['learning_rate'], 'g'),
        f'{sum(epochs) / len(epochs):.1f}',
        f'{epochs.count(0)} of {len(epochs)}',
      )
    )
  header = (
    'method',
    *(f'{monitor.word} at {rate:g}' for rate in rates),
    'chosen',
  )
  return Table((*header, 'best epoch', 'kept pre-trained'), rows, 1)


def critics(results: Results) -> Table:
  """Statistics of each critic, means over its seeds."""
  header = ('critic', 'task', 'seeds', *(c for _, c in _CRITIC_COLUMNS))
  rows = []
  for label, records in critics_by_label(results).items():
    for task in results['tasks']:
      found = [record['statistics'] for record in records]
      means = (
        comparison.mean_and_error([s[name][task] for s in found])['mean']
        for name, _ in _CRITIC_COLUMNS
      )
      collapsed = sum(bool(s['collapsed'][task]) for s in found)
      cells = (content.number(mean, '.3g') for mean in means)
      share = f'{collapsed} of {len(found)}'
      rows.append((label, task, str(len(found)), *cells, share))
  return Table((*header, 'collapsed'), rows, 2)


def critics_by_label(results: Results) -> dict[str, list[Record]]:
  """Groups the critics' records, one per seed, by critic."""
  labels: dict[str, list[Record]] = {}
  for record in results['critics']:
    labels.setdefault(record['critic'], []).append(record)
  return labels


def weights(results: Results) -> Table:
  """Mean and deviation of each method's weights, averaged over its seeds."""
  rows = []
  for method in by_backbone(results):
    runs = [run for run in _runs(results, method) if run['weights']]
    for task in results['tasks'] if runs else ():
      cells = (
        _mean_error(
          comparison.mean_and_error([r['weights'][task][name] for r in runs]),
          '.4f',
        )
        for name in ('mean', 'deviation')
      )
      rows.append((method['name'], task, str(len(runs)), *cells))
  header = ('method', 'task', 'seeds', 'mean weight', 'deviation over rows')
  return Table(header, rows, 2)


def _runs(results: Results, method: Record) -> list[Record]:
  return [run for run in results['runs'] if run['method'] == method['name']]


def _single(
  values: Record, shown: Sequence[metric_registry.Metric]
) -> Sequence[str]:
  return [
    content.number(values.get(one.name), one.form, 'undefined') for one in shown
  ]


def _mean_error(record: Record, form: str, unit: float = 1.0) -> str:
  """Formats 'mean ± standard error'; one seed has no error."""
  mean, error = record['mean'], record['standard_error']
  if mean is None:
    return 'undefined'
  text = format(mean / unit, form)
  return (
    text if error is None else f'{text} ± {error / unit:{form.lstrip("+")}}'
  )


def _interval(
  low: float | None, high: float | None, form: str, unit: float
) -> str:
  if low is None or high is None:
    return content.NOTHING
  text = f'{low / unit:{form}} to {high / unit:{form}}'
  return f'{text}, includes 0' if low <= 0.0 <= high else text


def _p_value(value: float | None) -> str:
  if value is None:
    return 'not tested'
  return '< 1e-9' if value < 1e-9 else f'{value:.3g}'

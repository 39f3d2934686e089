"""The sentences of a comparison: setting, verdicts and their reasons.

`results` is the content of results.json.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from rmtl_jax.evaluation import comparison
from rmtl_jax.evaluation import monitor as monitor_lib

Results = Mapping[str, Any]


def setting(results: Results) -> list[str]:
  """Describes data, seeds and budget, one sentence each."""
  rows, budget = results['data']['rows'], results['budget']
  sizes = ', '.join(f'{rows[split]:,} {split}' for split in rows)
  names = ', '.join(str(seed) for seed in results['seeds'])
  seeds = f'Seeds: {len(results["seeds"])} ({names}).'
  lines = [
    f'Data: {results["data"]["source"]}; rows: {sizes}; figures are of the'
    f' {results["split"]} split.',
    f'Tasks: {", ".join(results["tasks"])}.',
  ]
  if not any(method['weighting'] for method in results['methods']):
    return [*lines, seeds, 'No method has weights, so none has a stage 3.']
  lines += [
    f'{seeds} Weighted methods of one backbone and seed start from the same'
    ' pre-trained parameters.',
    f'Budget of stage 3: {budget["finetune_epochs"]} epochs for every method'
    ' and control; the best on validation is kept, the pre-trained model'
    ' (epoch 0) included.',
  ]
  return [*lines, _rates(results)]


def _rates(results: Results) -> str:
  budget = results['budget']
  rates = ', '.join(f'{rate:g}' for rate in budget['learning_rates'])
  if len(budget['learning_rates']) == 1:
    return f'Learning rate of stage 3: {rates} for all, not tuned.'
  return (
    f'Learning rates of stage 3 tried for every method and control: {rates};'
    f' the best mean validation {monitor_lib.of_record(results).word} over'
    f' {comparison.count(budget["tuning_seeds"], "tuning seed")} decides.'
  )


def rule() -> str:
  """States the rule by which a method passes."""
  return (
    'A method passes on a task where its AUC exceeds that of every one of its'
    ' controls by at least'
    f' {comparison.MIN_EFFECT:g} on average over at least'
    f' {comparison.MIN_PAIRS} paired seeds, with p < {comparison.LEVEL:g} in'
    ' the two-sided paired t-test after Holm over all tests of the comparison.'
    ' The controls of weights are the pre-trained model, constant weights, the'
    " mean of RMTL's weights 1 - lambda Q, and the weights shuffled over rows;"
    ' the control of other settings of stage 1 is the backbone without them,'
    ' that of backbones alone the first of them.'
  )


def headlines(results: Results) -> list[str]:
  """Lists the methods that pass, and those that kept their start."""
  verdicts = results['verdicts']
  if not verdicts:
    return ['No method is judged: none of them has controls.']
  groups: dict[str, list[str]] = {}
  for method, group in itertools.groupby(verdicts, lambda v: v['method']):
    records = list(group)
    passes = [v['passes'] for v in records]
    if all(passes):
      groups.setdefault('Passes on every task', []).append(method)
    elif any(passes):
      tasks = ', '.join(v['task'] for v in records if v['passes'])
      groups.setdefault('Passes on some tasks', []).append(
        f'{method} ({tasks})'
      )
    elif any(p is None for p in passes):
      groups.setdefault('Not tested', []).append(method)
    else:
      groups.setdefault('Does not pass', []).append(method)
  lines = [f'{label}: {", ".join(names)}.' for label, names in groups.items()]
  if all(v['passes'] is None for v in verdicts):
    seeds = comparison.count(len(results['seeds']), 'seed')
    lines = [
      f'Not tested: {seeds}, and {comparison.MIN_PAIRS} pairs with a defined'
      ' AUC are needed against every control. There are means and intervals,'
      ' and no claims.'
    ]
  return lines + _unmoved(results)


def _unmoved(results: Results) -> list[str]:
  """Names methods that kept the pre-trained parameters in every run.

  Their difference to that model is 0 because nothing was trained better, which
  a reader could take for a precise tie.
  """
  differences: dict[tuple[str, str], list[float | None]] = {}
  for d in results['differences']:
    means = differences.setdefault((d['method'], d['control']), [])
    means.append(d['mean'])
  lines = []
  for method in results['methods']:
    runs = [r for r in results['runs'] if r['method'] == method['name']]
    same = [
      control
      for control in method['controls']
      if all(not m for m in differences.get((method['name'], control), ()))
    ]
    if (
      not method['weighting']
      or not same
      or any(run['best_epoch'] for run in runs)
    ):
      continue
    lines.append(
      f'{method["name"]}: in {len(runs)} of {len(runs)} runs no epoch of'
      ' fine-tuning was better on validation than the pre-trained parameters,'
      f' so those were kept: the difference to {", ".join(same)} is 0 by'
      ' construction.'
    )
  return lines


def reasons(results: Results) -> list[tuple[str, str]]:
  """Pairs of (method, sentence about its verdict on one task)."""
  words = {True: 'passes', False: 'does not pass', None: 'no verdict'}
  return [
    (v['method'], f'{v["task"]}: {words[v["passes"]]} ({v["reason"]}).')
    for v in results['verdicts']
  ]

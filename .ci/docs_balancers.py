"""Writes the tables of docs/balancers.md.

PYTHONPATH=. python .ci/docs_balancers.py

From the balancers' records, and from what a step costs as
benchmarks/balancers.py has measured it. In the table of gains it writes the
columns of costs; the others are those of `python -m experiments.balancers`.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

from experiments import balancers as experiment
from rmtl_jax import config as config_lib
from rmtl_jax import json_files
from rmtl_jax.balancing import registry
from rmtl_jax.config import flags as config_flags

_ROOT = pathlib.Path(__file__).parents[1]
PAGE = _ROOT / 'docs' / 'balancers.md'
# Of MMoE, and of a backbone with all of its parameters shared but the towers.
_BENCHMARKS = [
  _ROOT / 'benchmarks' / 'results' / f'{name}.json'
  for name in ('balancers', 'balancers_shared_bottom')
]
_BLOCK = re.compile(
  r'(<!-- (\w+), written by \.ci/docs_balancers\.py -->\n)(.*?)(<!-- end -->)',
  re.DOTALL,
)


def page() -> str:
  """The whole page with its tables up to date, Markdown."""
  benchmark, other = map(json_files.read, _BENCHMARKS)
  tables = {
    'balancers': lambda old: _balancers(),
    'settings': lambda old: _settings(),
    'gains': lambda old: _gains(old, experiment.costs(benchmark)),
    'costs': lambda old: _costs(benchmark),
    'representation': lambda old: _representation([benchmark, other]),
  }
  return _BLOCK.sub(
    lambda found: '\n'.join(
      [found[1], *tables[found[2]](found[3]), '', found[4]]
    ),
    PAGE.read_text(encoding='utf-8'),
  )


def _balancers() -> Iterator[str]:
  yield (
    '| name | what it does | paper | acts on | needs beside | a step |'
    ' does not react to |'
  )
  yield '|---|---|---|---|---|---|---|'
  for record in registry.RECORDS.values():
    acts_on = record.acts_on if record.make else ''
    yield (
      f'| `{record.name}` | {record.label} | {record.paper} | {acts_on} |'
      f' {record.needs} | {record.cost} | {record.invariant} |'
    )


def _settings() -> Iterator[str]:
  texts = config_flags.attribute_texts(config_lib.BalancingConfig)
  yield '| setting | what it is | whose, and the value of its paper |'
  yield '|---|---|---|'
  for name, text in texts.items():
    values = {
      record.name: _value(name, record.settings[name])
      for record in registry.RECORDS.values()
      if name in record.settings
    }
    if values:
      yield f'| `{name}` | {text} | {_whose(values)} |'


def _gains(old: str, costs: dict[str, dict[str, str]]) -> Iterator[str]:
  """The table as it is, with its last columns from the benchmark."""
  header, _, *rows = [
    [cell.strip() for cell in text.strip('|').split('|')]
    for text in old.split('\n')
    if text.startswith('|')
  ]
  kept = sum(name not in costs for name in header)
  yield _row([*header[:kept], *costs])
  yield f'|{"---|" * (kept + len(costs))}'
  for row in rows:
    name = row[0].strip('`')
    yield _row([*row[:kept], *(cells[name] for cells in costs.values())])


def _costs(benchmark: dict[str, Any]) -> Iterator[str]:
  yield (
    '| balancer | rows/s of CPU, equal = 1 | CPU seconds, in its own passes |'
    ' memory, MiB | its state, MiB |'
  )
  yield '|---|---|---|---|---|'
  for one in benchmark['figures']:
    yield _row(
      [
        f'`{one["balancer"]}`',
        f'{1 / one["cpu_to_equal"]:.2f}',
        f'{one["cpu_to_passes"]:.2f}',
        f'{one["mebibytes"]:.0f}',
        f'{one["state_mebibytes"]:.1f}',
      ]
    )


def _representation(benchmarks: list[dict[str, Any]]) -> Iterator[str]:
  yield (
    '| backbone, K | towers, of a backward pass | all passes, of those to'
    ' parameters |'
  )
  yield '|---|---|---|'
  for one in benchmarks:
    found = one['representation']
    yield _row(
      [
        f'{one["backbone"]}, {one["tasks"]}',
        f'{found["towers_of_backward"]:.2f}',
        f'{found["passes_at_representation"]:.2f}',
      ]
    )


def _row(cells: list[str]) -> str:
  return f'| {" | ".join(cells)} |'


def _whose(values: dict[str, str]) -> str:
  if len(values) > 1 and len(set(values.values())) == 1:
    names = ', '.join(f'`{name}`' for name in values)
    return f'{names} {next(iter(values.values()))}'.strip()
  return ', '.join(
    f'`{name}` {value}'.strip() for name, value in values.items()
  )


def _value(name: str, value: Any) -> str:
  if value == '':
    return ''
  if name in ('period', 'warmup_steps'):
    return 'an epoch' if value == registry.EPOCH else str(value)
  return f'{value:g}' if isinstance(value, float) else str(value)


if __name__ == '__main__':
  PAGE.write_text(page(), encoding='utf-8')

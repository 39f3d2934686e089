"""Writes the tables of docs/balancers.md from the balancers' records.

python .ci/docs_balancers.py
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax.balancing import registry
from rmtl_jax.config import flags as config_flags

PAGE = pathlib.Path(__file__).parents[1] / 'docs' / 'balancers.md'
_BLOCK = re.compile(
  r'(<!-- (\w+), written by \.ci/docs_balancers\.py -->\n).*?(<!-- end -->)',
  re.DOTALL,
)


def page() -> str:
  """The whole page with its tables up to date, Markdown."""
  tables = {'balancers': _balancers, 'settings': _settings}
  return _BLOCK.sub(
    lambda found: '\n'.join([found[1], *tables[found[2]](), '', found[3]]),
    PAGE.read_text(encoding='utf-8'),
  )


def _balancers() -> Iterator[str]:
  yield '| name | what it does | paper | acts on | a step | does not react to |'
  yield '|---|---|---|---|---|---|'
  for record in registry.RECORDS.values():
    acts_on = record.acts_on if record.make else ''
    yield (
      f'| `{record.name}` | {record.label} | {record.paper} | {acts_on} |'
      f' {record.cost} | {record.invariant} |'
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

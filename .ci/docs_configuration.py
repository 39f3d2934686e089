"""Writes docs/configuration.md from the settings' own fields and docstrings.

python .ci/docs_configuration.py
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import limits, prepare_settings

PAGE = pathlib.Path(__file__).parents[1] / 'docs' / 'configuration.md'
_INTRODUCTION = """\
# Configuration

<!-- Written by .ci/docs_configuration.py from the dataclasses' fields and docstrings. -->

Every setting of a run is a flag of `rmtl train`, `rmtl compare` and `rmtl tune`: `--config.<group>.<field>=VALUE`; the column `default` shows the recommended form, of which the prepared data decide what is 0 or `auto`, and `allowed` what it may be. `--preset=paper` starts from the paper's form, `--preset=official` from that of the released code; where the paper's differs, it stands in brackets. `--config=FILE.json` loads settings (a run's `config.json`, the `best.json` of `rmtl tune`), `--config=FILE.py` runs a Python file that you trust, and calls its `get_config()` (`--config=FILE.py:TEXT`: `get_config('TEXT')`); flags override either. From Python: `rmtl_jax.Config(backbone='ple', network=rmtl_jax.NetworkConfig(embedding_dim=16))`.

A setting that does not exist, a value of another type or out of range ends a command with one line and exit code 2.
"""  # noqa: E501
_PREPARE = """\
## rmtl prepare

Flags of `rmtl prepare`, fields of `rmtl_jax.PrepareConfig`. How to use them: [your own log](your_data.md), [public logs](public_logs.md).
"""  # noqa: E501


def page() -> str:
  """The whole page, Markdown."""
  parts = [_INTRODUCTION]
  config, paper = config_lib.Config(), config_lib.preset('paper')
  single = [
    field.name
    for field in dataclasses.fields(config)
    if not dataclasses.is_dataclass(getattr(config, field.name))
  ]
  parts.append('## The run\n')
  parts += _table(config, paper, '', single)
  for field in dataclasses.fields(config):
    group = getattr(config, field.name)
    if not dataclasses.is_dataclass(group):
      continue
    parts.append(f'## {field.name}\n')
    parts.append(_summary(type(group)) + '\n')
    names = [f.name for f in dataclasses.fields(group)]
    theirs = getattr(paper, field.name)
    parts += _table(group, theirs, f'{field.name}.', names)
  parts.append(_PREPARE)
  prepare = prepare_settings.PrepareConfig()
  names = [f.name for f in dataclasses.fields(prepare)]
  parts += _table(prepare, prepare, '', names)
  return '\n'.join(parts)


def _summary(kind: type) -> str:
  return str(kind.__doc__).splitlines()[0]


def _table(
  group: Any, paper: Any, prefix: str, names: list[str]
) -> Iterator[str]:
  """The lines of one table, an empty one last."""
  yield '| setting | default | allowed | what it does |'
  yield '|---|---|---|---|'
  yield from _rows(group, paper, prefix, names)
  yield ''


def _rows(
  group: Any, paper: Any, prefix: str, names: list[str]
) -> Iterator[str]:
  """A row per setting; those of a group inside of it in its place."""
  texts = config_flags.attribute_texts(type(group))
  kinds = limits.fields(type(group))
  for name in names:
    default, other = getattr(group, name), getattr(paper, name)
    if dataclasses.is_dataclass(default):
      inner = [field.name for field in dataclasses.fields(default)]
      yield from _rows(default, other, f'{prefix}{name}.', inner)
      continue
    shown = _code(default)
    if other != default:
      shown += f' ({_code(other)})'
    text, allowed = _escaped(texts[name]), limits.words(kinds[name])
    yield f'| `{prefix}{name}` | {shown} | {allowed} | {text} |'


def _escaped(text: str) -> str:
  """What Markdown would take for a table's or a link's, outside of code."""
  parts = text.replace('|', r'\|').split('`')
  parts[::2] = [part.replace('[', r'\[') for part in parts[::2]]
  return '`'.join(parts)


def _code(value: Any) -> str:
  shown = config_flags.shown(value)
  return f'`{shown}`' if shown else ''


if __name__ == '__main__':
  PAGE.write_text(page(), encoding='utf-8')

"""A description as a page, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.report import tables as report_tables
from rmtl_jax.report.description import pictures, tables, words
from rmtl_jax.report.page import content, vector

Record = Mapping[str, Any]

# Fields and pairs of labels that a terminal shows.
_MOST_SHOWN = 20


@vector.style()
def build(record: Record) -> content.Page:
  """Builds the page."""
  return content.Page(
    f'Data {record["name"]}',
    [
      content.Text(f'Prepared from {record["source"]}.'),
      content.Items(words.findings(record)),
    ],
    [
      _splits(record),
      _labels(record),
      content.Section('Fields', _fields(record)),
      content.Section(
        'Sessions',
        [
          content.Pictures([pictures.session_lengths(record)]),
          content.Grid('Rows of a session', tables.sessions(record)),
        ],
      ),
    ],
  )


def _splits(record: Record) -> content.Section:
  return content.Section(
    'Splits',
    [
      content.Grid('Splits', tables.splits(record)),
      *content.side_by_side([pictures.rows(record)]),
    ],
  )


def _labels(record: Record) -> content.Section:
  drawn = (pictures.rate(record, k) for k in range(len(record['tasks'])))
  blocks: list[content.Block] = [
    content.Grid('Rates and means of observed labels', tables.labels(record)),
    *content.side_by_side(drawn),
  ]
  pairs = tables.together(record)
  if pairs.rows:
    blocks += [
      content.Heading('Labels together'),
      content.Text(words.TOGETHER),
      content.Grid('Pairs of labels', pairs),
    ]
  return content.Section('Labels', blocks)


def _fields(record: Record) -> list[content.Block]:
  fields, code = record['fields'], ('field',)
  moves = content.Grid(
    'The value whose share differs most between train and test',
    tables.moves(fields),
    code,
  )
  seen = content.Grid(
    'Values of the vocabulary that a split has', tables.seen(fields), code
  )
  return [
    content.Text(words.DRIFT),
    content.Pictures([pictures.drifts(record)]),
    content.Grid(
      'Drift and unseen values, worst first', tables.fields(fields), code
    ),
    content.Folded('What changes most in every field', [moves]),
    content.Folded('Different values of every field', [seen]),
  ]


def text(record: Record) -> str:
  """The tables in 80 columns, and what stands out."""
  pairs, fields = tables.together(record), tables.fields(record['fields'])
  parts = [
    tables.splits(record),
    tables.labels(record),
    *([pairs.first(_MOST_SHOWN)] if pairs.rows else []),
    tables.sessions(record),
    fields.first(_MOST_SHOWN),
  ]
  lines = list(map(report_tables.plain, parts))
  rest = len(fields.rows) - _MOST_SHOWN
  if rest > 0:
    lines[-1] += f'{rest} more fields are on the page\n'
  return '\n'.join(
    [*lines, *map(report_tables.wrapped, (words.DRIFT, ''))]
    + [report_tables.wrapped(line) for line in words.findings(record)]
  )

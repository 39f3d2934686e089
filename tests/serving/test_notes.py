"""What is said of values that training never saw."""

import pytest

from rmtl_jax.serving import notes


@pytest.mark.parametrize(
  ('rows', 'values', 'unseen', 'rest', 'line'),
  [
    (400, 400, 0, 0.0, ''),
    (400, 400, 190, 0.0, ''),
    (
      400,
      400,
      380,
      0.1,
      "380 of 400 values of column 'c' (95%) are not in the run's vocabulary"
      ' (in training 10% had no embedding of their own)',
    ),
    # Where training had few known values too, many unseen ones say little.
    (400, 400, 380, 0.92, ''),
    (1, 1, 1, 0.99, "not one of 1 values of column 'c' is in the run's"),
    (10, 10, 9, 0.0, ''),
    (20, 0, 0, 0.0, "column 'c' has no value in 20 rows"),
    (19, 0, 0, 0.0, ''),
  ],
)
def test_fields(rows, values, unseen, rest, line):
  counts = notes.FieldCounts('c', rest)
  counts.add(rows - rows // 2, values, 0)
  counts.add(rows // 2, 0, unseen)
  said = counts.warning()
  assert said.startswith(line) and bool(said) == bool(line)
  assert counts.share == (unseen / values if values else 0.0)


def test_lines_come_first():
  found = notes.Notes()
  found.lines.append('of the history')
  found.fields['f'] = notes.FieldCounts('c', 0.0)
  found.fields['f'].add(2, 2, 2)
  assert found.warnings() == [
    'of the history',
    "field 'f': not one of 2 values of column 'c' is in the run's vocabulary",
  ]
  assert found.unseen() == {'f': 1.0}

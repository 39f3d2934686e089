import json

import pytest

from rmtl_jax.server import bodies


def test_whole_numbers_of_json_are_of_64_bits():
  ends = [2**64 - 1, 0]
  body = json.dumps([{'a': end, 'b': -(2**63)} for end in ends]).encode()
  found = bodies.read(body, bodies.JSON, 2)
  assert found['a'].to_pylist() == ends
  assert found['b'].to_pylist() == [-(2**63)] * 2


def test_a_column_that_a_row_has_twice_is_named():
  body = b'{"rows": [{"price": 1.5, "brand": "a"}, {"price": 1, "price": 2}]}'
  with pytest.raises(bodies.Refused, match=r"'price' occurs twice") as caught:
    bodies.read(body, bodies.JSON, 2)
  assert caught.value.status == 400


def test_columns_that_one_row_names_for_all_are_limited():
  wide = {f'c{i}': 1 for i in range(5_000)}
  assert bodies.read(json.dumps([wide]).encode(), bodies.JSON, 512).num_rows
  rows = [*[{}] * 500, wide]
  with pytest.raises(bodies.Refused, match='row 501: too many') as caught:
    bodies.read(json.dumps(rows).encode(), bodies.JSON, 512)
  assert caught.value.status == 413
  # Each costs time of its own.
  wide = {f'c{i}': 1 for i in range(10_001)}
  with pytest.raises(bodies.Refused, match='row 1: too many columns'):
    bodies.read(json.dumps([wide]).encode(), bodies.JSON, 512)

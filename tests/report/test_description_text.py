"""Sentences about fields whose values differ between splits."""

from rmtl_jax.report import description_text


def _field(name: str, as_of: str, index: float) -> dict:
  return {
    'name': name,
    'kind': 'categorical',
    'size': 9,
    'as_of': as_of,
    'unseen': {},
    'psi': {'validation': index, 'test': index},
    'chance': {'validation': 0.01, 'test': 0.01},
  }


def test_as_of_fields_that_drift_share_one_sentence():
  fields = [
    _field('price', '', 0.9),
    _field('brand', '', 0.1),
    *(_field(f'views_{i}', 'views', 1.0) for i in range(15)),
  ]
  of_log, as_of = description_text.differences(fields)
  assert 'price' in of_log and 'brand' not in of_log
  assert 'views_0' in as_of and 'views' not in of_log

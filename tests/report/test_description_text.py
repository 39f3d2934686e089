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


def test_fields_of_the_log_that_drift_are_named():
  fields = [
    _field('price', '', 0.9),
    _field('brand', '', 0.1),
    *(_field(f'views_{i}', 'views', 1.0) for i in range(15)),
  ]
  assert description_text.differences(fields) == [
    'Differs much between train and test: price.'
  ]

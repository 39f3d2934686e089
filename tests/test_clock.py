import pytest

from rmtl_jax import clock


def test_a_part_within_another_counts_by_itself(monkeypatch):
  now = iter(range(0, 1000, 10))
  monkeypatch.setattr(clock.time, 'perf_counter', lambda: next(now))
  clock.take()
  with clock.part('outer'):
    with clock.part('inner'):
      pass
    with pytest.raises(ValueError), clock.part('inner'):
      raise ValueError
  clock.add('compiling', 3.0)
  found = clock.take()
  assert found == {'outer': 30.0, 'inner': 20.0, 'compiling': 3.0}
  clock.add('compiling', 3.0)
  with clock.measured(), clock.part('preparing'):
    with clock.measured(), clock.part('reading'):
      pass
    assert clock.take() == {'preparing': 20.0, 'reading': 10.0}

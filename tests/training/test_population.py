"""Groups of members, without training any."""

import jax

from rmtl_jax.training import models, population


def cut(groups, members):
  return [group for _, group in groups.cut(members)]


def test_members_are_cut_by_program():
  a, b = models.Program(lambda: None), models.Program(lambda: None)
  members = [(a, 0), (b, 1), (a, 2), (a, 3)]
  assert cut(population.Groups(2), members) == [[0, 2], [3], [1]]


def test_a_resumed_job_runs_groups_of_the_size_it_began_with(monkeypatch):
  """Though most members have finished: other sizes round otherwise."""
  sizes = []

  def run_epochs(loop, states, *args):
    sizes.append(len(states))
    return states, [{}] * len(states)

  monkeypatch.setattr(population.trainer, 'run_epochs', run_epochs)
  monkeypatch.setattr(models.Program, 'population_loop', None)
  program = models.Program(lambda: None)
  groups = population.Groups(3)
  groups.reserve([program] * 5)
  ((_, group),) = groups.cut([(program, 'the last one')])
  key = jax.random.key(0)
  passes = [population.Pass('state', None, key) for _ in group]
  found = groups.run(_Context(), 'label', program, passes)
  assert found == [('state', {})] and sizes == [3]


class _Context:
  """As much of a run as Groups asks for."""

  def __getattr__(self, name):
    return _Context()

  def __mul__(self, other):
    return other

  def __call__(self, *args):
    return None


def test_how_many_are_trained_together(monkeypatch):
  assert population.most(3, 8) == 3
  monkeypatch.setattr(jax, 'default_backend', lambda: 'cpu')
  assert population.most(0, 8) == 1
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert population.most(0, 8) == 8

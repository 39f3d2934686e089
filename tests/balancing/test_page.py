"""Balancers in anyone's loop: the code of their page."""

import pytest

from tests import registries as registries_lib
from tests import walks

PAGE = 'docs/balancers.md'


@pytest.fixture
def registries():
  """What the page registers is forgotten after the test."""
  kept = registries_lib.Registries()
  yield
  kept.undo()


@pytest.mark.usefixtures('registries')
def test_code_of_the_page_runs():
  space = {'__name__': 'balancers'}
  blocks = walks.blocks(PAGE, 'python')
  assert len(blocks) > 3
  for block in blocks:
    exec(compile(block, PAGE, 'exec'), space)
  assert space['settings'].pretrain.balancing.name == 'inverse_losses'

"""The digests of tests/digests.py: what they cover and what they notice."""

from tests import digests


def test_quick_cases_have_every_backbone_weighting_input_and_mesh():
  found = digests.cases('quick')
  assert len({case.name for case in found}) == len(found)
  on_simulated = {(c.backbone, c.weighting) for c in found}
  assert len(on_simulated) == len(digests.BACKBONES) * len(digests.WEIGHTINGS)
  assert {case.log for case in found} == set(digests.LOGS)
  assert {case.input for case in found} == set(digests.INPUTS)
  assert {case.mesh for case in found} == set(digests.MESHES)
  assert {case.ensemble for case in found} == {1, 2}


def test_full_cases_have_every_combination():
  combinations = 2 * 7 * 5 * 2 * 2
  assert len(digests.cases('full')) == combinations + 2  # and two ensembles


def test_differences_name_the_case_and_their_size():
  old = {
    'same': {'parameters': {'pretrain': 'a'}, 'metrics': {'/auc': 0.5}},
    'moved': {
      'parameters': {'pretrain': 'a', 'finetune': 'b'},
      'metrics': {'/auc': 0.5, '/logloss': 0.25, '/gone': 1},
    },
    'left out': {'parameters': {}, 'metrics': {}},
  }
  new = {
    'same': {'parameters': {'pretrain': 'a'}, 'metrics': {'/auc': 0.5}},
    'moved': {
      'parameters': {'pretrain': 'a', 'finetune': 'c'},
      'metrics': {'/auc': 0.75, '/logloss': 0.375},
    },
  }
  assert digests.differences(old, new) == [
    'moved: parameters differ: finetune',
    'moved: 2 of 2 metrics differ, most /auc by 0.25',
    'moved: 1 metrics are gone, first /gone',
  ]

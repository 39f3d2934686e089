"""What a run's stages are."""

from rmtl_jax.runtime import stages


def test_numbers_stay_those_of_keys_and_checkpoints():
  assert [stages.number(name) for name in stages.ORDER] == [1, 2, 3]


def test_arms_of_stage_3_are_one_stage():
  assert stages.LEAVES == ('pretrain', 'critic', 'constant', 'finetune')
  assert stages.number('constant') == stages.number('finetune') == 3


def test_critics_are_left_by_one_stage_alone():
  assert [*filter(stages.trains_critics, stages.LEAVES)] == ['critic']
  # Histories of other versions may name more.
  assert not stages.trains_critics('distil')


def test_what_stages_keep():
  kept = {
    name: (one.holds_critics, one.keeps_moments, one.keeps_last)
    for name, one in stages.RECORDS.items()
  }
  assert kept == {
    'pretrain': (False, True, False),
    'critic': (False, True, False),
    'finetune': (True, False, True),
  }

"""What a run's stages are."""

from rmtl_jax.runtime import stages


def test_numbers_stay_those_of_keys_and_checkpoints():
  assert [stages.NUMBERS[name] for name in stages.ORDER] == [1, 2, 3]


def test_arms_of_stage_3_are_one_stage():
  assert stages.LEAVES == ('pretrain', 'critic', 'constant', 'finetune')
  assert stages.NUMBERS['constant'] == stages.NUMBERS['finetune'] == 3

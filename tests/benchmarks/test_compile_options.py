import pytest

from benchmarks import compile_options


@pytest.mark.parametrize(
  ('option', 'expected'),
  [
    ('xla_cpu_use_onednn=true', {'xla_cpu_use_onednn': True}),
    ('xla_cpu_use_onednn=false', {'xla_cpu_use_onednn': False}),
    ('xla_width=512', {'xla_width': 512}),
    ('xla_preset=FAST,SMALL', {'xla_preset': 'FAST,SMALL'}),
    ('xla_preset=', {'xla_preset': ''}),
  ],
)
def test_options_are_what_jit_takes(option, expected):
  assert compile_options.parsed(option) == expected


def test_every_round_has_every_program_and_its_ratios_are_of_the_round():
  rounds, called = [1.0, 2.0, 4.0], []

  def program(name, factor):
    def dispatch():
      called.append(name)
      return factor * rounds[called.count(name) - 1]

    return dispatch

  programs = {
    compile_options.NONE: program('none', 1.0),
    'option': program('option', 3.0),
  }
  times = compile_options.take_turns(programs, 3, lambda dispatch: dispatch())
  assert all(
    sorted(called[at : at + 2]) == ['none', 'option'] for at in (0, 2, 4)
  )
  of_none, of_option = compile_options.figures(times)
  assert of_none['cpu ratio'] == of_none['least'] == of_none['most'] == 1.0
  assert of_option['cpu ratio'] == of_option['least'] == 3.0
  assert of_option['cpu ms'] == pytest.approx(6000.0)

"""The chapter on tasks, of a made-up history."""

from rmtl_jax.report.page import content
from rmtl_jax.report.run import balance
from tests.report.run import example


def _entry(stage, epoch, cosine, conflict, **more):
  return {
    'stage': stage,
    'epoch': epoch,
    'gradient_norm_click': 0.25,
    'gradient_norm_conversion': 0.5,
    'gradient_cosine_click_and_conversion': cosine,
    'gradient_conflict_click_and_conversion': conflict,
    **more,
  }


def _blocks(kind, section):
  return [block for block in section.blocks if isinstance(block, kind)]


def test_what_it_says_of_one_model():
  history = [
    _entry('pretrain', 1, 0.5, 0.0),
    _entry('pretrain', 2, -0.25, 0.75, weight_mean_click=0.5),
    _entry('finetune', 1, 0.125, 0.0),
  ]
  section = balance.section(example.build(history=history))
  assert section is not None and section.title == 'Tasks'
  (items,) = _blocks(content.Items, section)
  assert items.lines[:3] == [
    'Stage 1: equal weights.',
    'Stage 3: equal weights.',
    'click and conversion: the cosine of their gradients is -0.25 after the'
    ' last epoch of stage 1; in 25 % of the batches that were looked at they'
    ' conflict (a cosine below 0).',
  ]
  (pictures,) = _blocks(content.Pictures, section)
  assert 'from 0.50 to -0.25' in pictures.pictures[0].alt
  (folded,) = _blocks(content.Folded, section)
  (grid,) = folded.blocks
  assert [row[:2] for row in grid.table.rows] == [
    ('stage 1', '1'),
    ('stage 1', '2'),
    ('stage 3', '1'),
  ]
  assert grid.table.rows[1][-3:] == ('0.25', '0.5', '-0.25')


def test_members_are_told_apart():
  history = [
    _entry('pretrain', 1, 0.75, 0.0, member=0),
    _entry('pretrain', 1, 0.5, 0.0, member=1),
  ]
  section = balance.section(example.build(history=history))
  assert section is not None
  (items,) = _blocks(content.Items, section)
  assert 'is 0.75 and 0.50 after the last epoch of stage 1' in items.lines[1]
  assert 'in no batch that was looked at do they conflict' in items.lines[1]


def test_a_pair_that_no_batch_has_both_of_is_passed_over():
  history = [
    {
      'stage': 'pretrain',
      'epoch': 1,
      'gradient_cosine_a_and_c': 0.5,
      'gradient_conflict_a_and_c': 0.0,
    }
  ]
  section = balance.section(example.build(('a', 'b', 'c'), history=history))
  assert section is not None
  (items,) = _blocks(content.Items, section)
  assert [line.split(':')[0] for line in items.lines if ' and ' in line] == [
    'a and c'
  ]


def test_runs_without_such_figures_have_no_chapter():
  assert balance.section(example.build()) is None


def test_the_legend_has_pairs_of_any_name():
  history = [
    {
      'stage': 'pretrain',
      'epoch': epoch,
      'gradient_cosine__a_and_b': 0.5,
      'gradient_conflict__a_and_b': 0.0,
    }
    for epoch in (1, 2)
  ]
  section = balance.section(example.build(('_a', 'b'), history=history))
  assert section is not None
  (pictures,) = _blocks(content.Pictures, section)
  assert '_a, b<' in pictures.pictures[0].svg

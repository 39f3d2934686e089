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

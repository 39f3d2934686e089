"""Pictures whose names come from data."""

import io
import warnings

import matplotlib.figure

from rmtl_jax.report import plain


def test_fonts_that_are_there_stand_in_for_missing_letters(monkeypatch):
  # A letter that Matplotlib's own font lacks and another of its fonts has.
  monkeypatch.setattr(plain, '_WIDE_FONTS', ('No such font', 'STIXGeneral'))
  with plain.figures(), warnings.catch_warnings():
    warnings.simplefilter('error')
    figure = matplotlib.figure.Figure()
    title = figure.suptitle('click \u232d')
    figure.savefig(io.BytesIO())
  assert title.get_fontfamily()[-1] == 'STIXGeneral'
  assert 'No such font' not in title.get_fontfamily()

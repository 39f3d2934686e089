"""Words of names of columns."""

from __future__ import annotations

import re


def listed(text: str) -> frozenset[str]:
  """The words of a text."""
  return frozenset(text.split())


def of(name: str) -> list[str]:
  """Lower-case words of a name.

  >>> of('isClick_2'), of('visitorid')
  (['is', 'click', '2'], ['visitorid'])
  """
  parts = re.findall(r'[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+', name)
  return [part.lower() for part in parts]


def without_digits(name: str) -> str:
  """The words of a name that are no numbers.

  >>> without_digits('PAY_AMT1') == without_digits('pay_amt_2')
  True
  """
  return ' '.join(word for word in of(name) if not word.isdigit())

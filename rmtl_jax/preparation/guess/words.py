"""Words of names of columns."""

from __future__ import annotations

import re
from collections.abc import Callable


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


def any_of(text: str) -> Callable[[str], bool]:
  """Tells whether a name has one of the words of a text.

  >>> is_promo = any_of('sale promo')
  >>> is_promo('on_sale'), is_promo('salesman')
  (True, False)
  """
  known = listed(text)
  return lambda name: not known.isdisjoint(of(name))


def ends_in(text: str) -> Callable[[str], bool]:
  """Tells whether the last word of a name is among those of a text.

  >>> is_day = ends_in('day date')
  >>> is_day('Order Date'), is_day('date_of_birth')
  (True, False)
  """
  known = listed(text)
  return lambda name: not known.isdisjoint(of(name)[-1:])


def is_one_of(text: str) -> Callable[[str], bool]:
  """Tells whether all of a name, its words joined, is a word of a text.

  >>> is_number = is_one_of('idno nr')
  >>> is_number('id_no'), is_number('house_nr')
  (True, False)
  """
  known = listed(text)
  return lambda name: ''.join(of(name)) in known

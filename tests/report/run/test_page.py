"""The page of a run: its numbers, and that it is safe to open."""

import copy
import json
import re

import pytest

from rmtl_jax.report.page import content, html, markdown
from rmtl_jax.report.run import page as run_page
from rmtl_jax.results import report_record
from tests import tiny
from tests.report.page import reading

HOSTILE = (
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)> | `a` #000000 $x$ http://e.com',
)


@pytest.fixture(scope='module')
def record(paper_run):
  return report_record.gather(paper_run[0])


@pytest.fixture(scope='module')
def built(record):
  return run_page.build(record)


@pytest.fixture(scope='module')
def read(built):
  return reading.Reader(html.render(built))


def test_figures_stand_in_the_tables(read, record):
  for task in tiny.TASKS:
    (ranking,) = (r for c, r in read.tables.items() if f'{task}, test' in c)
    names = [row[0] for row in ranking]
    assert names[1] == 'user rate x item rate' and names[-1] == 'oracle'
    shown = [row[1] for row in ranking]
    for of in record['metrics']['stages'].values():
      assert any(cell.startswith(f'{of[task]["auc"]:.4f}') for cell in shown)
  settings = read.tables["Settings that differ from the paper's"]
  assert ['pretrain.max_epochs', '2', '20'] in settings


def test_pictures_have_titles_and_descriptions(read):
  assert len(read.pictures) > 8
  assert all(title and description for title, description in read.pictures)
  for tag, attributes in read.elements:
    assert tag != 'svg' or attributes['role'] == 'img'
    assert tag != 'img' or attributes.get('alt')


def test_markdown_has_the_same_figures(built, read):
  text = markdown.render(built)
  assert reading.markdown_tables(text) == read.tables
  names = re.findall(r'^!\[.+\]\(pictures/([\w-]+)\.svg\)$', text, re.MULTILINE)
  assert names == [picture.name for picture in content.pictures(built)]


def test_names_of_data_are_text_and_no_more(record):
  text = json.dumps(record)
  for task, name in zip(tiny.TASKS, HOSTILE, strict=True):
    text = text.replace(json.dumps(task), json.dumps(name))
  evil = copy.deepcopy(json.loads(text))
  evil['metrics']['warnings'] = [*HOSTILE, 'bell\x07 and \ud800']
  built = run_page.build(evil)
  text = html.render(built)
  reading.assert_closed(text)
  found = reading.Reader(text)
  for name in HOSTILE:
    assert name in found.text
    assert any(name in title for title, _ in found.pictures)
  assert 'bell\\x07 and \\ud800' in found.text
  text = markdown.render(built)
  text.encode()
  text = re.sub(r'(?<!\\)`[^`]*`', '', text)  # code obeys nothing
  assert '<script' not in text and '<img' not in text
  for picture in content.pictures(built):
    assert '<script' not in picture.svg and '<img' not in picture.svg

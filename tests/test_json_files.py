"""JSON of strangers: one line for what is none."""

import json

import pytest

from rmtl_jax import json_files, types


def read(tmp_path, content):
  path = tmp_path / 'some.json'
  path.write_bytes(content)
  return json_files.read(path)


def test_documents_are_decoded(tmp_path):
  assert read(tmp_path, b'{"a": [1, 2.5, null, "\xc3\xa9"]}') == {
    'a': [1, 2.5, None, 'é']
  }
  assert read(tmp_path, b'\xef\xbb\xbf[]') == []


def test_a_record_is_the_one_of_its_digest(tmp_path):
  record = json_files.sealed({'a': (1, 2.5), 1: 'é'})
  assert len(record.pop('record_digest')) == 32
  assert record == {'a': [1, 2.5], '1': 'é'}
  text = json.dumps(json_files.sealed(record), indent=2)
  assert read(tmp_path, text.encode())['a'] == [1, 2.5]
  with pytest.raises(types.InputError, match='is not as it was written'):
    read(tmp_path, text.replace('2.5', '2.4').encode())


@pytest.mark.parametrize(
  ('content', 'said'),
  [
    (b'', 'row 1: not valid JSON'),
    (b'{\n"a": 1,\n}', 'row 3: not valid JSON'),
    (b'"\xff"', 'not readable'),
    (b'[' * 10**5, 'nested too deeply'),
    (b'{"a":' * 10**5, 'nested too deeply'),
    (b'NaN', 'NaN is no number'),
    (b'[-Infinity]', '-Infinity is no number'),
    (b'1e400', '1e400 is too large'),
    (b'[-%b]' % (b'1' * 400), '111 is too large'),
    (b'1' * 5000, 'Exceeds the limit'),
    (b'{"a": 1, "b": 2, "a": 3}', "'a' occurs twice"),
    (b'{"a": 1, "record_digest": "0"}', 'is not as it was written'),
  ],
  ids=lambda value: repr(value)[:20],
)
def test_what_is_no_json_is_named(tmp_path, content, said):
  with pytest.raises(types.InputError, match=r'some\.json: ') as error:
    read(tmp_path, content)
  assert said in str(error.value)


@pytest.mark.parametrize(
  ('take', 'said'),
  [
    (lambda record: record['b'], "lacks 'b'"),
    (lambda record: record['a']['b'], 'not subscriptable'),
    (lambda record: record['a'].b, "no attribute 'b'"),
    (lambda record: float(record['c']), 'could not convert'),
  ],
)
def test_a_record_that_is_not_as_written_is_named(take, said):
  with (
    pytest.raises(types.InputError, match=f'^a.json: not as rmtl.*{said}'),
    json_files.parsing('a.json'),
  ):
    take({'a': 1, 'c': 'x'})


def test_a_number_that_json_lacks_is_none():
  found = [json_files.number(x) for x in (0.5, float('nan'), float('-inf'))]
  assert found == [0.5, None, None]

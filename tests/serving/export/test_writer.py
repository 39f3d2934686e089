"""What an export writes, and says of a full disk."""

import numpy as np
import pytest

from rmtl_jax.serving.export import writer
from tests.faults import runs


def test_parameters_on_a_full_disk_name_the_file_and_the_reason(tmp_path):
  params = {'table': np.ones((100_000, 4), np.float32)}
  with (
    runs.small_disk(tmp_path / 'disk', '64k') as disk,
    pytest.raises(OSError, match='No space left') as error,
  ):
    writer._write_parameters(params, disk)
  assert error.value.filename == str(disk / 'parameters/table.npy')

"""TensorBoard's settings beside the metrics of the run."""

from tensorboardX.proto import plugin_hparams_pb2

from rmtl_jax.runtime import writers
from tests.runtime import test_writers
from tests.runtime.tracking import test_trackers


def test_hparams_stand_beside_the_metrics_of_the_run(tmp_path):
  writer = writers.Writer(tmp_path, [])
  writer.parameters({'seed': 3, 'network.bottom_units': (8, 6), 'on': True})
  writer.finish(test_trackers.RECORD)
  writer.close()
  found = {
    value.tag: plugin_hparams_pb2.HParamsPluginData.FromString(
      value.metadata.plugin_data.content
    )
    for value, _ in test_writers.plotted(tmp_path)
    if value.metadata.plugin_data.plugin_name == 'hparams'
  }
  start = found['_hparams_/session_start_info'].session_start_info
  assert start.hparams['seed'].number_value == 3
  assert start.hparams['network.bottom_units'].string_value == '(8, 6)'
  assert start.hparams['on'].bool_value is True
  named = [
    metric.name.tag
    for metric in found['_hparams_/experiment'].experiment.metric_infos
  ]
  assert named == ['test/pretrain/auc_click', 'test/pretrain/positives_click']
  assert ('test/pretrain/auc_click', 0.75, 0) in test_writers.scalars(tmp_path)

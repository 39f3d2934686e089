#!/usr/bin/env bash
# A slice of a TPU pod: the same command on all of its hosts.
#
#   experiments/launch/tpu_pod_slice.sh create|install|train|stop|delete
#
# NOT RUN. That every flag of rmtl exists and that the script is sound shell is
# tested (tests/experiments/test_launch.py); gcloud's flags are as its pages
# show them (docs.cloud.google.com/tpu/docs/jax-pods), which say that this API
# ends with v6e: for later TPUs use GKE (kubernetes_jobset.yaml).
#
# Assumptions
# - gcloud is signed in to a project with quota for these chips.
# - v5litepod-32 is eight hosts of four chips; JAX finds them and their numbers
#   from the VMs' metadata, so --distributed is enough.
# - FILE_SYSTEM is an NFS export (Filestore, say) in the slice's network, with
#   this repository, RUN and DATA in it. An object store that is mounted is no
#   place for RUN: checkpoints are renamed into place.
# - systemd keeps rmtl running when the connection ends. It starts it again after
#   any failure but bad input (2) and a stop (143), signals the supervisor alone,
#   and gives it 120 s to save: when it is stopped, and when the VM shuts down,
#   where Google allows less (about 30 s for Spot VMs).
# - A preempted slice is gone: delete, create, install and train again; the run
#   goes on from its last checkpoint (checkpoint_minutes).
set -euo pipefail

NAME=${NAME:-rmtl}
ZONE=${ZONE:-europe-west4-b}
ACCELERATOR=${ACCELERATOR:-v5litepod-32}
VERSION=${VERSION:-v2-alpha-tpuv5-lite}
CHIPS=${CHIPS:-32}
HOSTS=${HOSTS:-8}
FILE_SYSTEM=${FILE_SYSTEM:-10.0.0.2:/shared}
SOURCE=${SOURCE:-/shared/rmtl_jax}
RUN=${RUN:-/shared/runs/mine}
DATA=${DATA:-/shared/data/mine}

everywhere() {
  gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all \
    --command="$1"
}

case ${1:-} in
  create)
    gcloud compute tpus tpu-vm create "$NAME" --zone="$ZONE" \
      --accelerator-type="$ACCELERATOR" --version="$VERSION" --spot
    ;;
  install) # the image's Python may be older than 3.11
    everywhere "set -e
      sudo apt-get update -q && sudo apt-get install -qy nfs-common
      sudo mkdir -p /shared && sudo mount -t nfs $FILE_SYSTEM /shared
      python3 -m pip install --user -q uv
      ~/.local/bin/uv venv --python 3.11 ~/rmtl
      ~/.local/bin/uv pip install -q --python ~/rmtl '$SOURCE[tpu]'"
    ;;
  train) # 32 lanes (2,048 rows) of a batch per chip, one reader per host
    everywhere "sudo systemctl reset-failed rmtl 2>/dev/null || true
      sudo systemd-run --unit=rmtl --uid=\$(id -u) --setenv=HOME=\$HOME \
        --property=Restart=on-failure --property=RestartSec=30 \
        --property='RestartPreventExitStatus=2 143' \
        --property=KillMode=mixed --property=TimeoutStopSec=120 \
        \$HOME/rmtl/bin/rmtl train --distributed \
        --workdir=$RUN --data_dir=$DATA \
        --mesh=data:$CHIPS \
        --config.batch.lanes=$((32 * CHIPS)) \
        --config.batch.input=streaming \
        --config.network.embedding_adam=rows"
    echo "Each host's journal has its own lines (journalctl -u rmtl)."
    ;;
  stop)
    everywhere 'sudo systemctl stop rmtl'
    ;;
  delete)
    gcloud compute tpus tpu-vm delete "$NAME" --zone="$ZONE" --quiet
    ;;
  *)
    sed -n '2,4p' "$0" >&2
    exit 2
    ;;
esac

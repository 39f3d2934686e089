"""Figures of devices, none of them measured here, and what is assumed."""

from __future__ import annotations

import dataclasses

GIGA, TERA = 1e9, 1e12


@dataclasses.dataclass(frozen=True)
class Device:
  """An accelerator and its host, as vendors describe them.

  Attributes:
    flops: peak of matrix products at JAX's default precision, FLOP/s.
    memory: bytes of HBM.
    memory_rate: its bytes per second.
    link: bytes per second that one device sends to those of its island.
    network: the same beyond the island; 0 where the island is the whole slice.
    island: devices that `link` joins.
    per_host: devices of a host.
    per_process: devices of a process, each of which has one reading thread.
    launch: seconds that a kernel takes at least.
    source: where the figures come from.
  """

  flops: float
  memory: float
  memory_rate: float
  link: float
  network: float
  island: int
  per_host: int
  per_process: int
  launch: float
  source: str


# Vendors' public figures, but for per_process and launch (assumptions).
DEVICES = {
  'H100 SXM': Device(
    flops=494.7 * TERA,
    memory=80 * GIGA,
    memory_rate=3350 * GIGA,
    link=450 * GIGA,
    network=50 * GIGA,
    island=8,
    per_host=8,
    per_process=1,
    launch=5e-6,
    source='NVIDIA, H100 and DGX H100 data sheets: TF32 without sparsity,'
    ' NVLink 900 GB/s both ways, 8 x 400 Gbit/s per host',
  ),
  'TPU v5e': Device(
    flops=197 * TERA,
    memory=16 * GIGA,
    memory_rate=819 * GIGA,
    link=200 * GIGA,
    network=0.0,
    island=256,
    per_host=4,
    per_process=4,
    launch=1e-6,
    source='Google Cloud, TPU v5e: bf16; all-reduce 51.2 TB/s per pod of 256',
  ),
  'TPU v5p': Device(
    flops=459 * TERA,
    memory=95 * GIGA,
    memory_rate=2765 * GIGA,
    link=600 * GIGA,
    network=0.0,
    island=6144,
    per_host=4,
    per_process=4,
    launch=1e-6,
    source='Google Cloud, TPU v5p: bf16; interconnect 1,200 GB/s both ways',
  ),
}


@dataclasses.dataclass(frozen=True)
class Assumptions:
  """What neither a vendor says nor this project has measured.

  Attributes:
    utilisation: share of the peak that products of these widths reach.
    memory_share: share of the memory's rate that a step reaches.
    link_share: share of a link's rate that an all-reduce reaches.
    hop: seconds that a collective takes at least, times log2 of its devices.
    kernels: kernels of a step per matrix product.
    dispatch: seconds between two dispatches in which devices wait.
    usable: share of the device's memory that tables may take.
  """

  utilisation: float = 0.3
  memory_share: float = 0.7
  link_share: float = 0.7
  hop: float = 10e-6
  kernels: float = 3.0
  dispatch: float = 2e-3
  usable: float = 0.7

"""Accelerators of this machine: one for each policy host, and one renderer for each simulator."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vla_eval.errors import UsageError

__all__ = ["Fleet", "egl_device_of", "host_environment", "parse_devices", "worker_environment"]

_EGL_CUDA_DEVICE_NV = 0x323A
_MOST_DEVICES = 64


@dataclass(frozen=True)
class Fleet:
    """Spread of a run's processes over this machine's devices. No record depends on it at max_batch 1."""

    devices: tuple[str, ...] = ()
    """The devices of policy hosts, ``cuda:N`` or ``cpu``; empty: each host sees all."""
    hosts_per_device: int = 1
    """Hosts of one arm on one device; each serves its own part of the workers."""

    def __post_init__(self) -> None:
        """Refuse a count that cannot be."""
        if self.hosts_per_device < 1:
            raise UsageError(f"--hosts-per-device {self.hosts_per_device}: at least 1 is needed")

    @property
    def replicas(self) -> int:
        """Number of hosts an arm."""
        return max(1, len(self.devices)) * self.hosts_per_device

    def host_environment(self, replica: int) -> dict[str, str]:
        """Return the changes of a host's environment."""
        if not self.devices:
            return {}
        return host_environment(self.devices[replica % len(self.devices)])

    def worker_environment(self, slot: int) -> dict[str, str | None]:
        """Return the changes of a worker's environment."""
        return worker_environment(slot, self.devices) if self.devices else {}


def parse_devices(text: str) -> tuple[str, ...]:
    """Read ``--policy-devices``: ``cuda:0,cuda:1``, or ``cpu`` for each host without accelerator.

    Raises:
        UsageError: another form.
    """
    devices = tuple(part.strip() for part in text.split(","))
    for device in devices:
        if not re.fullmatch(r"cpu|cuda:[0-9]{1,3}", device):
            raise UsageError(
                f"--policy-devices {text}: '{device}' is no device; expected cuda:N or cpu, "
                "for example cuda:0,cuda:1"
            )
    return devices


def host_environment(device: str) -> dict[str, str]:
    """Return the environment in which a policy host sees one device only, as ``cuda`` or ``cuda:0``.

    Args:
        device: ``cuda:N`` counts among the devices that this process sees.

    Raises:
        UsageError: this process does not see so many devices.
    """
    if device == "cpu":
        return {"CUDA_VISIBLE_DEVICES": ""}
    number = device.removeprefix("cuda:")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        seen = [part for part in visible.split(",") if part.strip()]
        if int(number) >= len(seen):
            raise UsageError(
                f"--policy-devices {device}: CUDA_VISIBLE_DEVICES={visible} shows "
                f"{len(seen)} devices; count from cuda:0 among these"
            )
        number = seen[int(number)]
    return {"CUDA_VISIBLE_DEVICES": number}


def worker_environment(slot: int, devices: Sequence[str]) -> dict[str, str | None]:
    """Return the changes of the environment with which a worker renders on one of the devices.

    Without them every simulator renders on EGL's first device. robosuite takes CUDA_VISIBLE_DEVICES for
    indices of EGL, so workers must not have it. A renderer that the user chose stays.

    Args:
        slot: the worker's number; neighbours render on different devices.
        devices: the devices of the policy hosts.
    """
    if "MUJOCO_EGL_DEVICE_ID" in os.environ:
        return {}
    used = [host_environment(device)["CUDA_VISIBLE_DEVICES"] for device in devices]
    by_cuda = egl_device_of()
    renderers = [by_cuda[int(cuda)] for cuda in used if cuda.isdigit() and int(cuda) in by_cuda]
    if not renderers:
        return {}
    renderer = renderers[slot % len(renderers)]
    return {"MUJOCO_EGL_DEVICE_ID": str(renderer), "CUDA_VISIBLE_DEVICES": None}


def egl_device_of() -> Mapping[int, int]:
    """Return EGL's device index by CUDA's; empty without NVIDIA's EGL. The two orders may differ."""
    name = ctypes.util.find_library("EGL")
    try:
        egl = ctypes.CDLL(name) if name else None
    except OSError:
        egl = None
    if egl is None:
        return {}
    address = egl.eglGetProcAddress
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    query = address(b"eglQueryDevicesEXT")
    attribute = address(b"eglQueryDeviceAttribEXT")
    if not query or not attribute:
        return {}
    pointers = (ctypes.c_void_p * _MOST_DEVICES)()
    count = ctypes.c_int(0)
    kind = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    if not kind(query)(_MOST_DEVICES, pointers, ctypes.byref(count)):
        return {}
    ask = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(attribute)
    found = {}
    for index in range(count.value):
        cuda = ctypes.c_ssize_t(-1)
        if ask(pointers[index], _EGL_CUDA_DEVICE_NV, ctypes.byref(cuda)) and cuda.value >= 0:
            found[cuda.value] = index
    return found

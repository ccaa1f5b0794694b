"""Devices: an artifact in, a measurement out."""

from hot.devices.contract import Compiler, Device, Settings
from hot.devices.registry import (
    DEVICES,
    device_options,
    known_devices,
    make_device,
    remake_device,
)
from hot.devices.row import DeviceRow, needs

__all__ = [
    "DEVICES",
    "Compiler",
    "Device",
    "DeviceRow",
    "Settings",
    "device_options",
    "known_devices",
    "make_device",
    "needs",
    "remake_device",
]

"""Devices: an artifact in, a measurement out."""

from hot.devices.contract import Device, Settings
from hot.devices.registry import DEVICES, known_devices, make_device
from hot.devices.row import DeviceRow, needs

__all__ = ["DEVICES", "Device", "DeviceRow", "Settings", "known_devices", "make_device", "needs"]

"""Devices: an artifact in, a measurement out."""

from hot.devices.contract import Device, Settings
from hot.devices.registry import DEVICES, DeviceRow, known_devices, make_device

__all__ = ["DEVICES", "Device", "DeviceRow", "Settings", "known_devices", "make_device"]

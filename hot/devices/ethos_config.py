"""The table of Ethos-U accelerators, and what Vela's configuration file says of their systems."""

import hashlib
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from hot.errors import DeviceError, InputError, unknown_name

OPTIMISE = ("Performance", "Size")
DEFAULT_MEMORY_MODE = "Shared_Sram"
_DISTRIBUTION = "ethos-u-vela"
_FILE = "ethosu/config_files/Arm/vela.ini"
_SYSTEM, _MEMORY = "System_Config.", "Memory_Mode."
_ARENA_MEMORIES = ("Sram", "Dram")  # where feature maps can be written
# Estimates of blocks alone add up to the network's within a few percent there, and nowhere else:
# elsewhere a map that leaves a block alone goes through the slow memory.
_ADDITIVE_MODES = ("Shared_Sram", "Sram_Only")


@dataclass(frozen=True)
class Family:
    """A generation of Ethos-U.

    Attributes:
        regor: its name in Vela's compiler core.
        prefix: how its system configurations begin.
        system_config: the default: the one that Vela itself falls back on, but for the U65, of
            which it is the one where blocks add up within 1 % (Vela's Client_Server: 2.2 %).
        address_bits: of its memory ports, which bound the arena.
    """

    regor: str
    prefix: str
    system_config: str
    address_bits: int


_U55 = Family("EthosU55", "Ethos_U55_", "Ethos_U55_High_End_Embedded", 32)
_U65 = Family("EthosU65", "Ethos_U65_", "Ethos_U65_High_End", 40)
_U85 = Family("EthosU85", "Ethos_U85_", "Ethos_U85_SYS_DRAM_Mid", 40)


@dataclass(frozen=True)
class Accelerator:
    """One size of a family: `macs` multiply-accumulates a cycle in each of its `cores`."""

    family: Family
    macs: int
    cores: int = 1


ACCELERATORS: dict[str, Accelerator] = {
    "ethos-u55-32": Accelerator(_U55, 32),
    "ethos-u55-64": Accelerator(_U55, 64),
    "ethos-u55-128": Accelerator(_U55, 128),
    "ethos-u55-256": Accelerator(_U55, 256),
    "ethos-u65-256": Accelerator(_U65, 256),
    "ethos-u65-512": Accelerator(_U65, 256, cores=2),
    "ethos-u85-128": Accelerator(_U85, 128),
    "ethos-u85-256": Accelerator(_U85, 256),
    "ethos-u85-512": Accelerator(_U85, 512),
    "ethos-u85-1024": Accelerator(_U85, 1024),
    "ethos-u85-2048": Accelerator(_U85, 2048),
}


@dataclass(frozen=True)
class NpuConfig:
    """An accelerator in a system, as Vela compiles for it.

    Attributes:
        name: of the accelerator, a key of `ACCELERATORS`.
        clock_hz: of the accelerator.
        arena_bytes: most memory that Vela may stage maps in.
        file: Vela's configuration file; `digest` identifies its text.
    """

    name: str
    system_config: str
    memory_mode: str
    optimise: str
    clock_hz: float
    arena_bytes: int
    file: Path
    digest: str

    @property
    def accelerator(self) -> Accelerator:
        """The row of the table."""
        return ACCELERATORS[self.name]

    @property
    def is_additive(self) -> bool:
        """Whether the estimates of blocks alone add up to the network's."""
        return self.memory_mode in _ADDITIVE_MODES and self.optimise == "Performance"


def find_config(name: str, system_config: str, memory_mode: str, optimise: str) -> NpuConfig:
    """The configuration of those names; empty names are the family's defaults.

    Vela itself takes any system for any accelerator, and estimates nonsense.

    Raises:
        InputError: an unknown name, or one that does not fit the accelerator; names those allowed.
        DeviceError: Vela is not installed.
    """
    if name not in ACCELERATORS:
        raise InputError(unknown_name("Ethos-U accelerator", name, ACCELERATORS))
    family = ACCELERATORS[name].family
    file = _vela_ini()
    ini = _parsed(file)
    systems = [s for s in _names(ini, _SYSTEM) if s.startswith(family.prefix)]
    system_config = _allowed(
        f"system_config of {name!r}", system_config or family.system_config, systems
    )
    modes = [m for m in _names(ini, _MEMORY) if _is_writable(ini, system_config, m)]
    memory_mode = _allowed(
        f"memory_mode of {name!r} with {system_config}", memory_mode or DEFAULT_MEMORY_MODE, modes
    )
    arena = _value(ini, _MEMORY + memory_mode, "arena_cache_size")
    return NpuConfig(
        name,
        system_config,
        memory_mode,
        _allowed("optimise", optimise, OPTIMISE),
        clock_hz=float(ini[_SYSTEM + system_config]["core_clock"]),
        arena_bytes=int(arena) if arena else 2**family.address_bits,
        file=file,
        digest=hashlib.sha256(file.read_bytes()).hexdigest()[:16],
    )


def _vela_ini() -> Path:
    try:
        path = Path(str(distribution(_DISTRIBUTION).locate_file(_FILE)))
    except PackageNotFoundError as error:
        raise DeviceError("Arm's Vela compiler is not installed: pip install 'hot[npu]'") from error
    if not path.is_file():
        raise DeviceError(f"Vela has no {path}: pip install --force-reinstall 'hot[npu]'")
    return path


@cache
def _parsed(file: Path) -> ConfigParser:
    ini = ConfigParser()
    ini.read(file, encoding="utf-8")
    return ini


def _names(ini: ConfigParser, prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in ini.sections() if name.startswith(prefix)]


def _value(ini: ConfigParser, section: str, key: str) -> str | None:
    """A key of a section or of the one it inherits from."""
    row = ini[section]
    if key in row:
        return row[key]
    return _value(ini, row["inherit"], key) if "inherit" in row else None


def _is_writable(ini: ConfigParser, system_config: str, memory_mode: str) -> bool:
    """Whether a memory mode puts feature maps where that system can write them."""
    port = _value(ini, _MEMORY + memory_mode, "arena_mem_area") or "Axi0"
    return _value(ini, _SYSTEM + system_config, f"{port.lower()}_port") in _ARENA_MEMORIES


def _allowed(what: str, name: str, known: list[str] | tuple[str, ...]) -> str:
    if name not in known:
        raise InputError(unknown_name(what, name, known))
    return name
